"""`frozen-augmentation`: a draw is bound to the sample, a cache or a trace, and never made anew.

It needs two epochs. A sample that comes with the same content each time is frozen only if something is drawn
for it; else it is not augmented, which is no fault. That something is drawn shows in four ways: a stream that
is seeded for each batch; streams that move in the first epoch and no more; an item that is another when what
is drawn for it is seeded otherwise (the probe `draws`); a stage of a tf.data pipeline that draws before a
cache, or while it is traced (the probe `retrace`). The first two prove a draw, and not that it alters
anything: a warning.

Draws that repeat at a position of the epoch, whichever item comes there, are `rng-epoch-reset`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from batchaudit.analysis.drawn import Repeats, drew_once, moved_during, repeats
from batchaudit.analysis.draws import Draws
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.order import beliefs
from batchaudit.analysis.stages import Stage, pipeline
from batchaudit.diagnosis import fixes, rng_epoch_reset
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import Judgement, found, not_observable, ruled_out
from batchaudit.diagnosis.reseeding import NOT_TRAINED_ON, draws_of, named, reseeding_streams

CAUSE = "frozen-augmentation"
_RENEWED = 0.25
_MOSTLY = 0.5
_BEFORE = "audit it before training with ba.audit"


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether the augmentation of a sample is the same for ever.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    if evidence.split in NOT_TRAINED_ON:
        return ruled_out("samples that are not trained on are meant to stay as they are")
    if not evidence.hashed:
        return not_observable("the batches hold what cannot be hashed by value: which are equal is not known")
    again = repeats(evidence.tables)
    if again is None:
        return not_observable("only one epoch was seen: drive 2 or more")
    if not again.compared:
        return not_observable("no sample came in two epochs: drive more of them")
    if not again.bound and not again.kept:
        return ruled_out("the content of a sample differs from epoch to epoch")
    if rng_epoch_reset.CAUSE in earlier:
        return not_observable("each epoch draws the same at the same place: repair rng-epoch-reset first")
    if evidence.kind == "dataset":
        return _of_pipeline(evidence, again)
    if _left_behind(evidence):
        return not_observable("the workers hold an old epoch, to which draws may be bound: see stale-epoch")
    probe = draws_of(evidence)
    if probe is not None and probe.complete:
        return _probed(evidence, again, probe)
    return _unprobed(evidence, again, probe)


def _left_behind(evidence: Evidence) -> bool:
    """Whether the program goes on to other epochs, and those who make the batches do not."""
    if not evidence.live:
        return False
    told = beliefs(evidence.tables)
    set_to = {each for each in told.consumer if each >= 0}
    held = {each for each in told.workers if each[0] >= 0}
    return len(set_to) > 1 and len(held) == 1


def _probed(evidence: Evidence, again: Repeats, probe: Draws) -> Judgement:
    # Of what is indexed the audit calls the hooks, which may put other items in the place of those.
    if probe.renewed >= _RENEWED and evidence.kind != "indexed":
        return ruled_out("the content changes with the number of the epoch, once the source is told another")
    if not probe.draws:
        drawn = "what is drawn alters no sample" if probe.called or evidence.streams else "nothing is drawn"
        return ruled_out(f"the content of a sample is the same in every epoch, and {drawn}")
    if not (probe.later >= _MOSTLY or _drew_once(evidence) or reseeding_streams(evidence)):
        return not_observable("what decides the samples is drawn once for all of them, as stored data may be")
    return found(_finding(evidence, again, "error", _why_probed(evidence, probe), probe))


def _why_probed(evidence: Evidence, probe: Draws) -> str:
    once = _drew_once(evidence)
    if once:
        return f"it is drawn from {named(once)} in the first epoch only, and kept"
    if probe.called:
        return f"each is drawn from the same seed again ({_listed(probe.called)})"
    return "what is drawn the first time is kept"


def _unprobed(evidence: Evidence, again: Repeats, probe: Draws | None) -> Judgement:
    if again.kept and not again.bound and evidence.streams:
        why = "each worker gives a sample the content that it drew first, another worker another"
        return found(_finding(evidence, again, "error", why, probe))
    once, seeded = _drew_once(evidence), reseeding_streams(evidence)
    if once:
        why = f"most batches of the first epoch draw from {named(once)}, and hardly any later one"
        return found(_finding(evidence, again, "warning", why, probe))
    if seeded:
        why = f"{named(seeded)} is seeded anew for each"
        return found(_finding(evidence, again, "warning", why, probe))
    if probe is not None and probe.again and probe.later >= _MOSTLY:
        why = f"what is drawn for it ({_listed(probe.called)}) is kept"
        return found(_finding(evidence, again, "warning", why, probe))
    unseen = evidence.unprobed.get("draws")
    how = f"the probe could not be made ({unseen})" if unseen else _BEFORE
    return not_observable(f"a sample has the same content in every epoch, and no draw was seen: {how}")


def _drew_once(evidence: Evidence) -> list[str]:
    return drew_once(evidence.baseline.first or evidence.tables)


def _finding(evidence: Evidence, again: Repeats, severity: str, why: str, probe: Draws | None) -> Finding:
    epochs = len(evidence.epochs)
    share = again.equal if again.bound else again.kept_equal
    what: dict[str, Any] = {
        "epochs": epochs,
        "samples_compared": again.compared if again.bound else again.kept_compared,
        "same_content": round(share, 3),
        "compared_by": again.by,
        "bound_to": "sample" if again.bound else "sample and worker",
        "first_example": again.example,
    }
    if probe is not None and probe.draws:
        what |= {
            "altered_by_another_seed": round(probe.altered, 3),
            "seeds_or_makes": probe.called,
            "first_example": probe.example or again.example,
        }
    return Finding(
        CAUSE,
        severity,
        "worker" if evidence.workers_configured and not again.bound else "pipeline",
        f"{share:.0%} of the samples that come again in {epochs} epochs have the content of the time before: "
        f"{why}.",
        what,
        fixes.of(CAUSE, evidence),
    )


def _listed(called: dict[str, int]) -> str:
    return ", ".join(sorted(called, key=lambda name: -called[name])[:3])


# -- tf.data --------------------------------------------------------------------------------------


def _of_pipeline(evidence: Evidence, again: Repeats) -> Judgement:
    stages = pipeline(evidence.probes.get("retrace"))
    if not stages:
        how = evidence.unprobed.get("retrace") or _BEFORE
        return not_observable(f"what draws inside TensorFlow cannot be read: {how}")
    traced = [stage for stage in stages if "constant" in stage.says]
    if traced:
        why = f"{traced[0].name} draws with Python or NumPy while it is traced: one draw for all samples"
        return found(_frozen(evidence, again, "error", why, traced[0]))
    cache = next((stage for stage in reversed(stages) if stage.name == "Cache"), None)
    before = [stage for stage in stages if cache is not None and stage.number < cache.number]
    drawn = [stage for stage in before if stage.says & {"random", "seeded", "stateless", "generator"}]
    if drawn:
        why = f"{drawn[-1].name} draws, and the cache after it keeps what the first epoch drew"
        return found(_frozen(evidence, again, "error", why, drawn[-1]))
    bound = [stage for stage in stages if "stateless" in stage.says]
    if bound:
        why = f"{bound[0].name} draws without a state, from a seed that is the same in each epoch"
        return found(_frozen(evidence, again, "error", why, bound[0]))
    first = evidence.baseline.first or evidence.tables
    once = set(moved_during(first, 0)) - set(moved_during(first, 1))
    called = [stage for stage in before if "python" in stage.says]
    if once and called:
        why = (
            f"{named(sorted(once))} moves in the first epoch and no more, and the cache after "
            f"{called[-1].name} keeps what was drawn"
        )
        return found(_frozen(evidence, again, "warning", why, called[-1]))
    if any("python" in stage.says for stage in stages):
        return not_observable("Python code makes the samples, the same in every epoch: audit it by itself")
    return ruled_out("a sample has the same content in every epoch, and no stage draws any")


def _frozen(evidence: Evidence, again: Repeats, severity: str, why: str, stage: Stage) -> Finding:
    epochs = len(evidence.epochs)
    return Finding(
        CAUSE,
        severity,
        "pipeline",
        f"{again.equal:.0%} of the samples of {epochs} epochs have a content of the first: {why}.",
        {
            "epochs": epochs,
            "samples_compared": again.compared,
            "same_content": round(again.equal, 3),
            "stage": f"{stage.name}, stage {stage.number} from the data on",
            "first_example": again.example,
        },
        fixes.of(CAUSE, evidence),
    )
