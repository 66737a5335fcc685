"""What to change, for the framework at hand: which part of a cause's page is the one for this source."""

from __future__ import annotations

from batchaudit.analysis.evidence import Evidence
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
