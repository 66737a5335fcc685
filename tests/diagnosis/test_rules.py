"""What each rule needs to see, and what it says when it cannot. Real loaders are in tests/corpus."""

from __future__ import annotations

import pytest

from batchaudit.analysis.baseline import Baseline
from batchaudit.diagnosis import (
    RULES,
    diagnose,
    rng_clone,
    rng_epoch_reset,
    shared_state_race,
    unsharded_replica,
)
from tests.analysis.build import Batch, evidence, table


def states(before: int, after: int, stream: str = "numpy") -> dict[str, tuple[int, int]]:
    return {stream: (before, after)}


def in_turns(steps: int, make) -> list[Batch]:
    """Batches of two workers, pid 2 and 3, in turns."""
    return [make(pid, step) for step in range(steps) for pid in (2, 3)]


def serial(batches: list[Batch]) -> Baseline:
    first = table(batches)
    return Baseline(first, first, first)


CLONES = in_turns(4, lambda pid, step: Batch(pid, 10 * step + pid, states=states(step + 1, step + 2)))
REPLICAS = in_turns(4, lambda pid, step: Batch(pid, step))
SHARDS = in_turns(4, lambda pid, step: Batch(pid, 10 * step + pid))
WALK = serial([Batch(1, content) for content in range(8)])


def test_every_cause_has_a_verdict():
    findings, verdicts = diagnose(evidence(REPLICAS, WALK))
    assert [verdict.cause for verdict in verdicts] == [rule.CAUSE for rule in RULES]
    assert [finding.cause for finding in findings] == ["unsharded-replica"]
    assert {verdict.verdict for verdict in verdicts} <= {"found", "ruled out", "not observable"}


def test_a_run_that_ended_early_rules_nothing_out():
    _, verdicts = diagnose(evidence(SHARDS, WALK, ended_early=True))
    assert {verdict.verdict for verdict in verdicts} == {"not observable"}
    assert any("ended early" in verdict.reason for verdict in verdicts)


# -- unsharded-replica --------------------------------------------------------------------------------


def test_replicas():
    finding = unsharded_replica.judge(evidence(REPLICAS, WALK)).finding
    assert finding is not None
    assert finding.evidence["workers"] == [0, 1]
    assert finding.evidence["unique_by_epoch"] == [4]
    assert finding.evidence["copies"] == {2: 4}
    assert finding.evidence["first_example"].startswith("worker 0 step 0 and worker 1 step 0 emitted batch")


def test_shards_are_no_replicas():
    assert unsharded_replica.judge(evidence(SHARDS, WALK)).verdict == "ruled out"


def test_two_steps_prove_no_replica():
    judgement = unsharded_replica.judge(evidence(REPLICAS[:4], WALK))
    assert judgement.verdict == "not observable"
    assert "longer epoch" in judgement.reason


def test_one_busy_worker_of_several_proves_nothing():
    judgement = unsharded_replica.judge(evidence([Batch(2, n) for n in range(8)], WALK, workers_configured=4))
    assert judgement.verdict == "not observable"
    assert "only one of 4 workers" in judgement.reason


def test_equal_draws_are_the_shared_state_s_doing():
    drawn = in_turns(4, lambda pid, step: Batch(pid, step, states=states(step + 1, step + 2)))
    judged = evidence(drawn, serial([Batch(1, n, states=states(n + 1, n + 2)) for n in range(8)]))
    assert unsharded_replica.judge(judged).verdict == "not observable"
    assert rng_clone.judge(judged).verdict == "found"


def test_a_source_that_repeats_one_batch_hides_replicas():
    same = in_turns(4, lambda pid, step: Batch(pid, 5))
    judgement = unsharded_replica.judge(evidence(same, serial([Batch(1, 5)] * 8)))
    assert judgement.verdict == "not observable"


def test_what_cannot_be_hashed_hides_replicas():
    blind = in_turns(4, lambda pid, step: Batch(pid, 5, flags=4))
    assert unsharded_replica.judge(evidence(blind, WALK)).verdict == "not observable"


