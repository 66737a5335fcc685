"""Links of what people read: each relative one leads to a file of the repository, and to a heading of it.

Sphinx checks those between its own pages; this one checks all files, as a reader of the repository follows them, without
the internet. What leads out of it is checked by hand, with `sphinx -b linkcheck`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOT_OURS = {"_build", ".pytest_cache"}
COPIES = ROOT / "docs" / "notebooks"  # Sphinx makes them
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?(?P<target>[^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"#{1,6}\s+(?P<text>.+?)\s*#*$")
FENCE = re.compile(r"\s*(`{3,}|~{3,})")


def files():
    return sorted(
        path
        for pattern in ("*.md", "docs/**/*.md", "notebooks/*.ipynb", "tests/peers/*.md", "batchaudit/**/*.md")
        for path in ROOT.glob(pattern)
        if not NOT_OURS & set(path.parts) and not path.is_relative_to(COPIES)
    )


def prose(path):
    """The Markdown of a file without its blocks of code, where a link is none."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    kept, fence = [], None
    for line in text.splitlines():
        mark = FENCE.match(line)
        if mark and fence is None:
            fence = mark[1]
        elif mark and mark[1].startswith(fence or ""):
            fence = None
        elif fence is None:
            kept.append(line)
    return "\n".join(kept)


def links(path):
    return [match["target"] for match in LINK.finditer(re.sub(r"`[^`\n]*\]\([^`\n]*`", "", prose(path)))]


def anchors(path):
    """The headings of a file as GitHub and MyST name them."""
    named = set()
    for line in prose(path).splitlines():
        heading = HEADING.match(line)
        if heading:
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading["text"]).lower()
            named.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return named


def broken(path):
    """The relative links of a file that lead nowhere."""
    wrong = []
    for target in links(path):
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        other = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        no_heading = parts.fragment and other.suffix == ".md" and parts.fragment not in anchors(other)
        if not other.is_relative_to(ROOT) or not other.exists() or no_heading:
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path):
    assert broken(path) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# A heading, here\n\n```\n# not one\n[a](nowhere.md)\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#a-heading-here) [c](https://example.org/x) ![d](no.png) `[e](f)`\n"
        "[g](other.md#not-one) [h](../other.md) [i](#none) [`j`](gone.md)\n"
    )
    assert broken(page) == ["no.png", "other.md#not-one", "../other.md", "#none", "gone.md"]
    assert broken(tmp_path / "other.md") == []


def test_what_is_checked_is_there():
    names = {str(path.relative_to(ROOT)) for path in files()}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/index.md", "docs/tutorial.md"} <= names
