# ruff: noqa: E402 - what needs an extra is imported after it was looked for
"""The sentences against made-up figures: each must be true of those, whatever they are."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

for module in ("sklearn", "PIL", "keras", "tf_keras"):
    pytest.importorskip(module)

from batchaudit.demo import sections as s
from batchaudit.demo.figures import Figures, percents, ratios
from batchaudit.diagnosis.finding import Finding

NAN = float("nan")


def run(strategy: str, unique: tuple[int, ...] = (32, 32, 32), **given_: object) -> Figures:
    values: dict[str, object] = {
        "delivered": (32,) * len(unique),
        "over_all": sum(unique),
        "coverage": (1.0,) * len(unique),
        "divergence": (NAN,) * len(unique),
        "shares": ((32,),) * len(unique),
        "by_worker": (32 * len(unique),),
        "findings": (),
    }
    return Figures(strategy=strategy, unique=unique, **{**values, **given_})


def found(cause: str, **evidence: object) -> Finding:
    return Finding(cause, "error", "worker", f"{cause} happened.", dict(evidence))


def looking(*runs: Figures) -> Callable[[str, str], Figures]:
    """Every pipeline is clean under every strategy, but for the runs given: those hold for each pipeline."""
    known = {one.strategy: one for one in runs}
    return lambda source, strategy: known.get(strategy, run(strategy))


def test_equal_shares_are_the_notes_arithmetic():
    copies = run(s.FORK, (8, 8, 8), over_all=24, shares=((8, 8, 8, 8),) * 3)
    told = s.tell_copies(looking(run("serial", over_all=32), copies))[0]
    assert told.startswith("fork:4: 8 of 32 batches of an epoch are different, and 8 of the source's 32")
    assert told.endswith("That is total/4, as in the notes.")


def test_unequal_shares_are_said_and_not_called_total_by_n():
    copies = run(s.FORK, (15, 15, 18), over_all=32, shares=((15, 7, 6, 4), (9, 9, 7, 7), (8, 8, 8, 8)))
    told = s.tell_copies(looking(run("serial", over_all=32), copies))[0]
    assert "15, 15 and 18 of 32" in told
    assert "15+7+6+4; 9+9+7+7; 8+8+8+8" in told
    assert "as in the notes" not in told
    assert "never came" not in told  # over all, everything did


def test_copies_that_all_differ_contradict_the_notes():
    assert "not what the notes say" in s.tell_copies(looking(run("serial", over_all=32), run(s.FORK)))[0]


def test_threads_that_met_are_counted():
    met = run(s.THREADS, findings=(found("shared-state-race", threads_refused=2),))
    assert "2 of 4 threads met another" in s.tell_copies(looking(met))[2]


def test_threads_that_did_not_meet_are_not_called_safe():
    told = s.tell_copies(looking())[2]
    assert "no two threads met in the generator this time" in told
    assert "safe" not in told


def test_a_run_that_ended_early_says_so_and_nothing_else():
    ended = run(s.FORK_FRESH, (), ended="worker 1 died")
    for tell in (s.tell_seeds, s.tell_images):
        about = [told for told in tell(looking(ended)) if "fork:4,seed=fresh" in told]
        assert about
        assert set(about) == {"fork:4,seed=fresh ended after 0 batches: worker 1 died."}


def test_reseeding_is_said_to_repair_only_what_was_broken():
    broken = run(s.FORK_INHERIT, (8, 8, 8), findings=(found("rng-clone"),))
    repairs = "So reseeding each process repairs it, as the notes say."
    assert repairs in s.tell_seeds(looking(broken))
    assert repairs not in s.tell_seeds(looking())
    assert repairs not in s.tell_seeds(looking(broken, run(s.FORK_FRESH, (9, 8, 8))))


def looked_at(coverage: tuple[float, ...], by_worker: tuple[int, ...]) -> str:
    two = run(s.TWO_FRESH, coverage=coverage, by_worker=by_worker, divergence=(1.0,) * 3)
    return next(told for told in s.tell_images(looking(two)) if s.TWO_FRESH in told)


def test_the_notes_story_is_told_where_each_copy_went_through_its_order():
    told = looked_at((0.5, 0.5, 0.75), (48, 48))
    assert "50, 50, 75 %" in told
    assert "the notes' story holds" in told


def test_more_coverage_by_unequal_shares_alone_is_not_the_notes_story():
    assert "no copy comes to its end" in looked_at((0.25, 0.5, 0.6), (31, 20))
    assert "1 of the 2 copies went through it" in looked_at((0.5, 0.6, 0.8), (70, 26))


def test_copies_are_said_never_to_diverge_only_if_their_last_states_are_the_same():
    clone = {"findings": (found("rng-clone"),)}
    alike = run(s.FORK_INHERIT, (8, 8, 8), divergence=(0.0,) * 3, **clone)
    apart = run(s.FORK_INHERIT, (8, 8, 20), divergence=(0.0, 0.0, 0.7), **clone)
    assert any("They do not diverge" in told for told in s.tell_images(looking(alike)))
    assert not any("They do not diverge" in told for told in s.tell_images(looking(apart)))


def test_interleaved_copies_are_compared_with_one():
    four = run("tf.data:4", delivered=(128, 128, 128))
    assert "each batch comes 4 times" in s.tell_interleaved(looking(four))[1]
    cut = run("tf.data:4", (30, 32, 32), delivered=(100, 128, 128))
    assert "4 times" not in s.tell_interleaved(looking(cut))[1]


counts = st.tuples(*[st.integers(1, 32)] * 3)
shares = st.floats(0, 1)


@given(st.data())
def test_no_figures_make_a_sentence_fail_or_say_what_no_run_had(data: st.DataObject):
    causes = ("rng-clone", "rng-epoch-reset", "unsharded-replica", "shared-state-race")
    drawn: dict[tuple[str, str], Figures] = {}

    def look(source: str, strategy: str) -> Figures:
        if (source, strategy) not in drawn:
            unique = data.draw(counts)
            drawn[source, strategy] = run(
                strategy,
                unique,
                over_all=data.draw(st.integers(max(unique), sum(unique))),
                coverage=data.draw(st.tuples(shares, shares, shares | st.just(NAN))),
                divergence=data.draw(st.tuples(shares, shares, shares | st.just(NAN))),
                by_worker=data.draw(st.lists(st.integers(0, 96), min_size=1, max_size=4).map(tuple)),
                findings=tuple(found(cause) for cause in data.draw(st.sets(st.sampled_from(causes)))),
                ended=data.draw(st.sampled_from(["", "", "", "it broke"])),
            )
        return drawn[source, strategy]

    for chapter in s.CHAPTERS:
        drawn.clear()
        told = chapter.tell(look)
        asked = {(case.source, strategy) for case in chapter.cases for strategy in case.strategies}
        assert set(drawn) <= asked, "a sentence is made of what the demo does not run"
        said = {text for one in told for text in re.findall(r"(\d[\d, and]*) of 32 batch", one)}
        assert said <= {figures.different.removesuffix(" of 32") for figures in drawn.values()}


@pytest.mark.parametrize(
    ("values", "text"),
    [((0.25, 0.25), "25 %"), ((0.25, 0.5), "25, 50 %"), ((0.25, NAN), "25 %, –"), ((NAN,), "–"), ((), "–")],
)
def test_percents(values, text):
    assert percents(values) == text


@pytest.mark.parametrize(
    ("values", "text"), [((0.0, 0.0), "0.00"), ((0.5, 0.0), "0.00-0.50"), ((NAN, 1.0), "1.00"), ((NAN,), "–")]
)
def test_ratios(values, text):
    assert ratios(values) == text
