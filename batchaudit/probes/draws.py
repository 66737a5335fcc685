"""`draws`: a few items, made in this process: again, after an epoch, of another source, and seeded otherwise.

An item that is equal each time either draws nothing or has its draw bound to it. Which of the two shows when
everything that is random gets another seed while it is made: an item whose content then differs was drawn.
The passes are logged as epochs of those numbers; what made or seeded a stream is a hook beside its step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from typing import Any

from batchaudit import sources
from batchaudit.capture.recorder import Recorder
from batchaudit.capture.restore import preserved_streams
from batchaudit.probes import plan, seeding
from batchaudit.probes.subject import Subject
from batchaudit.sources import hooks, torch_loader
from batchaudit.sources.kinds import Kind
from batchaudit.strategies import Job, Strategy

NAME = "draws"
EPOCHS = 5
FIRST, AGAIN, NEXT, OTHER, SEEDED = range(EPOCHS)
BATCHES, SAMPLES = 4, 16
CALLED = "drew "
"""A hook of this and a name: what was called while the item of its step was made."""


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Where there are two passes to be had; a tf.data pipeline is looked at by `retrace`."""
    return subject.kind is not Kind.DATASET


def drive(job: Job, strategy: Strategy) -> None:
    """Makes the items of the five passes.

    Args:
        job: who drives it.
        strategy: nothing is asked of it: all is made in this process.
    """
    with preserved_streams():
        items = _Items(job, job.plain())
        items.make(FIRST)
        if items.come_again:
            items.make(AGAIN)
            items.end_epoch()
            items.make(NEXT)
    with preserved_streams():
        _Items(job, job.plain()).make(OTHER)
    with preserved_streams():
        items = _Items(job, job.plain())
        with preserved_streams(seeding.ANOTHER), seeding.moved_on(items.source):
            items.make(SEEDED, otherwise=True)


class _Items:
    """The first items of one source.

    Args:
        job: who drives it.
        source: the user's source.
    """

    def __init__(self, job: Job, source: Any) -> None:
        self._job = job
        self.source = source
        self._kind = sources.kind_of(source)
        self._iterate = self._opener(job.recorder)

    @property
    def come_again(self) -> bool:
        """Whether a second pass gives them again."""
        return self._kind is not Kind.ITERATOR

    def make(self, number: int, *, otherwise: bool = False) -> None:
        """Makes them once.

        Args:
            number: which of the five passes it is.
            otherwise: whether what is seeded gets another seed.
        """
        recorder, called = self._job.recorder, set[str]()
        with ExitStack() as stack:
            stack.enter_context(seeding.wrapped(called.add, otherwise=otherwise))
            for step, batch in enumerate(self._iterate()):
                self._job.deliver(batch, number, step, recorder.take_ticket())
                for name in sorted(called):
                    recorder.hook(f"{CALLED}{name}", epoch=number, step=step)
                called.clear()

    def end_epoch(self) -> None:
        """What stands between two epochs: the hooks, and the number of the next, where the source has one."""
        for name in ("on_epoch_end", "on_epoch_begin"):
            hook = getattr(self.source, name, None)
            if callable(hook) and self._kind is Kind.INDEXED:
                hook()
        if self._job.renewable:
            for part in (self.source, getattr(self.source, "dataset", None)):
                with suppress(Exception):  # it may take something else than a number
                    _tell_next_epoch(part)

    def _opener(self, recorder: Recorder) -> Callable[[], Iterator[Any]]:
        if torch_loader.is_loader(self.source):
            loader = sources.watch(_in_this_process(self.source), recorder)
            return lambda: islice(iter(loader), SAMPLES)
        watched = sources.watch(self.source, recorder)
        if self._kind is Kind.INDEXED:
            count = min(plan.length(self.source), BATCHES)
            return lambda: (watched[index] for index in range(count))
        return lambda: islice(iter(watched), BATCHES)


def _in_this_process(loader: Any) -> Any:
    """The loader without workers; one with an index gives its first samples, each in a batch of its own."""
    from batchaudit.strategies.torch import built

    alone: dict[str, Any] = {
        "num_workers": 0,
        "prefetch_factor": None,
        "persistent_workers": False,
        "timeout": 0,
    }
    if torch_loader.has_indices(loader):
        items = range(min(plan.length(loader), SAMPLES))
        batches = loader.batch_sampler is not None
        alone |= {"batch_sampler": [[item] for item in items]} if batches else {"sampler": list(items)}
    return built(loader, {**alone, "multiprocessing_context": None})


def _tell_next_epoch(part: Any) -> None:
    names = [name for name in hooks.EPOCH if isinstance(getattr(part, name, None), int)]
    before = getattr(part, names[0]) if names else 0
    if callable(getattr(part, "set_epoch", None)):
        part.set_epoch(before + 1)
    elif names and not hasattr(type(part), names[0]):
        setattr(part, names[0], before + 1)
