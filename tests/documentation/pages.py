"""Reads the pages of the documentation: sections, tables, code."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"

_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CELL_ENDS = re.compile(r"(?<!\\)\|")


def page(name: str) -> str:
    """The text of a page, by its path under docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """What stands under each heading of any level, by the heading without its backquotes."""
    bare = _FENCED.sub("", text)
    found = list(_HEADING.finditer(bare))
    ends = [one.start() for one in found[1:]] + [len(bare)]
    return {
        one.group(2).replace("`", ""): bare[one.end() : end] for one, end in zip(found, ends, strict=True)
    }


def rows(section: str) -> list[list[str]]:
    """The rows of the tables of a section, cell by cell, without the heads."""
    lines = section.splitlines()
    rules = {number for number, line in enumerate(lines) if re.fullmatch(r"\|( ?-+ ?\|)+", line)}
    kept = [
        line
        for number, line in enumerate(lines)
        if line.startswith("|") and number not in rules and number + 1 not in rules
    ]
    return [[cell.strip() for cell in _CELL_ENDS.split(line)[1:-1]] for line in kept]


def names(cell: str) -> list[str]:
    """What stands in backquotes in a cell."""
    return re.findall(r"`([^`]+)`", cell)
