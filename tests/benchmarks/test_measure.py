"""The arithmetic of the benchmarks, on figures and clocks that are made up."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from benchmarks.lines import Target, compared, not_measured
from benchmarks.measure import Effort, Rounds, growth, in_turns, missing


class Clock:
    """A clock that goes on only when a call says how long it took."""

    def __init__(self) -> None:
        self.now = 100.0
        self.called: list[str] = []

    def __call__(self) -> float:
        return self.now

    def taking(self, name: str, *seconds: float) -> Callable[[], None]:
        left = list(seconds)

        def call() -> None:
            self.called.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


def test_calls_are_timed_in_turns_after_one_call_of_each_that_does_not_count() -> None:
    clock = Clock()
    ours, baseline = in_turns(clock.taking("a", 50, 2, 4), clock.taking("b", 90, 1), rounds=2, clock=clock)
    assert clock.called == ["a", "b", "a", "b", "a", "b"]
    assert ours == (2, 4)
    assert baseline == (1, 1)


def test_repeats_are_divided_by() -> None:
    clock = Clock()
    [ours] = in_turns(clock.taking("a", 3), rounds=1, repeats=4, clock=clock)
    assert ours == (3,)
    assert len(clock.called) == 5


def test_the_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_the_medians() -> None:
    rounds = Rounds((2, 30, 9), (1, 10, 1))
    assert rounds.ratios == (2, 3, 9)
    assert rounds.ratio == 3  # 9 / 1 of the medians


def test_the_spread_lies_between_the_percentiles() -> None:
    rounds = Rounds(tuple(range(101)), (1,) * 101)
    assert rounds.spread == pytest.approx((10, 90))


@pytest.mark.parametrize(("power", "factor"), [(1, 3e-7), (2, 1e-9)])
def test_growth_finds_the_exponent(power: int, factor: float) -> None:
    sizes = [1e4, 1e5, 1e6]
    assert growth(sizes, [factor * size**power for size in sizes]) == pytest.approx(power)


def test_a_line_is_in_its_unit_and_knows_whether_its_target_is_met() -> None:
    line = compared(
        "a", [20e-6, 10e-6, 30e-6], [5e-6] * 3, unit="µs a row", against="b", per=10, target=Target(2, "ours")
    )
    assert line.ours == pytest.approx(2)
    assert line.baseline == pytest.approx(0.5)
    assert line.ratio == pytest.approx(4)
    assert line.rounds == 3
    assert (line.target, line.met) == ("≤ 2 µs a row", True)


@pytest.mark.parametrize(
    ("target", "ours", "ratio", "met"),
    [
        (Target(1.15), 9.0, 1.15, True),
        (Target(1.15), 0.0, 1.16, False),
        (Target(25, "ours"), 25.0, 9.0, True),
        (Target(25, "ours"), 25.1, None, False),
        (Target(0.9, "ours", least=True), 0.9, None, True),
        (Target(0.9, "ours", least=True), 0.89, None, False),
    ],
)
def test_targets(target: Target, ours: float, ratio: float | None, met: bool) -> None:
    assert target.is_met(ours, ratio) is met


def test_a_target_of_the_ratio_needs_one() -> None:
    with pytest.raises(ValueError, match="needs a baseline"):
        Target(1.15).is_met(1.0, None)


def test_what_is_not_measured_is_neither_met_nor_missed() -> None:
    line = not_measured("a", "joblib is not installed", Target(1.1))
    assert (line.met, line.ours, line.target) == (None, None, "≤ 1.1 x")
    assert line.note == "not measured: joblib is not installed"


def test_a_quick_run_has_few_rounds_and_small_amounts() -> None:
    assert Effort(quick=True).rounds(41) < Effort().rounds(41) == 41
    assert Effort(quick=True).amount(500, 20) == 20
    assert Effort().amount(500, 20) == 500


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing("numpy") == ""
    monkeypatch.setitem(sys.modules, "joblib", None)
    assert missing("numpy", "joblib") == "joblib is not installed"
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert missing("joblib", "duckdb") == "joblib and duckdb are not installed"
