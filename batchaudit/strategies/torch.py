"""PyTorch's own machinery: the `DataLoader` that is audited, with the workers that the strategy asks for.

Requires torch. The user's loader is left alone: what is driven is another one with the same parts, so that
no persistent worker stays behind.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from batchaudit import sources
from batchaudit.errors import WorkerError
from batchaudit.sources.subclass import is_twin, untwin
from batchaudit.strategies.job import Job, Skip, Stream
from batchaudit.strategies.processes import check_pickles
from batchaudit.strategies.spec import Strategy

_PREFETCH = 2  # what torch takes where nothing is said


def drive(job: Job, strategy: Strategy) -> None:
    """Drives a `DataLoader`.

    Args:
        job: what to drive.
        strategy: `torch:N`; `as-is` for the loader's own settings, `serial` for no worker.

    Raises:
        Skip: the source is no `DataLoader`, or its workers cannot be started in this way.
        WorkerError: a worker raised or died, or no batch came for `job.timeout` seconds.
    """
    source = job.make()
    theirs = untwin(source) if is_twin(source) else source
    if isinstance(theirs, DataLoader) and issubclass(type(theirs), DataLoader):
        loader = built(theirs, _settings(job, strategy, theirs))
    elif isinstance(theirs, DataLoader) and strategy.family in ("as-is", "serial"):
        loader = theirs  # one that a framework has built around another, and which shows no settings
    else:
        raise Skip(_refusal(theirs))
    with _generators_kept(loader), _ended(loader):
        watched = sources.watch(loader, job.recorder)
        try:
            job.consume(lambda: _batches(job, watched))
        except Exception as error:
            reason = _workers_failure(error) if loader.num_workers else None
            if reason is None:
                raise
            raise WorkerError(reason) from None


def _workers_failure(error: Exception) -> str | None:
    """What a worker's failure is told as; None for an exception of this process's own."""
    if isinstance(error, (ConnectionError, EOFError)):  # it died while it was sending a batch
        return f"a worker exited unexpectedly: {type(error).__name__}: {error}"
    said = str(error)
    of_a_worker = said.startswith("DataLoader ") or " in DataLoader worker process " in said
    return said if of_a_worker else None


def _refusal(source: Any) -> str:
    if isinstance(source, Dataset):
        return f"a {type(source).__name__} is no source of batches for torch: give the DataLoader around it"
    if isinstance(source, DataLoader):
        return f"a {type(source).__name__} is made around another DataLoader: give that one"
    return f"torch's workers are a DataLoader's, and the source is a {type(source).__name__}"


def _settings(job: Job, strategy: Strategy, loader: Any) -> dict[str, Any]:
    """The attributes in which the driven loader is another than the user's."""
    if strategy.family == "serial":
        return {"num_workers": 0, "prefetch_factor": None, "persistent_workers": False, "timeout": 0}
    workers = loader.num_workers
    settings: dict[str, Any] = {"timeout": (loader.timeout or job.timeout) if workers else 0}
    context = loader.multiprocessing_context
    if strategy.family != "as-is":
        if strategy.start is not None:
            context = _context(strategy.start)
        settings = {
            "num_workers": strategy.workers,
            "prefetch_factor": strategy.prefetch or loader.prefetch_factor or _PREFETCH,
            "persistent_workers": strategy.persistent,
            "timeout": loader.timeout or job.timeout,
        }
        workers = strategy.workers
    method = (context or torch.multiprocessing).get_start_method()
    if workers and method != "fork":
        check_pickles((loader.dataset, loader.collate_fn, loader.worker_init_fn), method)
    return {**settings, "multiprocessing_context": context}


def _context(name: str) -> BaseContext:
    if name not in multiprocessing.get_all_start_methods():
        raise Skip(f"this platform cannot start processes by {name}")
    return torch.multiprocessing.get_context(name)  # type: ignore[no-any-return]


def built(loader: Any, settings: Mapping[str, Any]) -> Any:
    """A loader with the parts of another; not by its constructor, which may be the user's own.

    Args:
        loader: the other one.
        settings: the attributes in which the new one differs.
    """
    made = object.__new__(type(loader))
    parts = {**vars(loader), **settings, "_iterator": None, "_IterableDataset_len_called": None}
    context = parts.pop("multiprocessing_context", None)
    vars(made).update(parts)
    made.multiprocessing_context = context  # a property, which keeps it under a name of torch's own
    return made


@contextmanager
def _generators_kept(loader: Any) -> Iterator[None]:
    """Puts the generators that the loader was given back: the next strategy begins where this one did."""
    found = [loader.generator, getattr(loader.sampler, "generator", None)]
    states = [(each, each.get_state()) for each in found if isinstance(each, torch.Generator)]
    try:
        yield
    finally:
        for generator, state in states:
            generator.set_state(state)


@contextmanager
def _ended(loader: Any) -> Iterator[None]:
    """Ends the workers that a loader keeps from pass to pass."""
    try:
        yield
    finally:
        _shut_down(vars(loader).pop("_iterator", None))


def _batches(job: Job, loader: Any) -> Stream:
    iterator = iter(loader)
    try:
        for batch in iterator:
            yield job.recorder.take_ticket(), batch
            del batch
    finally:
        if not loader.persistent_workers:
            _shut_down(iterator)


def _shut_down(iterator: Any) -> None:
    """Ends the workers now: an exception on its way may keep the iterator for longer."""
    shut_down = getattr(iterator, "_shutdown_workers", None)
    if shut_down is not None:
        shut_down()
