"""`stale-epoch`: the number of the epoch, or its hook, does not arrive where the order or the draws are made.

It needs two epochs. Seen are: the copies of a source in its workers that stay in an epoch which the program
has left; a sampler or dataset that wants to be told the epoch and is not; a hook of the source's own that
nobody calls, or that is called in the middle of an epoch; an order that moves without workers and stands
still with them, because what counts the epochs dies with them. Where none of that is seen and the order
stands still all the same, somebody must have asked for a shuffle: an order that is that of the data was not
asked to change.

Draws that repeat while the order moves are `rng-epoch-reset` or `frozen-augmentation`. An order in which
items come twice and others not at all, in every part of the epoch, is `order-divergence`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from batchaudit.analysis import order
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.order import Beliefs, Repetition, beliefs
from batchaudit.analysis.walk import walk
from batchaudit.diagnosis import fixes, keyed, pages, rng_epoch_reset, unsharded_replica
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import Judgement, found, listed, not_observable, ruled_out

CAUSE = "stale-epoch"
_EXPLAIN = (rng_epoch_reset.CAUSE, unsharded_replica.CAUSE)
_TEACHES = ("training", "")  # `ba.audit` is of a source that is to be trained on


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether the epoch arrives.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    if len(evidence.epochs) < 2:
        return not_observable("fewer than two epochs were delivered: run 2 epochs or more")
    if evidence.renewed:
        return not_observable(
            "each epoch was driven on a new iterator: give an endless one and steps_per_epoch"
        )
    told = beliefs(evidence.tables)
    behind = _behind(told)
    if behind:
        return found(_not_propagated(evidence, told, behind))
    mixed = order.mixed(evidence.tables, evidence.walk) if evidence.live else []
    if mixed:
        return found(_called_inside(evidence, mixed))
    repeated = order.repetition(evidence.tables, evidence.walk)
    if repeated is not None and repeated.always:
        explained = [cause for cause in _EXPLAIN if cause in earlier]
        if explained and repeated.by != "id":
            return not_observable(
                f"{explained[0]} makes the contents of the epochs equal, and the samples have no ids to "
                "compare orders by: repair it first, or give key="
            )
        return _standing_still(evidence, told, repeated)
    if _moves(told.consumer) or _moves(told.sampler):
        return ruled_out("the epoch that the program sets arrives")
    return _not_one_order(evidence, repeated)


def _not_one_order(evidence: Evidence, repeated: Repetition | None) -> Judgement:
    if repeated is None:
        return not_observable("no two epochs went far enough to be compared: run 2 whole epochs or more")
    if repeated.never:
        return ruled_out("each epoch has an order of its own")
    if evidence.about.get("shuffles") is False:
        return ruled_out("no shuffle was asked for")
    uncalled = _uncalled(evidence)
    if uncalled:
        return not_observable(
            f"{uncalled[0]} was never called, but the contents are drawn anew and the samples have no ids to "
            "compare orders by: give key="
        )
    if all(repeated.same):
        return not_observable("too few different samples to tell a shuffled order from another")
    if not repeated.tells_apart:
        return not_observable(
            "the contents of the epochs differ, and the samples have no ids to compare orders by: give key="
        )
    return not_observable("some epochs have the order of the one before: run more epochs")


# -- the order stands still -----------------------------------------------------------------------


def _standing_still(evidence: Evidence, told: Beliefs, repeated: Repetition) -> Judgement:
    """All epochs have their samples in one order: was another one asked for?"""
    if evidence.split == "prediction":
        return ruled_out("all epochs have one order, as predictions should")
    disordered = order.scrambled(evidence.walk)
    asked = evidence.about.get("shuffles")
    uncalled = _uncalled(evidence)
    if uncalled and disordered is not False:
        return found(_hook_never_called(evidence, repeated, uncalled, disordered))
    if asked is False:
        return ruled_out("all epochs have one order: no shuffle was asked for")
    moving = _moving_without(evidence, repeated)
    if moving:
        return found(_dies_with_the_workers(evidence, repeated, moving))
    if _never_told(evidence, told) and (disordered or (asked and disordered is None)):
        return found(_epoch_never_set(evidence, told, repeated))
    if disordered is False:
        return ruled_out("the samples come in the order of the data: no shuffle was asked for")
    if evidence.split not in _TEACHES:
        return ruled_out("all epochs have one order, as a validation should")
    if asked or disordered:
        return found(_one_order(evidence, repeated, bool(asked)))
    if evidence.keyed:
        return not_observable(
            f"all epochs have one order; {keyed.NO_ORDER}: whether it is that of the data is not known"
        )
    return not_observable(
        "all epochs have one order, and it is not known whether another one was asked for: give key= with "
        "the numbers of the samples in the data"
    )


def _uncalled(evidence: Evidence) -> list[str]:
    """The hooks of the source's own that change its items, and that nobody called.

    What a generator holds is not watched: that its order stands still says that nobody did.
    """
    hooks = evidence.about.get("hooks") or ()
    if not evidence.live and evidence.kind == "indexed":
        return []  # the audit calls them
    called = set(evidence.tables.hooks["text"])
    # One of two is enough: frameworks that know them call both.
    return [] if called & set(hooks) else list(hooks)


def _never_told(evidence: Evidence, told: Beliefs) -> bool:
    """Whether there is somebody to tell the epoch, who stayed in one."""
    if told.sampler and told.sampler[0] >= 0:
        return len(set(told.sampler)) == 1
    one = len(set(told.consumer)) == 1 and told.consumer[0] >= 0
    return one and bool(evidence.about.get("set_epoch"))


def _moving_without(evidence: Evidence, repeated: Repetition) -> str:
    """What makes the order move that stands still in this run: "serial" or "persistent"; "" for nothing."""
    if evidence.baseline.first is not None and evidence.serial_walk is not None:
        serial = order.repetition(evidence.baseline.first, evidence.serial_walk)
        if serial is not None and serial.varies and serial.by == repeated.by:
            return "serial"
    probe = evidence.probes.get("persistent")
    if probe is not None and not probe.delivered.empty:
        other = order.repetition(probe, walk(probe, evidence.baseline))
        if other is not None and other.varies:
            return "persistent"
    return ""


# -- findings -------------------------------------------------------------------------------------


def _numbers(evidence: Evidence, repeated: Repetition) -> dict[str, Any]:
    first, second = repeated.epochs[:2]
    unit = "samples" if len(evidence.tables.samples) else "batches"
    return {
        "epochs": len(evidence.epochs),
        "same_order_as_before": list(repeated.same[:64]),
        "told_apart_by": repeated.by,
        "first_example": f"epoch {second} has the {repeated.items} {unit} of epoch {first} in the same order",
    }


def _hook_never_called(
    evidence: Evidence, repeated: Repetition, uncalled: list[str], disordered: bool | None
) -> Finding:
    shuffled = bool(disordered) or evidence.about.get("order") == "shuffled"
    severity = "error" if shuffled else "warning"
    if evidence.split not in _TEACHES:
        severity = "info"  # a validation may stay as it is
    held = "the source has" if evidence.kind == "indexed" else "an object that its generator holds has"
    numbers = _numbers(evidence, repeated)
    return Finding(
        CAUSE,
        severity,
        "pipeline",
        f"all {numbers['epochs']} epochs have the same samples in the same order"
        f"{', which was shuffled once' if shuffled else ''}: {held} {' and '.join(uncalled)}, which nobody "
        "called.",
        numbers | {"hooks_never_called": uncalled, "order_so_far": evidence.about.get("order", "")},
        fixes.of(CAUSE, evidence),
    )


def _dies_with_the_workers(evidence: Evidence, repeated: Repetition, moving: str) -> Finding:
    where = "driven serially" if moving == "serial" else "with workers that live otherwise"
    numbers = _numbers(evidence, repeated)
    return Finding(
        CAUSE,
        "error" if evidence.split in _TEACHES else "info",
        "worker",
        f"all {numbers['epochs']} epochs have one order with these workers, and each has another one "
        f"{where}: what makes the order is kept in copies that do not go on from epoch to epoch.",
        numbers | {"moves": moving},
        fixes.of(CAUSE, evidence),
    )


def _epoch_never_set(evidence: Evidence, told: Beliefs, repeated: Repetition) -> Finding:
    by_sampler = bool(told.sampler) and told.sampler[0] >= 0
    who = "sampler" if by_sampler else "dataset"
    stayed = told.sampler[0] if by_sampler else told.consumer[0]
    numbers = _numbers(evidence, repeated)
    why = "set_epoch was not called"
    if not evidence.live:
        why = "this audit calls no set_epoch: see that your loop does"
    severity = "error" if evidence.live else "info"
    return Finding(
        CAUSE,
        severity if evidence.split in _TEACHES else "info",
        "pipeline",
        f"all {numbers['epochs']} epochs have the samples in one order: the {who} was in epoch {stayed} each "
        f"time, {why}.",
        numbers | {f"{who}_epochs": list(told.sampler if by_sampler else told.consumer)[:64]},
        pages.fix(CAUSE, "torch DistributedSampler") if by_sampler else fixes.of(CAUSE, evidence),
    )


def _one_order(evidence: Evidence, repeated: Repetition, asked: bool) -> Finding:
    numbers = _numbers(evidence, repeated)
    what = "a shuffle was asked for" if asked else "whether one shuffle for all epochs is meant is not known"
    return Finding(
        CAUSE,
        "warning" if asked else "info",
        "pipeline",
        f"all {numbers['epochs']} epochs have the samples in one order, which is not that of the data: "
        f"{what}.",
        numbers | {"shuffle_asked_for": asked},
        fixes.of(CAUSE, evidence),
    )


def _called_inside(evidence: Evidence, mixed: list[order.Mixed]) -> Finding:
    first, epochs = mixed[0], len(evidence.epochs)
    return Finding(
        CAUSE,
        "warning" if evidence.split in _TEACHES else "info",
        "pipeline",
        f"on_epoch_end came in the middle of {len(mixed)} of {epochs} epochs, which hold parts of two "
        f"orders: in epoch {first.epoch}, after {first.step} batches; {first.twice} samples come twice.",
        {
            "epochs": [each.epoch for each in mixed][:64],
            "batches_before_the_hook": [each.step for each in mixed][:64],
            "samples_twice": [each.twice for each in mixed][:64],
            "first_example": f"epoch {first.epoch} has another order from its batch {first.step} on",
        },
        fixes.of(CAUSE, evidence),
    )


# -- the epoch's number in workers ----------------------------------------------------------------


def _moves(epochs: tuple[int, ...]) -> bool:
    return len({epoch for epoch in epochs if epoch >= 0}) > 1


def _behind(told: Beliefs) -> list[int]:
    """The epochs whose batches were made by copies that believed in an older one than the program had set."""
    if not _moves(told.consumer):
        return []
    made = {worker for worker in told.workers if worker[0] >= 0}
    if len(made) != 1:  # the copies' epoch moves, too: with a delay at most, as that of queues filled ahead
        return []
    return [
        number
        for number, (consumer, (_, latest)) in enumerate(zip(told.consumer, told.workers, strict=True))
        if 0 <= latest < consumer
    ]


def _not_propagated(evidence: Evidence, told: Beliefs, behind: list[int]) -> Finding:
    first = behind[0]
    repeated = order.repetition(evidence.tables, evidence.walk)
    same = sum(repeated.same) if repeated else 0
    said = f" In {same} of them the order is that of the epoch before." if same else ""
    return Finding(
        CAUSE,
        "error",
        "worker",
        f"the program set epoch {listed(list(told.consumer))}, and the workers made every batch in epoch "
        f"{told.workers[first][1]}: {len(behind)} of {len(told.consumer)} epochs are stale.{said}",
        {
            "set_by_the_program": list(told.consumer)[:64],
            "believed_by_workers": [latest for _, latest in told.workers][:64],
            "stale_epochs": behind[:64],
            "same_order_as_before": list(repeated.same[:64]) if repeated else None,
            "first_example": (
                f"epoch {first} was set to {told.consumer[first]}; its batches were made by copies that "
                f"held {told.workers[first][1]}"
            ),
        },
        fixes.of(CAUSE, evidence),
    )
