"""`tail-drop`: the end of the data does not arrive, and it is the same end in every pass.

It needs to know what a pass would have: what samplers, datasets and stages say of themselves, the serial
baseline, or what lies behind the last index (the probe `beyond`). Seen are: a remainder that is dropped from
an order which does not change; workers that each drop one of their own, or all of them together; an iterator
made anew before it was at its end, so that only the head of the data is ever seen. Between ranks, see
`tail_drop_ranks`.

A remainder that is another one in each epoch is no loss. Samples that are missing on a stride, or half of
them, are `overshard`; samples that are missing while others come twice `order-divergence`; batches that were
made and never delivered `prefetch-loss`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import ends, order
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.walk import walk
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import Judgement, found, not_observable, ruled_out
from batchaudit.diagnosis.tail_drop_ranks import CAUSE as CAUSE
from batchaudit.diagnosis.tail_drop_ranks import judge_ranks as judge_ranks
from batchaudit.diagnosis.tail_drop_ranks import severity, spoilt_by

_A_LOOK, _MANY_LOOKS = 2, 5
_UNKNOWN = (
    "how many samples the data has is not known: give key= and audit with 'serial' and with workers, or a "
    "source with a length"
)


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether the same samples are left out at the end of every pass.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    spoilt = spoilt_by(earlier)
    if spoilt is not None:
        return spoilt
    passes = ends.passes(evidence.tables)
    if passes.empty:
        return not_observable("no batch was delivered")
    for look in (_only_a_head, _of_each_worker, _behind_the_last, _remainder):
        judgement = look(evidence, passes, earlier)
        if judgement is not None:
            return judgement
    return not_observable(_UNKNOWN)


# -- an iterator that is made anew ----------------------------------------------------------------


def _only_a_head(evidence: Evidence, passes: Any, earlier: Collection[str]) -> Judgement | None:
    """Passes of the program's own that all begin alike and stop early."""
    if not evidence.live or evidence.kind == "iterator" or evidence.split not in ("training", ""):
        return None
    if len(passes) < 2:
        return None
    furthest, length = int(passes["batches"].max()), evidence.about.get("batches")
    if length is None:
        ended = evidence.tables.hooks["text"].isin([ends.EXHAUSTED]).any()
        if furthest > _A_LOOK or len(passes) < _MANY_LOOKS or ended:
            return None
    elif furthest >= int(length):
        return None
    same = ends.alike(evidence.tables, evidence.walk)
    if same is None:
        return not_observable(
            f"no pass goes beyond batch {furthest - 1}, and the samples have no ids to compare them by: give "
            "key="
        )
    return found(_head(evidence, passes, furthest, length)) if same else None


def _head(evidence: Evidence, passes: Any, furthest: int, length: int | None) -> Finding:
    samples = int(passes["samples"].max())
    anew = furthest <= _A_LOOK
    said = "an iterator is made anew for each step" if anew else "each pass stops there"
    of = f"of {length} batches" if length is not None else "batches"
    seen = f"{'first batch' if furthest == 1 else f'first {furthest} batches'}"
    return Finding(
        CAUSE,
        "error" if anew and length is not None else "warning",
        "pipeline",
        f"all {len(passes)} passes begin with the same samples and none goes beyond the {seen}"
        f"{f' of {length}' if length is not None else ''}: {said}, and {samples} samples are all that is "
        "ever seen.",
        {
            "passes": len(passes),
            "batches_of_the_longest": furthest,
            "batches_of_the_source": length,
            "samples_seen": samples,
            "first_example": (
                f"pass {int(passes['epoch'].iloc[1])} begins with the same samples as pass "
                f"{int(passes['epoch'].iloc[0])}; both took {furthest} {of} at most"
            ),
        },
        fixes.of(CAUSE, evidence),
    )


# -- workers that each drop one -------------------------------------------------------------------


def _of_each_worker(evidence: Evidence, passes: Any, earlier: Collection[str]) -> Judgement | None:
    """Samples that one process has, and that workers leave out at the end of each share, or of all."""
    serial, here = evidence.serial_walk, evidence.walk
    seen = int(evidence.shares.groupby("epoch").size().max()) if len(evidence.shares) else 0
    count = max(seen, evidence.workers_configured)
    if evidence.kind != "iterable" or count < 2 or serial is None or evidence.baseline.first is None:
        return None
    if not here.known or here.by != serial.by or here.by == "index" or ends.repeats_within(here):
        return None
    size, least = int(passes["most"].max()), int(passes["least"].min())
    alone = ends.passes(evidence.baseline.first)
    fewer = bool((passes["batches"] < int(alone["batches"].min())).all())
    has, came = ends.items_of(serial), ends.items_of(here)
    missing = has[~pd.Series(has).isin(came).to_numpy()]
    whole_batches = size > 1 and least == size and fewer and 0 < len(missing) <= count * (size - 1)
    equal_shares = 0 < len(missing) < count and len(came) + len(missing) == len(has)
    if not (whole_batches or equal_shares):
        return None
    if ends.same_part(here, len(missing)) is False and len(passes) > 1:
        return None
    return found(
        Finding(
            CAUSE,
            severity(len(missing), len(has)),
            "worker",
            f"{len(missing)} samples that one process delivers are never delivered by {count} workers: "
            + (
                f"each drops the end of its own share, up to {size - 1} samples, in batches of {size}."
                if whole_batches
                else "they have equal shares, and what is left over by the division is nobody's."
            ),
            {
                "workers": count,
                "batch_size": size,
                "samples_alone": len(has),
                "samples_with_workers": len(came),
                "never_seen": [int(item) for item in missing[:16]] if here.by == "id" else len(missing),
                "first_example": (
                    f"epoch {int(passes['epoch'].iloc[0])} has {int(passes['samples'].iloc[0])} samples with "
                    f"{count} workers and {int(alone['samples'].iloc[0])} without"
                ),
            },
            fixes.of(CAUSE, evidence),
        )
    )


