"""What one file of tests came to without the wrapper and with it, and whether that says anything."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """How the tests of one file ended in one process.

    Attributes:
        tests: passed, skipped or failed, by test; a test that never ended is not there.
        why: pytest's account of each failure, by test.
        trouble: what kept the process from running all of them, in its own words.
    """

    tests: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    trouble: str | None = None

    def passed(self) -> list[str]:
        """The tests that passed."""
        return [test for test, outcome in self.tests.items() if outcome == "passed"]

    def failed(self) -> list[str]:
        """The tests that failed."""
        return [test for test, outcome in self.tests.items() if outcome == "failed"]

    def account(self, test: str) -> str:
        """What became of a test: its outcome, or, where it failed, the error in one line and all about it."""
        return self.why.get(test) or self.tests.get(test, "never ended")


@dataclass
class Result:
    """One file, unwatched and watched.

    Attributes:
        file: its path in its repository.
        way: how its sources were watched.
        tests: how many tests ended unwatched, the skipped ones among them.
        skipped: how many of them were skipped.
        passed_unwatched: how many passed without the wrapper.
        passed_watched: how many passed with it.
        failing_unwatched: what failed without the wrapper, which is no fault of it, and why.
        newly_failing: what passed without and did not with it: failed, skipped, or never ended, and why.
        newly_passing: what passed with the wrapper only.
        sources: how many sources were watched, by type.
        refused: what was handed over and is no source of batches, by type.
        tests_watched: in how many tests a source was watched.
        batches: how many produced batches the logs hold.
        delivered: how many of them were delivered, as far as anybody told.
        shows_batches: whether the tests come to where batches can be seen.
        log_failures: why logging stopped, where it did.
        troubles: what kept the unwatched and the watched process from running all tests.
    """

    file: str
    way: str
    tests: int = 0
    skipped: int = 0
    passed_unwatched: int = 0
    passed_watched: int = 0
    failing_unwatched: dict[str, str] = field(default_factory=dict)
    newly_failing: dict[str, str] = field(default_factory=dict)
    newly_passing: list[str] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    tests_watched: int = 0
    batches: int = 0
    delivered: int = 0
    shows_batches: bool = True
    log_failures: list[str] = field(default_factory=list)
    troubles: dict[str, str] = field(default_factory=dict)

    def vacuous(self) -> str | None:
        """Why this file proves nothing; None where it does."""
        if not self.passed_unwatched:
            return "no test passed unwatched"
        if not self.sources:
            return "no source was watched"
        if self.shows_batches and not self.batches:
            return "no batch was logged"
        return "logging stopped" if self.log_failures else None

    def good(self) -> bool:
        """Whether the wrapper was in place and changed no outcome for the worse."""
        return not self.newly_failing and self.vacuous() is None


def compared(file: str, way: str, unwatched: Outcome, watched: Outcome) -> Result:
    """Compares the two processes test by test.

    Args:
        file: the file's path in its repository.
        way: how its sources were watched.
        unwatched: what its tests came to without the wrapper.
        watched: the same with it.

    Returns:
        The result; what was watched is not yet in it.
    """
    before, after = unwatched.passed(), watched.passed()
    outcomes = {"unwatched": unwatched, "watched": watched}
    return Result(
        file=file,
        way=way,
        tests=len(unwatched.tests),
        skipped=list(unwatched.tests.values()).count("skipped"),
        passed_unwatched=len(before),
        passed_watched=len(after),
        failing_unwatched={test: unwatched.account(test) for test in unwatched.failed()},
        newly_failing={test: watched.account(test) for test in before if test not in after},
        newly_passing=[test for test in after if test not in before],
        troubles={way: it.trouble for way, it in outcomes.items() if it.trouble is not None},
    )
