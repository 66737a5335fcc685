"""What to change, for the framework at hand: which part of a cause's page is the one for this source."""

from __future__ import annotations

from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.splits import Part
from batchaudit.diagnosis import pages

STREAM_NAMES = {
    "numpy": "NumPy's global stream",
    "python": "Python's global stream",
    "torch": "torch's global stream",
    "tensorflow": "TensorFlow's global generator",
    "private": "a generator that the source holds",
}

_BY_KIND = {
    "indexed": ("anything indexed",),
    "dataset": pages.FRAMEWORKS["tf.data"],
    "iterator": ("a generator",),
    "iterable": ("a generator",),
}
"""Where a source is repaired of which only is known what can be done with it."""

_INDEXED = ("keras", "tf_keras")
"""The frameworks whose own class is one that is indexed; they take what is iterated, too."""


def of(cause: str, evidence: Evidence) -> str:
    """The code that repairs a cause in the source at hand.

    Args:
        cause: one of `pages.CAUSES`.
        evidence: the run in which it was found.

    Returns:
        The code.
    """
    kind = "dataset" if evidence.family == "tf.data" else evidence.kind
    return pages.fix(cause, *places(evidence.framework, kind))


def places(framework: str, kind: str) -> tuple[str, ...]:
    """Which sub-headings of a fix fit a source.

    Args:
        framework: the framework that it is of, or whose workers made its batches; "" for none.
        kind: what can be done with it, as in `Evidence`.

    Returns:
        They, the best first.
    """
    iterated = kind != "indexed" and framework in _INDEXED
    own = () if iterated or kind == "dataset" else pages.FRAMEWORKS.get(framework, ())
    return own + _BY_KIND.get(kind, ())


def seed_per_worker(evidence: Evidence) -> str:
    """The fix of `rng-clone`."""
    return of("rng-clone", evidence)


def seed_per_epoch(evidence: Evidence) -> str:
    """The fix of `rng-epoch-reset`."""
    return of("rng-epoch-reset", evidence)


def shard(evidence: Evidence) -> str:
    """The fix of `unsharded-replica`."""
    return of("unsharded-replica", evidence)


def pass_epoch(evidence: Evidence) -> str:
    """The fix of `stale-epoch` where the workers hold an old one."""
    return of("stale-epoch", evidence)


def call_set_epoch(evidence: Evidence) -> str:
    """The fix of `stale-epoch` where nobody tells the sampler."""
    return pages.fix("stale-epoch", "torch DistributedSampler")


def synchronise(evidence: Evidence) -> str:
    """The fix of `shared-state-race`."""
    return of("shared-state-race", evidence)


def split_once(training: Part) -> str:
    """The fix of `split-leak`."""
    return pages.fix("split-leak", *places(training.framework, training.kind))
