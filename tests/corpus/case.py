"""One real bug as an executable case: the sick loader, its repaired twin, and the proof that the bug is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchaudit import Report


@dataclass(frozen=True)
class Case:
    """A case.

    Attributes:
        id: its number in the corpus; a letter behind it where one number has several ("K01b").
        framework: whose loader it is: "torch", "keras 3", "tf_keras", "tf.data", "python", ...
        what: the bug in a few words.
        expected: the causes that must be found in the sick loader.
        sick: audits the sick loader.
        twin: audits the repaired one, in which nothing may be found that is worse than "info".
        proof: shows with the framework alone, without batchaudit, that the sick loader has the defect and
            that the twin has not: asserts it, and returns what it measured, in a few words.
        allowed: further causes that are true of the sick loader and may be found, or not.
    """

    id: str
    framework: str
    what: str
    expected: frozenset[str]
    sick: Callable[[], Report]
    twin: Callable[[], Report]
    proof: Callable[[], str]
    allowed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Healthy:
    """A loader that looks suspicious and is not: nothing may be found in it that is worse than "info".

    Attributes:
        id: its name.
        framework: as in `Case`.
        what: why it looks suspicious, in a few words.
        audit: audits it.
    """

    id: str
    framework: str
    what: str
    audit: Callable[[], Report]
