from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from batchaudit.report import html
from batchaudit.report.html import as_fragment, as_page

VOID = {"meta"}


class Checked(HTMLParser):
    """Refuses tags that are not closed in their order, and keeps which there were."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.names: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name in ("href", "xlink:href", "src")]
        self.names += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(text):
    parser = Checked()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


def test_the_page_is_well_formed_and_loads_nothing(any_report):
    parser = check(as_page(any_report))
    assert {"html", "head", "title", "body", "main"} <= parser.tags
    assert not parser.tags & {"script", "link", "img", "iframe", "b"}
    assert not any(name.startswith("on") for name in parser.attributes)
    assert len(parser.names) == len(set(parser.names))
    for link in parser.links:
        assert link[1:] in parser.names if link.startswith("#") else link.startswith("data:")


def test_the_fragment_has_one_root_and_its_style_stays_inside(any_report):
    text = any_report._repr_html_()
    assert text == as_fragment(any_report)
    assert check(text).tags.isdisjoint({"html", "head", "body"})
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    selectors = [one for rule in re.findall(r"([^{}]+)\{", style) for one in rule.split(",")]
    assert all(one.strip().startswith((".batchaudit", "@media")) for one in selectors)


def test_names_of_the_log_are_text(make_report):
    text = as_page(make_report("hostile"))
    assert "<b>x" not in text
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    words = re.sub(r'<(style|svg)\b.*?</\1>|base64,[^"]*', "", text, flags=re.DOTALL)
    assert "{{ 7*7 }}" in words and "49" not in words
    assert not any(part in text for part in ("\x1b", "\x07", "\r", "\u202e", "\udc80"))


def test_the_page_says_what_the_console_says(make_report):
    text = as_page(make_report("sick"))
    assert "fork:4: 8 of 32 batches are different in each epoch - unsharded-replica" in text
    assert "<td>256/1,024</td>" in text
    assert "no random stream moved" in text
    assert "for i in range(worker_index, len(paths), workers):\n    yield load(paths[i])" in text
    assert "ValueError: generator already executing" in text
    assert "a generator cannot be pickled." in text


def test_a_name_that_a_template_misspells_is_an_error():
    with pytest.raises(UndefinedError):
        html._environment().from_string("{{ report.no_such_thing }}").render(report=object())
