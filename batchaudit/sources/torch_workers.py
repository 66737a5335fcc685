"""What runs in the workers of a watched loader. Requires torch.

A fetcher makes each batch: torch's own object, with a look at its `fetch`. A worker sends its batches with
the tickets of their records; `torch_iterators` takes the two apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info
from torch.utils.data.dataloader import _DatasetKind

from batchaudit.capture.recorder import Recorder
from batchaudit.sources import torch_ids
from batchaudit.sources.parcel import Parcel
from batchaudit.sources.torch_looked_at import look_at


class WatchedInit:
    """What a watched loader's worker calls first: the user's `worker_init_fn`, then the look at the fetches.

    Args:
        theirs: the user's function; None where there is none.
        recorder: the loader's.
        off: a shared tensor that is set when the audit is over; None for workers that end with a pass.
    """

    def __init__(self, theirs: Callable[[int], Any] | None, recorder: Recorder, off: Any = None) -> None:
        self.theirs = theirs
        self.recorder = recorder
        self.off = off

    def __call__(self, worker_id: int) -> None:
        """Stands in for `worker_init_fn`.

        Args:
            worker_id: torch's number of the worker.
        """
        if self.theirs is not None:
            try:
                self.theirs(worker_id)
            except Exception as error:
                self.recorder.raised(error)
                raise
        self._watch_fetchers()

    def switch_off(self) -> None:
        """The audit is over: workers that go on make their next pass unwatched."""
        if self.off is not None:
            self.off.fill_(1)

    def _watch_fetchers(self) -> None:
        original, recorder = _DatasetKind.create_fetcher, self.recorder

        def create_fetcher(kind: Any, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                fetcher = original(kind, dataset, *args, **kwargs)
            except Exception as error:
                recorder.raised(error)
                raise
            info = get_worker_info()
            # A dataset may use loaders of its own.
            if info is None or dataset is not info.dataset or (self.off is not None and bool(self.off[0])):
                return fetcher
            return look_at(fetcher, Fetches(recorder, fetcher, info), fetch="look")

        # In this process only, which is torch's worker and nothing else.
        _DatasetKind.create_fetcher = staticmethod(create_fetcher)


class Fetches:
    """Looks at what one fetcher fetches.

    Args:
        recorder: the loader's.
        fetcher: torch's.
        worker: torch's account of the worker that this is; None outside one.
    """

    def __init__(self, recorder: Recorder, fetcher: Any, worker: Any) -> None:
        self._dataset = fetcher.dataset
        self._has_indices = not isinstance(fetcher.dataset, IterableDataset)
        # Not the fetcher, which refers to this.
        held = (fetcher.dataset, fetcher.collate_fn, getattr(fetcher, "dataset_iter", None))
        self.recorder = recorder.bind(held)
        self._worker = None if worker is None else (worker.id, worker.seed)

    def look(self, fetch: Callable[[Any], Any], index: Any) -> Any:
        """Fetches a batch: in a worker, the parcel that holds it."""
        recorder = self.recorder
        if recorder.off():
            return fetch(index)
        recorder.believes(torch_ids.believed_epoch(self._dataset))
        if self._worker is None:
            return recorder.produce(self._fetch, fetch, index)
        with recorder.as_worker(*self._worker):
            batch = recorder.produce(self._fetch, fetch, index)
        return Parcel(recorder.take_ticket(), batch)

    def _fetch(self, fetch: Callable[[Any], Any], index: Any) -> Any:
        ids = torch_ids.ids_of(self._dataset, index) if self._has_indices else None
        if ids is not None:
            self.recorder.note_ids(ids)
        return fetch(index)
