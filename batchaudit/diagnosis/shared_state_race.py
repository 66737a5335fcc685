"""`shared-state-race`: workers change one state without a lock: threads an attribute, processes a file.

A generator says so itself ("generator already executing"). Otherwise it needs to be known what an item holds
without workers. An item that holds something else, or what another item holds, was torn, if nothing draws its
content, nothing writes into the stored data or into a batch that waits, and its epoch is one that the serial
passes had. A batch that comes again sooner than the serial passes repeat any was handed to two threads.

Threads that draw from one random stream take turns at it: that is told, and does no harm. Processes have
memory of their own; what they share is what the parent had open. There a worker whose copy is merely another
one makes nothing right any more, and two equal runs agree.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from batchaudit.analysis.evidence import Evidence
from batchaudit.diagnosis import fixes, race_of_processes, race_of_threads
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import Judgement, found, not_observable, one_worker, ruled_out
from batchaudit.diagnosis.torn import CAUSE as CAUSE

_SAYS_SO = "already executing|NOT thread-safe"
_SPOILS_CONTENT = ("buffer-alias", "inplace-mutation")


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether workers race for a state that they share.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    raised = evidence.tables.raised
    refused = raised[raised["text"].str.contains(_SAYS_SO, regex=True)]
    if len(refused):
        return found(_refused(evidence, refused))
    made = evidence.made
    if made["worker"].nunique() < 2 and (evidence.threaded or evidence.workers_configured < 2):
        return one_worker(evidence, "one worker at a time used the source")
    spoilt = [cause for cause in _SPOILS_CONTENT if cause in earlier]
    if spoilt:
        return not_observable(
            f"{spoilt[0]} explains contents that no serial pass has: repair it, then audit again"
        )
    if not evidence.hashed:
        return not_observable("the batches hold what cannot be hashed by value: which are torn is not known")
    if not evidence.threaded:
        if evidence.shared_process:
            return ruled_out("each copy has a source of its own")
        return race_of_processes.judge(evidence)
    return race_of_threads.judge(evidence)


def _refused(evidence: Evidence, refused: pd.DataFrame) -> Finding:
    threads = refused["thread"].nunique()
    delivered = len(evidence.tables.delivered)
    return Finding(
        CAUSE,
        "error",
        "worker",
        f"{threads} thread{'s' if threads > 1 else ''} entered the generator while another was in it, and "
        f"ended; {delivered} batches were delivered.",
        {
            "threads_refused": int(threads),
            "refusals": len(refused),
            "first_example": str(refused["text"].iloc[0]).splitlines()[0],
            "delivered": delivered,
        },
        fixes.of(CAUSE, evidence),
    )
