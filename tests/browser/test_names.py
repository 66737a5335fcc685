"""What a log holds is text in the page, whatever it is."""

from __future__ import annotations

import pytest

from batchaudit.report import cells
from batchaudit.untrusted import shown as clean
from batchaudit.untrusted import shown_line
from tests.browser.reports import HOSTILE


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_text_wherever_it_stands(saved, open_page, name):
    page = open_page(saved["hostile"].url)
    shown = shown_line(HOSTILE[name])
    number = 1 + list(HOSTILE).index(name)
    run = page.locator(f"#run-{number}")
    assert shown in run.locator("h2").text_content()
    finding = run.locator(f"#finding-{number}-1")
    assert finding.locator("h3").text_content().count(shown) == 1
    assert finding.locator("p").first.text_content() == shown
    assert finding.locator("dt").first.text_content() == shown
    assert cells.evidence(HOSTILE[name]) == finding.locator("dd").first.text_content()
    assert finding.locator("pre").text_content() == clean(HOSTILE[name])
    assert run.locator("article.failed pre").text_content() == clean(HOSTILE[name])
    assert shown in run.locator("details.verdicts").text_content()
    assert shown in page.locator("nav").text_content()


def test_no_name_becomes_an_element(saved, open_page):
    page = open_page(saved["hostile"].url)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.locator("script, img, body style").count() == 0
    assert page.locator("main").evaluate("one => one.parentElement.children.length") == 1
    assert "\u202e" not in page.content()