@pytest.mark.parametrize("by_id", [True, False])
def test_replicas_that_shuffle_for_themselves(by_id):
    def sample(content: int) -> dict[str, tuple[int, ...]]:
        return {"samples": (content,), "ids": (content,) if by_id else ()}

    orders = {2: [0, 1, 2, 3, 4, 5, 6], 3: [6, 5, 4, 3, 2, 1, 0]}
    batches = in_turns(7, lambda pid, step: Batch(pid, 100 * pid + step, **sample(orders[pid][step])))
    source = serial([Batch(1, content, **sample(content)) for content in range(8)])
    finding = unsharded_replica.judge(evidence(batches, source)).finding
    assert finding is not None
    assert finding.evidence["different_samples_by_worker"] == [7, 7]


def test_workers_that_share_the_samples_of_an_epoch_walk_no_replica():
    def sample(content: int) -> dict[str, tuple[int, ...]]:
        return {"samples": (content,), "ids": (content,)}

    # Over two epochs each worker sees nearly all samples, in each epoch only its share.
    batches = [
        Batch(pid, 100 * epoch + content, epoch, **sample(content))
        for epoch in (0, 1)
        for content in range(8)
        for pid in [2 + (content + epoch) % 2]
    ]
    source = serial([Batch(1, content, **sample(content)) for content in range(8)])
    assert unsharded_replica.judge(evidence(batches, source)).verdict == "ruled out"


# -- rng-clone ----------------------------------------------------------------------------------------


def walking(count: int = 8) -> Baseline:
    """A serial pass that draws once a batch and goes on."""
    return serial([Batch(1, n, states=states(n + 1, n + 2)) for n in range(count)])


def test_clones():
    finding = rng_clone.judge(evidence(CLONES, walking())).finding
    assert finding is not None
    assert finding.evidence["draws_alike"] == 8
    assert finding.evidence["seed_divergence"] == 0.0
    assert finding.evidence["lockstep"] == 4


def test_clones_of_two_steps_each_epoch():
    batches = [
        Batch(pid + 10 * epoch, 100 * epoch + 10 * step + pid, epoch, states=states(step + 1, step + 2))
        for epoch in range(3)
        for step in range(2)
        for pid in (2, 3)
    ]
    assert rng_clone.judge(evidence(batches, walking())).verdict == "found"


def test_diverged_workers():
    apart = in_turns(
        4,
        lambda pid, step: Batch(pid, 10 * step + pid, states=states(100 * pid + step, 100 * pid + step + 1)),
    )
    assert rng_clone.judge(evidence(apart, walking())).verdict == "ruled out"


def test_an_inherited_state_that_nobody_draws_from_is_no_clone():
    # Both workers begin from one state, and seed by the index of their batch.
    seeded = in_turns(
        4,
        lambda pid, step: Batch(
            pid, 10 * step + pid, states=states(1 if not step else 10 * step + pid, 10 * step + pid + 10)
        ),
    )
    judgement = rng_clone.judge(evidence(seeded, walking()))
    assert judgement.verdict == "not observable"
    assert "whether they seeded it" in judgement.reason


def test_a_source_that_seeds_for_each_batch_makes_no_clones():
    same = in_turns(4, lambda pid, step: Batch(pid, 10 * step + pid, states=states(step + 1, 99)))
    seeding = serial([Batch(1, n, states=states(n + 1, 99)) for n in range(8)])
    judgement = rng_clone.judge(evidence(same, seeding))
    assert judgement.verdict == "ruled out"
    assert "seeds its random stream" in judgement.reason


def test_threads_are_no_clones():
    threads = [Batch(2, n, thread=n % 2, states=states(n + 1, n + 2)) for n in range(8)]
    assert rng_clone.judge(evidence(threads, walking())).verdict == "ruled out"


