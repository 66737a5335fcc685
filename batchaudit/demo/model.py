"""What the demo is made of: the chapters that it plays, and the sections that come of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchaudit.demo.figures import Figures

if TYPE_CHECKING:
    from batchaudit.report.model import Report

Look = Callable[[str, str], Figures]
"""`look(source, strategy)`: what was seen of a pipeline under a strategy."""


@dataclass(frozen=True)
class Case:
    """One pipeline and the strategies under which it is driven.

    Attributes:
        source: its name in the tables.
        make: given the folder of the images, makes a new source.
        strategies: as `batchaudit.audit` takes them.
        endless: whether its epoch has to be given a length.
        key: which file each image of a batch came from, where the batch tells.
    """

    source: str
    make: Callable[[Path], Any]
    strategies: tuple[str, ...]
    endless: bool = False
    key: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Chapter:
    """One claim of the notes, and the pipelines on which it is tried.

    Attributes:
        title: with its letter.
        cases: the pipelines.
        claim: what the well-known notes on `fit_generator` say.
        tell: says in sentences what was seen.
    """

    title: str
    cases: tuple[Case, ...]
    claim: str
    tell: Callable[[Look], list[str]]


@dataclass(frozen=True)
class Section:
    """What came of a chapter.

    Attributes:
        title: with its letter.
        sources: the names of the pipelines that were driven.
        report: the audit of all of them.
        claim: what the well-known notes on `fit_generator` say.
        seen: what was seen, in sentences made of the report's figures.
    """

    title: str
    sources: tuple[str, ...]
    report: Report
    claim: str
    seen: tuple[str, ...]
