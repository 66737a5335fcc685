"""What a log that is incomplete can still say: nothing is ruled out, and nothing is concluded from a hole.

What is there is there: two equal batches of two workers are equal, whatever else is lost. What is not there
may be missing in the log alone. So a cause whose evidence is something that did not come, that was called
never, or that no serial pass has, is not observable in such a log, as is all that a whole log would rule out.
"""

from __future__ import annotations

from collections.abc import Callable

from batchaudit.diagnosis.finding import FOUND, RULED_OUT, Finding
from batchaudit.diagnosis.judgement import Judgement, not_observable

_UNSEEN = "the log is incomplete: what is left of it does not show it, and what is missing may"
_HOLE = "the log is incomplete: what speaks for it may be missing in the log alone; repeat the run"


def _always(finding: Finding) -> bool:
    return True


def _unless(*names: str) -> Callable[[Finding], bool]:
    """Whether a finding lacks each of these figures, which stand for what was seen and not missed."""
    return lambda finding: not any(finding.evidence.get(name) for name in names)


_RESTS_ON_A_HOLE: dict[str, Callable[[Finding], bool]] = {
    # Items, batches or workers that did not come.
    "order-divergence": _always,
    "overshard": _always,
    "tail-drop": _always,
    # A batch that was given twice was given twice; one that was made and not delivered may have been.
    "prefetch-loss": _unless("replayed"),
    # Items that are counted up to a multiple, in epochs whose ends are known.
    "padding-duplicate": _always,
    # Items that come more often than others.
    "intrinsic-duplicate": _always,
    # A hook that nobody called, an epoch that nobody set, an order that moves elsewhere. Equal orders of what
    # was to be shuffled, and items that come again behind a hook, are there.
    "stale-epoch": _unless("shuffle_asked_for", "batches_before_the_hook"),
    # What is in no serial pass may be in what is lost of it. What threads said themselves, they said.
    "shared-state-race": _unless("threads_refused"),
}
"""Of each cause, which findings may be the log's own holes; those of other causes are of what is there."""


def weighed(cause: str, judgement: Judgement, complete: bool) -> Judgement:
    """A judgement, as far as the log bears it.

    Args:
        cause: the cause's slug.
        judgement: what its rule says of what is in the log.
        complete: whether nothing is known to be missing in the log.

    Returns:
        The same where the log is complete. Else what is ruled out is not observable, and so is what may only
        look like the cause because of what is missing.
    """
    if complete:
        return judgement
    if judgement.verdict == RULED_OUT:
        return not_observable(_UNSEEN)
    if judgement.verdict == FOUND and judgement.finding is not None:
        rests = _RESTS_ON_A_HOLE.get(cause)
        if rests is not None and rests(judgement.finding):
            return not_observable(_HOLE)
    return judgement