def test_copies_in_one_process_can_be_clones_of_what_they_hold():
    copies = [
        Batch(2, n, framework_worker=n % 2, states=states(n // 2 + 1, n // 2 + 2, "private"))
        for n in range(8)
    ]
    source = serial([Batch(1, n, states=states(n + 1, n + 2, "private")) for n in range(8)])
    assert rng_clone.judge(evidence(copies, source)).verdict == "found"


def test_no_stream_moved():
    judgement = rng_clone.judge(evidence(SHARDS, WALK))
    assert judgement.verdict == "not observable"
    assert judgement.reason.startswith("no random stream moved")


# -- rng-epoch-reset ----------------------------------------------------------------------------------


def epochs(state, count: int = 3) -> list[Batch]:
    return [
        Batch(2 + epoch, 100 * epoch + step, epoch, states=states(state(epoch, step), state(epoch, step) + 1))
        for epoch in range(count)
        for step in range(4)
    ]


def test_each_epoch_starts_over():
    finding = rng_epoch_reset.judge(evidence(epochs(lambda epoch, step: 1 + step), walking(12))).finding
    assert finding is not None
    assert finding.evidence["repeated_share_by_epoch"] == {"numpy": [1.0, 1.0]}


def test_epochs_that_go_on():
    going_on = epochs(lambda epoch, step: 1 + 4 * epoch + step)
    assert rng_epoch_reset.judge(evidence(going_on, walking(12))).verdict == "ruled out"


def test_one_epoch_shows_no_reset():
    one = evidence(epochs(lambda epoch, step: 1 + step, count=1), walking())
    assert rng_epoch_reset.judge(one).verdict == "not observable"


def test_what_a_new_source_holds_may_start_over():
    held = [
        Batch(2, 100 * epoch + step, epoch, states=states(1 + step, 2 + step, "private"))
        for epoch in range(3)
        for step in range(4)
    ]
    assert rng_epoch_reset.judge(evidence(held, renewed=True)).verdict == "not observable"
    assert rng_epoch_reset.judge(evidence(held, renewed=False)).verdict == "found"


# -- shared-state-race --------------------------------------------------------------------------------


def threads(contents: list[int]) -> list[Batch]:
    return [Batch(2, content, thread=number % 2) for number, content in enumerate(contents)]


LONG_WALK = serial([Batch(1, content) for content in range(30)])


def test_threads_that_take_turns():
    assert shared_state_race.judge(evidence(threads(list(range(20))), LONG_WALK)).verdict == "ruled out"


def test_a_batch_handed_to_two_threads():
    finding = shared_state_race.judge(evidence(threads([0, 1, 1, 2, 3, 3, 4, 5]), LONG_WALK)).finding
    assert finding is not None
    assert finding.evidence["made_twice"] == 2


def test_a_torn_batch():
    finding = shared_state_race.judge(evidence(threads([0, 1, 777, 2, 3, 4]), LONG_WALK)).finding
    assert finding is not None
    assert finding.evidence["in_no_baseline"] == 1


def test_what_is_made_ahead_of_the_baseline_is_not_torn():
    assert shared_state_race.judge(evidence(threads(list(range(36))), LONG_WALK)).verdict == "ruled out"


def test_a_stream_that_begins_again_is_not_made_twice():
    cycle = serial([Batch(1, n % 10) for n in range(40)])
    assert (
        shared_state_race.judge(evidence(threads([n % 10 for n in range(40)]), cycle)).verdict == "ruled out"
    )


def test_threads_that_draw_in_turns_are_told_and_do_no_harm():
    drawing = [Batch(1, n, states=states(n + 1, n + 2, "private")) for n in range(30)]
    turns = [Batch(2, 100 + n, thread=n % 2, states=states(n + 1, n + 2, "private")) for n in range(8)]
    finding = shared_state_race.judge(evidence(turns, serial(drawing))).finding
    assert finding is not None
    assert finding.severity == "info"


def test_drawn_batches_hide_a_race():
    first = table([Batch(1, n) for n in range(8)])
    drawn = Baseline(first, table([Batch(1, n + 50) for n in range(8)]), first)
    judgement = shared_state_race.judge(evidence(threads(list(range(8))), drawn))
    assert judgement.verdict == "not observable"


def test_processes_may_share_a_file():
    judgement = shared_state_race.judge(evidence(SHARDS, LONG_WALK))
    assert judgement.verdict == "not observable"
    assert "file" in judgement.reason


def test_processes_that_make_the_samples_of_the_serial_passes():
    source = serial([Batch(1, content, samples=(content,)) for content in range(40)])
    shards = in_turns(4, lambda pid, step: Batch(pid, 10 * step + pid, samples=(10 * step + pid,)))
    assert shared_state_race.judge(evidence(shards, source)).verdict == "ruled out"


def test_an_epoch_that_the_baseline_has_not_is_not_torn():
    source = serial([Batch(1, content, samples=(content,), index=content) for content in range(8)])
    ahead = [Batch(2, 100 + n, thread=n % 2, index=n, samples=(100 + n,)) for n in range(8)]
    assert shared_state_race.judge(evidence(ahead, source, kind="indexed")).verdict == "not observable"
