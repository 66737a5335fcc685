"""`stale-epoch`: the number of the epoch does not arrive where the order is made.

Two things are seen. The program sets the epoch in its own process, and the copies in the workers go on with
an older one (`persistent_workers`, a copy that was made too early). Or a sampler that wants to be told the
epoch is never told, and gives one shuffled order again and again. An order that is that of the data was not
asked to change: there is nothing to find.
"""

from __future__ import annotations

from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.order import Beliefs, beliefs, same_order, sorted_order
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import Judgement, found, listed, not_observable, ruled_out

CAUSE = "stale-epoch"
_UNSEEN = "neither the source nor a sampler of its own says which epoch it is in"


def judge(evidence: Evidence) -> Judgement:
    """Says whether the epoch arrives.

    Args:
        evidence: one run.

    Returns:
        The judgement.
    """
    if len(evidence.epochs) < 2:
        return not_observable("fewer than two epochs were delivered: run 2 epochs or more")
    told = beliefs(evidence.tables)
    behind = _behind(told)
    if behind:
        return found(_not_propagated(evidence, told, behind))
    repeated = same_order(evidence.tables)
    if _never_told(told) and repeated and all(repeated) and not sorted_order(evidence.tables):
        return found(_never_called(evidence, told))
    if _moves(told.consumer) or _moves(told.sampler):
        return ruled_out("the epoch that the program sets arrives")
    if repeated is None:
        return not_observable(f"{_UNSEEN}, and the samples have no ids to compare orders by: give key=")
    if not any(repeated):
        return ruled_out("each epoch has an order of its own")
    if sorted_order(evidence.tables):
        return ruled_out("the samples come in the order of the data: no shuffle was asked for")
    return not_observable(f"some epochs have the order of the one before, but {_UNSEEN}")


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


def _never_told(told: Beliefs) -> bool:
    return len(set(told.sampler)) == 1 and told.sampler[0] >= 0


def _not_propagated(evidence: Evidence, told: Beliefs, behind: list[int]) -> Finding:
    first = behind[0]
    repeated = same_order(evidence.tables)
    same = sum(repeated or ())
    order = f" In {same} of them the order is that of the epoch before." if same else ""
    return Finding(
        CAUSE,
        "error",
        "worker",
        f"the program set epoch {listed(list(told.consumer))}, and the workers made every batch in epoch "
        f"{told.workers[first][1]}: {len(behind)} of {len(told.consumer)} epochs are stale.{order}",
        {
            "set_by_the_program": list(told.consumer)[:64],
            "believed_by_workers": [latest for _, latest in told.workers][:64],
            "stale_epochs": behind[:64],
            "same_order_as_before": repeated[:64] if repeated else None,
            "first_example": (
                f"epoch {first} was set to {told.consumer[first]}; its batches were made by copies that "
                f"held {told.workers[first][1]}"
            ),
        },
        fixes.pass_epoch(evidence),
    )


def _never_called(evidence: Evidence, told: Beliefs) -> Finding:
    epochs = len(evidence.epochs)
    return Finding(
        CAUSE,
        "error",
        "pipeline",
        f"all {epochs} epochs have the samples in one order: the sampler was in epoch {told.sampler[0]} each "
        "time, set_epoch was not called.",
        {
            "sampler_epochs": list(told.sampler)[:64],
            "same_order_as_before": [True] * min(epochs - 1, 64),
        },
        fixes.call_set_epoch(evidence),
    )