# -- behind the last index ------------------------------------------------------------------------


def _behind_the_last(evidence: Evidence, passes: Any, earlier: Collection[str]) -> Judgement | None:
    """A part of a batch that an indexed source still gives behind its length, which was rounded down."""
    probe = evidence.probes.get("beyond")
    if probe is None or probe.delivered.empty or evidence.serial_walk is None:
        return None
    serial, rest = evidence.serial_walk, walk(probe, evidence.baseline)
    size, left = int(passes["most"].max()), int(probe.delivered["samples"].iloc[0])
    if not 0 < left < size or int(passes["least"].min()) != size:
        return None  # a whole batch is no remainder: of a source that makes up its data there is no end
    if rest.by != serial.by or rest.by == "index":
        return not_observable("the contents are drawn: give key= to tell what lies behind the last index")
    new = np.setdiff1d(ends.items_of(rest), ends.items_of(serial))
    if len(new) == 0:
        return ruled_out("what lies behind the last index is delivered elsewhere")
    total = len(ends.items_of(serial)) + len(new)
    return found(
        Finding(
            CAUSE,
            severity(len(new), total),
            "pipeline",
            f"the source has {len(new)} more samples behind its last index, which no epoch asks for: its "
            f"length is rounded down to whole batches of {size}.",
            {
                "batch_size": size,
                "samples_seen": total - len(new),
                "never_seen": len(new),
                "first_example": f"the index behind the last gives {left} samples that no epoch has",
            },
            fixes.of(CAUSE, evidence),
        )
    )


# -- a remainder ----------------------------------------------------------------------------------


def _remainder(evidence: Evidence, passes: Any, earlier: Collection[str]) -> Judgement | None:
    """What is left of a pass after its whole batches."""
    whole = _samples_of_a_pass(evidence)
    size = int(evidence.about.get("batch_size") or passes["most"].max())
    if whole is None or size < 1 or not bool((passes["samples"] > 0).all()):
        return None
    if bool((passes["samples"] >= whole).all()):
        return ruled_out(f"each pass has all of its {whole} samples")
    left = whole % size
    if left == 0 or not bool((passes["samples"] == whole - left).all()):
        if evidence.about.get("drop_last") is False:
            return ruled_out("partial batches are kept")
        return _seen_over_all(evidence, whole)
    if not evidence.live and "stale-epoch" in earlier:
        return not_observable(
            "the audit calls no set_epoch, so that the order stands still: audit the training"
        )
    fixed = _is_fixed(evidence, left)
    if fixed is None:
        return not_observable(
            f"each pass leaves out {left} of {whole} samples; whether they are the same is not known: run "
            "more epochs, or give key="
        )
    if not fixed:
        return ruled_out(f"each pass leaves out {left} of {whole} samples, other ones in each")
    return found(_dropped(evidence, passes, whole, size, left))


def _samples_of_a_pass(evidence: Evidence) -> int | None:
    """How many samples a pass would have if nothing were dropped; None where nobody says so."""
    about = evidence.about
    if "drawn" in about:
        return int(about["drawn"])
    if evidence.kind in ("dataset", "arrays"):
        return evidence.items
    if evidence.kind == "indexed" and not about.get("hooks"):
        rows = about.get("rows")
        return int(rows) if isinstance(rows, int) else None
    return None


def _seen_over_all(evidence: Evidence, whole: int) -> Judgement | None:
    """Passes that are cut by whoever takes them: over all of them everything may have been seen."""
    if evidence.walk.by in ("id", "content") and len(ends.items_of(evidence.walk)) >= whole:
        return ruled_out(f"all {whole} samples were seen")
    return None


def _is_fixed(evidence: Evidence, left: int) -> bool | None:
    """Whether the samples that are left out are the same in each pass."""
    if evidence.about.get("fixed_tail") or evidence.about.get("shuffles") is False:
        return True
    repeated = order.repetition(evidence.tables, evidence.walk)
    if repeated is not None and repeated.always:
        return True
    if evidence.about.get("fixed_tail") is False and evidence.about.get("shuffles"):
        return False
    return ends.same_part(evidence.walk, left)


def _dropped(evidence: Evidence, passes: Any, whole: int, size: int, left: int) -> Finding:
    why = "drop_last" if evidence.about.get("drop_last") else "the number of steps is rounded down"
    if evidence.kind == "dataset":
        why = "drop_remainder"
    numbers: dict[str, Any] = {
        "samples_of_a_pass": whole,
        "batch_size": size,
        "never_seen_each_pass": left,
        "epochs": len(passes),
        "first_example": (
            f"epoch {int(passes['epoch'].iloc[0])} has {int(passes['batches'].iloc[0])} batches of {size}, "
            f"{whole - left} of {whole} samples"
        ),
    }
    if evidence.walk.by == "id" and evidence.items is not None and evidence.items == whole:
        absent = np.setdiff1d(np.arange(whole), ends.items_of(evidence.walk))
        if len(absent) == left:
            numbers["never_seen"] = [int(item) for item in absent[:16]]
    return Finding(
        CAUSE,
        severity(left, whole),
        "pipeline",
        f"the last {left} of {whole} samples are left out of every pass, the same ones in all {len(passes)} "
        f"epochs: {why}, in batches of {size} and an order that stays.",
        numbers,
        fixes.of(CAUSE, evidence),
    )
