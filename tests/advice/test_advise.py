"""The advice for sources of a known nature, measured by hand: what to do, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchaudit.advice import Option, Question, advise, choice
from batchaudit.analysis.timing import Steps
from tests.advice.made import (
    DEAR,
    HOLDS,
    MS,
    OWN_THREADS,
    RELEASES,
    TINY,
    WAITS,
    costs,
    option,
    question,
    sp,
    timing,
)

FIX = "def __getitem__(self, index):\n    rng = np.random.default_rng([seed, index])"


def rules(advice):
    return {reason.rule: reason.text for reason in advice.reasons}


# -- the right one for each nature -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "best"),
    [
        pytest.param(WAITS, "threads:4", id="waits"),
        pytest.param(HOLDS, "fork:4", id="holds the interpreter"),
        pytest.param(RELEASES, "threads:4", id="releases it"),
        pytest.param(DEAR, "serial", id="cheap to make, dear to send"),
        pytest.param(TINY, "serial", id="cheap and tiny"),
        pytest.param(OWN_THREADS, "serial", id="runs threads of its own"),
    ],
)
def test_each_nature_has_its_strategy(source, best):
    advice = advise(question(*source))
    assert advice.best == best
    assert not advice.uncertain
    assert advice.step_time is advice.stalled_before is advice.stalled_after is None


@pytest.mark.parametrize(
    ("source", "sentences"),
    [
        (WAITS, ["Use threads:4.", "A batch computes for 100 µs and waits for 20 ms, so threads help."]),
        (HOLDS, ["Use fork:4", "it holds the interpreter (two threads give 1.0×), so threads do not help."]),
        (RELEASES, ["Use threads:4; 2 workers are enough.", "so threads help as processes do."]),
        (DEAR, ["Use no workers (serial).", "so no worker is worth its cost.", "fork:4 gave 0.1×"]),
        (TINY, ["Use no workers (serial).", "so no worker is worth its cost."]),
    ],
)
def test_the_summary_says_what_to_do_and_why(source, sentences):
    summary = advise(question(*source)).summary
    for sentence in sentences:
        assert sentence in summary


def test_each_strategy_is_compared_with_its_bound():
    advice = advise(question(*WAITS))
    serial, threads, fork = advice.compared
    assert serial.speed_up.middle == 1.0
    assert serial.bound is None
    assert (threads.speed_up.middle, threads.bound, threads.bound_by) == (3.9, 4.0, "4 workers")
    assert (fork.speed_up.middle, fork.bound) == (pytest.approx(3.6), pytest.approx(4 * 20 / 21))
    assert "threads:4 gave 3.9× (at most 4.0×), fork:4 gave 3.6× (at most 3.8×)." in advice.summary


def test_sending_is_told_where_processes_are_compared():
    said = rules(advise(question(*DEAR)))["sending"]
    assert said == (
        "sending 1.0 MB from a process costs 40 ms: 20 ms to pickle and send, 20 ms to receive and unpickle, "
        "more than the 3.0 ms that making it takes: processes cannot help"
    )
    assert "cannot help" not in rules(advise(question(*HOLDS)))["sending"]
    assert "sending" not in rules(advise(question({"threads:4": 1.0}, *HOLDS[1:])))
    assert "sending" not in rules(advise(question(*HOLDS[:3], costs(send=None, together=1.0))))


def test_of_a_generator_no_thread_is_said_to_help():
    source = ({"threads:4": 1.0}, *WAITS[1:])
    summary = advise(question(*source, kind="iterator")).summary
    assert "so threads help" not in summary
    assert "an iterator gives one batch after the other" in summary
    assert "two threads make 2.0× as many" in rules(advise(question(*source, kind="iterator")))["indexed"]
    assert "indexed" not in rules(advise(question(*source)))


def test_threads_that_gave_nothing_are_not_said_to_help():
    summary = advise(question({"threads:4": 1.05}, *WAITS[1:])).summary
    assert "so threads help" not in summary
    assert "yet threads gave hardly more" in summary


def test_a_dataset_is_told_of_its_own_workers():
    advice = advise(question({}, 20 * MS, 20 * MS, costs(send=None), kind="dataset"))
    assert advice.best == "serial"
    assert "AUTOTUNE" in rules(advice)["tf-data"]


# -- as good as ------------------------------------------------------------------------------------


def test_workers_that_hardly_help_are_not_worth_having():
    assert advise(question({"threads:4": 1.08, "fork:4": 1.1}, *HOLDS[1:])).best == "serial"
    assert advise(question({"threads:4": 1.08, "fork:4": 1.3}, *HOLDS[1:])).best == "fork:4"


def test_what_is_as_good_is_told():
    said = rules(advise(question(*RELEASES)))["simplest"]
    assert said == (
        "threads:4 is the simplest of those that are as fast as the measurements can tell, with fork:4"
    )
    assert "simplest" not in rules(advise(question(*HOLDS)))


def test_fewer_workers_are_simpler():
    advice = advise(question({"threads:8": 3.9, "threads:4": 3.8}, *WAITS[1:]))
    assert advice.best == "threads:4"


def test_spreads_that_overlap_make_equals_but_never_of_half_the_rate():
    def best(factor, off):
        return advise(question({"fork:4": factor}, *HOLDS[1:], off=off)).best

    assert best(1.25, 0.02) == "fork:4"
    assert best(1.25, 0.3) == "serial"
    assert best(2.0, 0.6) == "fork:4"


def test_uncertain_is_told_with_its_reason():
    sure, unsure = (advise(question({"fork:4": 1.25}, *HOLDS[1:], off=off)) for off in (0.02, 0.3))
    assert (sure.uncertain, unsure.uncertain) == (False, True)
    assert "(uncertain: the spreads overlap)" in unsure.summary
    assert "spread" in rules(unsure) and "spread" not in rules(sure)


def test_on_a_busy_machine_everything_is_uncertain():
    source = (*HOLDS[:3], replace(HOLDS[3], pair=sp(1.1)))
    advice = advise(question(*source))
    assert advice.best == "fork:4"
    assert advice.uncertain
    assert advice.nature == ""
    assert "(uncertain: the machine was busy)" in advice.summary
    assert "got 1.1× done of one's work" in rules(advice)["busy-machine"]
    assert "busy-machine" not in rules(advise(question(*HOLDS)))


def test_one_core_is_no_busy_machine():
    one = costs(together=1.0, pair=1.0, cores=1)
    advice = advise(question({"threads:4": 1.0, "fork:4": 0.95}, 20 * MS, 20 * MS, one))
    assert (advice.best, advice.uncertain, advice.nature) == ("serial", False, "")
    threads, fork = advice.compared[1:]
    assert threads.bound == 1.0
    assert fork.bound < 1.0


# -- defects ---------------------------------------------------------------------------------------


DEFECT = {"causes": {"fork:4": ("rng-clone", "seed")}, "fixes": {"fork:4": FIX}}


def test_a_strategy_with_a_defect_is_advised_only_once_it_is_mended():
    advice = advise(question(*HOLDS, **DEFECT))
    assert advice.best == "serial"
    assert advice.after_fix == "fork:4"
    assert "Once its rng-clone is mended, fork:4 would give 1.9× as much." in advice.summary
    assert rules(advice)["after-fix"].endswith(f"only once its rng-clone is mended:\n{FIX}")
    assert "the audit found rng-clone, seed with it" in rules(advice)["defect"]
    assert "fork:4 gave 1.9× (at most 1.8×) with rng-clone" in advice.summary


def test_a_defect_without_a_fix():
    advice = advise(question(*HOLDS, causes={"fork:4": ("rng-clone",)}))
    assert rules(advice)["after-fix"].endswith("only once its rng-clone is mended")


def test_a_defect_of_what_is_no_faster_is_not_worth_mending():
    advice = advise(question(*RELEASES, **DEFECT))
    assert (advice.best, advice.after_fix) == ("threads:4", None)
    assert "after-fix" not in rules(advice)


def test_where_every_strategy_has_a_defect_none_is_advised():
    whole = question(*HOLDS)
    options = tuple(replace(one, causes=("rng-clone",)) for one in whole.options if one.family != "serial")
    advice = advise(replace(whole, options=options))
    assert (advice.best, advice.enough, advice.after_fix) == (None, None, None)
    assert advice.summary == (
        "No advice: the audit found a defect with every strategy (threads:4: rng-clone; fork:4: rng-clone). "
        "Mend that first."
    )


def test_of_an_incomplete_log_nothing_is_advised():
    advice = advise(question(*WAITS, complete=False))
    assert (advice.best, advice.after_fix) == (None, None)
    assert "the log is incomplete" in advice.summary
    assert len(advice.compared) == 3


def test_where_nothing_was_measured_there_is_no_advice():
    assert advise(Question("s", "indexed", ())) is None
    assert advise(Question("s", "indexed", (option("serial", None, refused="it raised"),))) is None


def test_what_was_refused_is_told_and_not_chosen():
    asked = question({"threads:4": 3.9}, *WAITS[1:])
    refused = option("spawn:4", None, refused="a generator cannot be pickled")
    advice = advise(replace(asked, options=(*asked.options, refused)))
    assert advice.best == "threads:4"
    assert rules(advice)["lacks"] == "spawn:4 was not measured: a generator cannot be pickled"
    assert advice.compared[-1].speed_up is advice.compared[-1].bound is None


def test_without_serial_the_fastest_is_taken_and_nothing_is_bounded():
    options = (option("threads:4", timing(20 * MS, MS, 50.0)), option("fork:4", timing(20 * MS, MS, 150.0)))
    advice = advise(Question("s", "indexed", options, costs()))
    assert (advice.best, advice.nature, advice.enough) == ("fork:4", "", None)
    assert all(one.speed_up is None and one.bound is None for one in advice.compared)


def test_rates_with_fingerprints_in_them_are_told():
    options = (option("serial", timing(20 * MS, clocked=False)),)
    assert "not-clocked" in rules(advise(Question("s", "indexed", options)))
    assert "not-clocked" not in rules(advise(question(*WAITS)))


# -- a training step -------------------------------------------------------------------------------


def test_stalled_without_workers_is_the_share_of_making():
    assert choice.stalled(option("serial", timing(20 * MS)), 20 * MS) == 0.5
    assert choice.stalled(option("torch:0", timing(20 * MS)), 60 * MS) == 0.25


def test_stalled_with_workers_is_what_the_step_does_not_hide():
    threads = option("threads:4", timing(20 * MS, rate=50.0))
    assert choice.stalled(threads, 20 * MS) == 0.0
    assert choice.stalled(threads, 40 * MS) == 0.0
    assert choice.stalled(threads, 5 * MS) == pytest.approx(0.75)


def test_the_simplest_that_does_not_stall_is_advised():
    faster = ({"threads:4": 2.0, "fork:4": 3.0}, 20 * MS, 20 * MS, costs(together=2.0))
    assert advise(question(*faster)).best == "fork:4"
    advice = advise(question(*faster, step_time=15 * MS))
    assert (advice.best, advice.enough) == ("threads:4", 2)
    assert advice.stalled_before == pytest.approx(20 / 35)
    assert advice.stalled_after == 0.0
    assert "the training waits for data for 0 % of its time instead of 57 %" in advice.summary
    assert "with which the training does not wait, with fork:4" in rules(advice)["simplest"]
    assert "from 67 batches a second on" in rules(advice)["step-time"]


def test_a_long_step_needs_no_workers():
    advice = advise(question(*WAITS, step_time=1.0))
    assert (advice.best, advice.enough) == ("serial", None)
    assert advice.stalled_before == advice.stalled_after == pytest.approx(0.02 / 1.02)


def test_a_step_shorter_than_all_takes_the_fastest():
    advice = advise(question(*HOLDS, step_time=1 * MS))
    assert advice.best == "fork:4"
    assert advice.stalled_after == pytest.approx((20 / 1.9 - 1) / (20 / 1.9))


def test_where_nothing_waits_no_defect_is_worth_mending():
    assert advise(question(*HOLDS, **DEFECT, step_time=1.0)).after_fix is None
    assert advise(question(*HOLDS, **DEFECT, step_time=12 * MS)).after_fix == "fork:4"


def test_one_that_may_be_too_slow_for_the_step_is_uncertain():
    source = ({"threads:4": 2.0}, 20 * MS, 0.1 * MS, costs(together=2.0))
    assert not advise(question(*source, step_time=15 * MS, off=0.1)).uncertain
    assert advise(question(*source, step_time=10 * MS, off=0.1)).uncertain


def test_now_is_how_the_source_is_set_up():
    whole = question({"torch:4": 3.9}, *WAITS[1:])
    as_is = option("as-is", timing(20 * MS, 0.1 * MS, 100.0), workers=2)
    advice = advise(replace(whole, options=(as_is, *whole.options), step_time=5 * MS))
    assert advice.stalled_before == pytest.approx(0.5)


# -- a watched training ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stalled", "said"),
    [(0.4, "for 40 % of its time"), (0.03, "data does not hold it up"), (0.4, "step_time=0.025")],
)
def test_a_training_says_whether_it_waits(stalled, said):
    live = (option("live", timing(20 * MS, clocked=False)),)
    advice = advise(Question("s", "indexed", live, steps=Steps(sp(25 * MS), stalled)))
    assert said in advice.summary
    assert "A step takes 25 ms (24 ms to 26 ms)" in advice.summary
    assert "making a batch takes 20 ms" in advice.summary
    assert (advice.best, advice.step_time, advice.stalled_before) == (None, 25 * MS, stalled)
    assert advice.compared[0].stalled == stalled


def test_of_a_training_of_which_no_rate_is_known_nothing_is_said():
    assert advise(Question("s", "indexed", (option("live", None),), steps=Steps(sp(1.0), 0.5))) is None


# -- whatever was measured -------------------------------------------------------------------------

FAMILIES = ("threads", "fork", "torch", "tf.data", "keras-threads", "keras-processes", "as-is")


@st.composite
def options(draw):
    found = []
    if draw(st.booleans()):
        found.append(option("serial", timing(draw(st.floats(1e-5, 1)), draw(st.floats(0, 1)))))
    for number, family in enumerate(draw(st.lists(st.sampled_from(FAMILIES), max_size=5))):
        workers = draw(st.integers(1, 16))
        make, rate = draw(st.floats(1e-5, 1)), draw(st.floats(0.01, 1e5))
        found.append(
            Option(
                f"{family}:{workers} {number}", family, workers,
                draw(st.sampled_from([None, timing(make, make / 2, rate, off=draw(st.floats(0, 0.9)))])),
                draw(st.sampled_from([(), (), ("rng-clone",)])), FIX,
                draw(st.sampled_from([None, "it raised"])),
            )
        )  # fmt: skip
    return tuple(found)


QUESTIONS = st.builds(
    Question,
    source=st.just("s"),
    kind=st.sampled_from(["", "iterator", "iterable", "indexed", "dataset"]),
    options=options(),
    costs=st.builds(
        costs,
        send=st.one_of(st.none(), st.floats(0, 1)),
        together=st.one_of(st.none(), st.floats(0.01, 3)),
        pair=st.one_of(st.none(), st.floats(0.3, 2.2)),
        cores=st.integers(0, 64),
    ),
    step_time=st.one_of(st.none(), st.floats(1e-6, 10)),
    nbytes=st.one_of(st.none(), st.floats(0, 1e10)),
    complete=st.booleans(),
)


@given(QUESTIONS)
def test_what_is_advised_is_clean_and_measured(asked):
    advice = advise(asked)
    measured = [one for one in asked.options if one.timing is not None]
    assert (advice is None) == (not measured)
    if advice is None:
        return
    clean = {one.strategy: one for one in measured if not one.causes}
    assert (advice.best is None) == (not clean or not asked.complete)
    assert advice.best is None or advice.best in clean
    assert [one.option for one in advice.compared] == list(asked.options)
    if advice.after_fix is not None:
        mended = next(one for one in measured if one.strategy == advice.after_fix)
        assert mended.causes
        assert FIX in rules(advice)["after-fix"]
    if advice.enough is not None:
        assert 1 <= advice.enough <= clean[advice.best].workers
    assert advice.summary


@given(QUESTIONS)
def test_without_a_step_time_what_is_advised_is_near_the_fastest(asked):
    asked = replace(asked, step_time=None)
    advice = advise(asked)
    if advice is None or advice.best is None:
        return
    rates = {one.strategy: one.timing.rate.middle for one in asked.options if one.clean}
    assert rates[advice.best] >= 0.75 * max(rates.values())


@given(QUESTIONS)
def test_with_a_step_time_nothing_clean_waits_less_than_it_must(asked):
    asked = replace(asked, step_time=asked.step_time or 0.02)
    advice = advise(asked)
    if advice is None or advice.best is None:
        return
    stalls = {one.strategy: choice.stalled(one, asked.step_time) for one in asked.options if one.clean}
    assert advice.stalled_after == stalls[advice.best]
    assert 0 <= advice.stalled_after <= 1
    if min(stalls.values()) <= choice.STALLED:
        assert advice.stalled_after <= choice.STALLED


def test_a_defect_of_the_source_itself_is_told_first():
    asked = question(*WAITS)
    sick = advise(replace(asked, own=("inplace-mutation", "tail-drop")))
    assert sick.summary.startswith(
        "Mend inplace-mutation, tail-drop first: they are there without workers, too. Use "
    )
    assert "Mend" not in advise(asked).summary
    assert sick.best == advise(asked).best
