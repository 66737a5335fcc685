"""What happens at the end of an epoch, whatever the framework: figures, warnings, the end of the training.

It runs in the training's process: standard library only.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchaudit.callbacks.link import Link, LinkError
from batchaudit.errors import BatchauditWarning, FindingError

ON_FINDING = ("warn", "raise", "ignore")

# Of several training sources: the worst; the time waited adds up.
_OVER_SOURCES: dict[str, Callable[[list[float]], float]] = {
    "effective_ratio": min,
    "duplicate_fraction": max,
    "seed_divergence": min,
    "seconds_waited": sum,
}
FIGURES = tuple(f"audit/{name}" for name in _OVER_SOURCES)
"""The names in the framework's logs; the same four in every epoch."""

_PATIENCE = 60.0
"""Seconds after which an answer is given up."""
_ALLOWANCE, _SHARE = 60.0, 0.05
"""All epochs' ends together may cost so many seconds, and this share of the training's time."""


class EpochWatch:
    """Asks for the figures of each epoch and acts on the findings.

    Args:
        folder: the run's folder.
        attempt: which attempt of it is under way.
        on_finding: one of `ON_FINDING`.
        clock: seconds; handed in by tests.
        open_link: starts the observer; handed in by tests.
    """

    def __init__(
        self,
        folder: Path,
        attempt: int,
        on_finding: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        open_link: Callable[[Path, int], Link] = Link,
    ) -> None:
        self.folder = folder
        self.attempt = attempt
        self.on_finding = on_finding
        self._clock = clock
        self._open_link = open_link
        self._link: Link | None = None
        self._told: set[object] = set()
        self._since_ns = 0
        self._began = self._spent = self._last = 0.0

    def begin(self) -> None:
        """A training begins: what has been logged before is none of its epochs."""
        self.end()
        self._since_ns = time.monotonic_ns()
        self._began, self._spent, self._last = self._clock(), 0.0, 0.0
        try:
            self._link = self._open_link(self.folder, self.attempt)
        except Exception as error:
            self._complain(f"the process that would analyse them cannot be started: {error}")

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """An epoch has ended.

        Args:
            epoch: the framework's number of it, from 0.

        Returns:
            `FIGURES` with plain floats; NaN for what is not known.

        Raises:
            FindingError: `on_finding` is "raise" and an error has been found.
        """
        answer = self._ask()
        figures = _figures(answer.get("sources", ()))
        self._act(answer.get("findings", ()), epoch)
        return figures

    def end(self) -> None:
        """The training has ended, in whichever way; may be called again."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _ask(self) -> dict[str, Any]:
        """What the observer says of the epoch; nothing where it says nothing, which is told once."""
        since, self._since_ns = self._since_ns, time.monotonic_ns()
        if self._link is None or not self._affordable():
            return {}
        asked = self._clock()
        try:
            answer = self._link.ask({"since_ns": since}, _PATIENCE)
        except LinkError as error:
            self.end()
            self._complain(str(error))
            return {}
        self._last = self._clock() - asked
        self._spent += self._last
        if "error" in answer:
            self._complain(answer["error"])
        elif "lost" in answer:
            self._complain(f"the log is INCOMPLETE: {answer['lost']}")
        elif not answer["sources"]:
            self._complain("no watched source of training batches was used: give fit what audit.wrap returns")
        return answer

    def _affordable(self) -> bool:
        # Each answer reads the whole log, so it costs more the longer the training.
        allowed = _ALLOWANCE + _SHARE * (self._clock() - self._began)
        return self._spent + self._last <= allowed

    def _act(self, findings: Iterable[dict[str, str]], epoch: int) -> None:
        if self.on_finding == "ignore":
            return
        errors = [finding for finding in findings if finding["severity"] == "error"]
        if errors and self.on_finding == "raise":
            self.end()
            texts = "\n".join(finding["text"] for finding in errors)
            raise FindingError(
                f"the training was stopped after epoch {epoch} (the first is 0):\n{texts}", tuple(errors)
            )
        for finding in findings:
            self._warn_of(finding)

    def _warn_of(self, finding: dict[str, str]) -> None:
        which = (finding["cause"], finding["source"])
        if finding["severity"] == "info" or which in self._told:
            return
        self._told.add(which)
        # Where warnings are made errors, this one stops the training: so it was asked for.
        warnings.warn(BatchauditWarning(finding["text"], finding["cause"]), stacklevel=2)

    def _complain(self, why: str) -> None:
        """Says once why there are no figures; whatever goes wrong here never reaches the training."""
        if "no figures" in self._told:
            return
        self._told.add("no figures")
        with suppress(Exception):
            warning = BatchauditWarning(f"audit.callback() has no figures: {why}.", "no-figures")
            warnings.warn(warning, stacklevel=2)


def _figures(sources: Iterable[dict[str, Any]]) -> dict[str, float]:
    training = [source["figures"] for source in sources]
    figures = {}
    for name, over in _OVER_SOURCES.items():
        known = [float(one[name]) for one in training if one[name] is not None]
        figures[f"audit/{name}"] = float(over(known)) if known else math.nan
    return figures
