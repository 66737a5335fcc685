"""The page of each cause: how it comes about, what is seen, how to repair it.

A page is Markdown beside this file, and is read by a finding (its fix), by `batchaudit explain` and by the
documentation: a cause is explained in one place. To add a page, add `SLUG.md` with the headings of `HEADINGS`
and its slug to `CAUSES`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

CAUSES: tuple[str, ...] = (
    "unsharded-replica",
    "rng-clone",
    "rng-epoch-reset",
    "frozen-augmentation",
    "stale-epoch",
    "order-divergence",
    "overshard",
    "padding-duplicate",
    "tail-drop",
    "prefetch-loss",
    "buffer-alias",
    "inplace-mutation",
    "shared-state-race",
    "split-leak",
    "resume-replay",
    "intrinsic-duplicate",
)
"""All slugs, in the order in which the design lists them."""

FIX = "Fix"

HEADINGS = (
    "How it comes about",
    "What is seen",
    "What it is not",
    "What makes it observable",
    FIX,
    "Real reports",
)
"""The sections that every page has, in this order."""

ANY = "any"

PLACES = (
    "torch",
    "torch IterableDataset",
    "torch DistributedSampler",
    "Keras PyDataset",
    "tf_keras Sequence",
    "tf.data",
    "Hugging Face datasets",
    "webdataset",
    "a generator",
    "anything indexed",
    ANY,
)
"""What the sub-headings of a fix may be: where the change is made. Every page has the last one."""

FRAMEWORKS = {
    "torch": ("torch", "torch IterableDataset", "torch DistributedSampler"),
    "keras": ("Keras PyDataset",),
    "tf_keras": ("tf_keras Sequence",),
    "tf.data": ("tf.data",),
    "datasets": ("Hugging Face datasets",),
    "webdataset": ("webdataset", "torch IterableDataset"),
}
"""Which sub-headings are about a framework, the most common first."""

_FENCE = "```"


@cache
def text(cause: str) -> str:
    """The whole page of a cause.

    Args:
        cause: one of `CAUSES`.

    Returns:
        Its Markdown.

    Raises:
        KeyError: there is no such cause.
    """
    if cause not in CAUSES:
        raise KeyError(cause)
    return resources.files(__name__).joinpath(f"{cause}.md").read_text(encoding="utf-8")


def summary(cause: str) -> str:
    """What happened, in the one sentence below the page's title."""
    _, body = _divided(text(cause), "# ")[0]
    return " ".join(body.split("\n## ")[0].split())


def section(cause: str, heading: str) -> str:
    """What stands under a heading of a page, without the heading.

    Args:
        cause: one of `CAUSES`.
        heading: one of `HEADINGS`.

    Returns:
        The Markdown.

    Raises:
        KeyError: there is no such cause or heading.
    """
    return dict(_divided(text(cause), "## "))[heading]


def fixes(cause: str) -> dict[str, str]:
    """What to change, by where.

    Args:
        cause: one of `CAUSES`.

    Returns:
        The Markdown under each sub-heading of the page's fix, in the page's order.
    """
    return dict(_divided(section(cause, FIX), "### "))


def fix(cause: str, *where: str) -> str:
    """The code that repairs a cause.

    Args:
        cause: one of `CAUSES`.
        where: sub-headings of the fix, the best first.

    Returns:
        The code under the first of them that the page has, else under "any"; without its fences.
    """
    known = fixes(cause)
    place = next((place for place in where if place in known), ANY)
    _, _, after = known[place].partition(f"{_FENCE}python\n")
    return after.partition(f"\n{_FENCE}")[0]


def _divided(markdown: str, mark: str) -> list[tuple[str, str]]:
    """The parts of a text that begin with a heading of one level: (heading, what is under it)."""
    parts: list[tuple[str, list[str]]] = []
    in_code = False
    for line in markdown.splitlines():
        in_code ^= line.startswith(_FENCE)
        if line.startswith(mark) and not in_code:  # in code it is a comment
            parts.append((line.removeprefix(mark), []))
        elif parts:
            parts[-1][1].append(line)
    return [(heading, "\n".join(lines).strip()) for heading, lines in parts]
