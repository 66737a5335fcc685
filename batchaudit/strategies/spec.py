"""Reads a strategy as people write it: `fork:4`, `torch:4,persistent`, `keras-processes:4,start=spawn`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from batchaudit.errors import UsageError

START_METHODS = ("fork", "spawn", "forkserver")

_ENQUEUER_OPTIONS = ("shuffle", "queue")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "as-is": (),
    "serial": (),
    "threads": ("queue",),
    "fork": ("seed", "queue"),
    "spawn": ("seed", "queue"),
    "forkserver": ("seed", "queue"),
    "tf_keras-threads": _ENQUEUER_OPTIONS,
    "tf_keras-processes": ("start", *_ENQUEUER_OPTIONS),
    "keras-threads": _ENQUEUER_OPTIONS,
    "keras-processes": ("start", *_ENQUEUER_OPTIONS),
    "tf.data": (),
    "torch": ("persistent", "start", "prefetch"),
}
FAMILIES = tuple(_OPTIONS)
_WITHOUT_WORKERS = ("as-is", "serial")
_WITHOUT_VALUE = ("shuffle", "persistent")


@dataclass(frozen=True)
class Strategy:
    """One way of driving a source with workers.

    Attributes:
        family: which machinery, one of `FAMILIES`.
        workers: how many; 0 where the family takes none.
        options: what followed the comma.
    """

    family: str
    workers: int = 0
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        count = f":{self.workers}" if self.workers else ""
        return self.family + count + "".join(f",{k}={v}" if v else f",{k}" for k, v in self.options.items())

    @property
    def seed(self) -> str | int:
        """What becomes of NumPy's global stream in a worker: "inherit", "fresh", or the seed of worker 0."""
        value = self.options.get("seed", "inherit")
        return value if value in ("inherit", "fresh") else int(value)

    @property
    def start(self) -> str | None:
        """The start method of the worker processes; None for the platform's default."""
        return self.family if self.family in START_METHODS else self.options.get("start")

    @property
    def queue(self) -> int:
        """How many batches may wait to be consumed; Keras' default is 10."""
        return int(self.options.get("queue", "10"))

    @property
    def shuffle(self) -> bool:
        """Whether the framework is asked to shuffle the order of the batches."""
        return "shuffle" in self.options

    @property
    def persistent(self) -> bool:
        """Whether the workers outlive a pass."""
        return "persistent" in self.options

    @property
    def prefetch(self) -> int | None:
        """How many batches each worker may make ahead; None for the loader's own number."""
        return int(self.options["prefetch"]) if "prefetch" in self.options else None


def parse(text: str) -> Strategy:
    """Reads one strategy.

    Args:
        text: `family`, `family:workers` or `family:workers,option=value,...`.

    Returns:
        The strategy.

    Raises:
        UsageError: an unknown family or option, or a number of workers that is none.
    """
    head, *tail = [part.strip() for part in text.strip().split(",")]
    family, colon, count = head.partition(":")
    if family not in _OPTIONS:
        raise UsageError(f"unknown strategy {text!r}: expected one of {_help()}.")
    return Strategy(family, _workers(text, family, colon, count), _options(text, family, tail))


def several(text: str) -> list[str]:
    """Takes apart the strategies of one text.

    Args:
        text: strategies apart by blanks or commas, such as "serial fork:4,seed=fresh torch:2" or
            "serial,fork:4".

    Returns:
        The text of each; none is read yet.
    """
    families = "|".join(map(re.escape, FAMILIES))
    return [one for one in re.split(rf"[\s,]+(?=(?:{families})(?:[:,\s]|$))|\s+", text.strip(", ")) if one]


def _help() -> str:
    return ", ".join(name if name in _WITHOUT_WORKERS else f"{name}:N" for name in FAMILIES)


def _workers(text: str, family: str, colon: str, count: str) -> int:
    if family in _WITHOUT_WORKERS:
        if colon:
            raise UsageError(f"strategy {text!r}: {family} takes no number of workers; write {family!r}.")
        return 0
    if not re.fullmatch(r"[0-9]+", count) or int(count) < 1:
        raise UsageError(
            f"strategy {text!r}: the number of workers must be a whole number from 1 on, as in '{family}:4'."
        )
    return int(count)


def _options(text: str, family: str, parts: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if name not in _OPTIONS[family]:
            allowed = ", ".join(_OPTIONS[family]) or "none"
            raise UsageError(f"strategy {text!r}: {family} has no option {name!r} (it has: {allowed}).")
        if name in options:
            raise UsageError(f"strategy {text!r}: option {name!r} is given twice.")
        problem = _problem(name, value if equals else None)
        if problem:
            raise UsageError(f"strategy {text!r}: {problem}.")
        options[name] = value
    return options


def _problem(name: str, value: str | None) -> str | None:
    """What is wrong with an option's value, in words; None where nothing is."""
    if name in _WITHOUT_VALUE:
        return None if value is None else f"{name} takes no value"
    if value is None:
        return f"option {name!r} needs a value, as in '{name}=...'"
    if name == "seed" and value not in ("inherit", "fresh") and not re.fullmatch(r"[0-9]{1,9}", value):
        return f"seed={value} is neither inherit, fresh nor a whole number below 10^9"
    if name == "start" and value not in START_METHODS:
        return f"start={value} is not one of {', '.join(START_METHODS)}"
    if name in ("queue", "prefetch") and not re.fullmatch(r"[1-9][0-9]{0,5}", value):
        return f"{name}={value} is not a whole number of 1 or more"
    return None
