"""The state of the random streams that a batch could be drawn from, as one number a stream.

Taken before and after each batch, the numbers tell which streams moved and, between workers, which are
clones. Reading neither seeds nor draws nor imports: NumPy 2 loads ``numpy.random`` when it is first touched,
and touching it in a parent would turn forked children that differ into clones. So every library is looked up
in ``sys.modules``, and one that is not there reads 0.

What cannot be seen: draws inside a ``tf.function`` or ``tf.data`` graph, the counters of TensorFlow's seeded
kernels, generators in C++ libraries, and private generators beyond the bounds of the walk
(`private_streams`).
"""

from __future__ import annotations

import os
import struct
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from xxhash import xxh3_64_intdigest

from batchaudit.capture.private_streams import MAX_LOOKED_AT, find_streams
from batchaudit.capture.stream_state import Stream, watch

#: The order of the figures that a `StreamReader` gives.
STREAMS = ("numpy", "python", "torch", "tensorflow", "private")

# A source that makes its generator anew is searched again early, as long as the early walks together have
# looked at no more than so many objects, and so many more with each batch: some 10 µs a batch, whatever the
# source.
_EARLY_LOOKS = 5_000
_EARLY_LOOKS_A_BATCH = 10
_WORD = (1 << 64) - 1


class StreamUnreadableError(Exception):
    """A stream exists but must not be read here and now; it never leaves this module."""


# --- the global streams ------------------------------------------------------------------------------------


_loaded = sys.modules.get
_TENSORFLOW = "tensorflow.python.eager.context"
_TENSORFLOW_GENERATORS = "tensorflow.python.ops.stateful_random_ops"


class _GlobalStream:
    """A stream that a library keeps in a known place; whoever sits there now is read."""

    __slots__ = ("_holder", "_name", "_stream")

    def __init__(self, holder: Callable[[], Any], name: str) -> None:
        self._holder = holder
        self._name = name
        self._stream: Stream | None = None

    def find(self) -> Any:
        """The generator that sits there now; None where there is none."""
        return getattr(self._holder(), self._name, None)

    def fingerprint(self) -> int:
        """Its state as an unsigned 64-bit number, or 0 if there is none."""
        # Not through `find`: twice a batch for each stream, a call costs as much as the reading.
        owner = getattr(self._holder(), self._name, None)
        stream = self._stream
        return stream.fingerprint() if stream is not None and stream.owner is owner else self._follow(owner)

    def _follow(self, owner: Any) -> int:
        if owner is None:
            return 0
        stream = self._stream
        if stream is None or stream.owner is not owner:
            stream = self._stream = watch(owner)
        return stream.fingerprint()


_numpy = _GlobalStream(partial(_loaded, "numpy.random.mtrand"), "_rand")
_python = _GlobalStream(partial(_loaded, "random"), "_inst")
_torch_cpu = _GlobalStream(partial(_loaded, "torch"), "default_generator")


def _cuda_generators() -> tuple[Any, ...]:
    """The default generators of the CUDA devices, if the program has initialised CUDA in this process."""
    cuda = _loaded("torch.cuda")
    if cuda is None or not cuda.is_initialized():
        return ()
    return tuple(cuda.default_generators)


def _torch() -> int:
    value = _torch_cpu.fingerprint()
    if value:
        for generator in _cuda_generators():
            value = _mix(watch(generator).fingerprint(), value)
    return value


def _tensorflow_context() -> Any:
    return getattr(_loaded(_TENSORFLOW), "_context", None)


#: The ``random.Random`` that gives TensorFlow's eager operations their seeds.
_op_seeds = _GlobalStream(_tensorflow_context, "_rng")


def _tensorflow() -> int:
    module = _loaded(_TENSORFLOW)
    if module is None:
        return 0
    # Unused until tf.random.set_seed.
    seeded = getattr(getattr(module, "_context", None), "_seed", None) is not None
    value = _op_seeds.fingerprint() if seeded else 0
    # Never tf.random.get_global_generator(), which makes one.
    generator = getattr(_loaded(_TENSORFLOW_GENERATORS), "global_generator", None)
    if generator is None:
        return value
    if _forks.tensorflow_inherited:
        raise StreamUnreadableError(
            "TensorFlow came over a fork: an operation may wait for threads that are gone"
        )
    if not module.executing_eagerly():
        raise StreamUnreadableError("reading the generator here would add the reading to the user's graph")
    return _mix(xxh3_64_intdigest(generator.state.numpy().tobytes()), value)


def _mix(value: int, seed: int) -> int:
    return xxh3_64_intdigest(struct.pack("=Q", value), seed) or 1


_GLOBAL_STREAMS = (
    ("numpy", _numpy.fingerprint),
    ("python", _python.fingerprint),
    ("torch", _torch),
    ("tensorflow", _tensorflow),
)


def _global_ids() -> frozenset[int]:
    """The ids of the generators that are no source's own."""
    numpy_global = _numpy.find()
    owners = [numpy_global, getattr(numpy_global, "_bit_generator", None)]
    owners += [stream.find() for stream in (_python, _torch_cpu, _op_seeds)]
    return frozenset(map(id, (*owners, *_cuda_generators())))


class _Forks:
    """What this process knows of the forks it came from."""

    def __init__(self) -> None:
        self.count = 0
        self.tensorflow_inherited = False

    def note(self) -> None:
        """Runs in every forked child, before anything else of ours."""
        self.count += 1
        self.tensorflow_inherited |= "tensorflow.python.eager.context" in sys.modules


_forks = _Forks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forks.note)


# --- the reader --------------------------------------------------------------------------------------------


class _LastRead(threading.local):
    """What a thread's last `StreamReader.read` used; two threads may share a reader."""

    def __init__(self) -> None:
        self.private: tuple[Stream, ...] | None = None
        self.unread: tuple[str, ...] = ()


class StreamReader:
    """Reads the fingerprints of all random streams around the making of a batch.

    Call `read` before the batch and `read_again` after it, in the same thread: both look at the same private
    generators, so that one which is found late is not taken for one that moved.

    Private generators are searched for before the first batch and after 1, 2, 4, 8 … batches, since a
    generator function that has not begun holds nothing yet; also when one that was found has been dropped by
    the source, as one is that is made anew each epoch. A forked child counts anew, as all its siblings do.

    Safe to share between threads and across a fork. Pickles as its roots.

    Args:
        *roots: The user's source, and what else may hold generators of its own.
    """

    def __init__(self, *roots: object) -> None:
        self._roots = roots
        self._private: tuple[Stream, ...] = ()
        self._walk_failed = False
        self._batches = 0
        self._early_looks = 0
        self._fork = _forks.count
        self._last = _LastRead()

    def __reduce__(self) -> tuple[type[StreamReader], tuple[object, ...]]:
        return type(self), self._roots

    def __repr__(self) -> str:
        return f"StreamReader(roots={len(self._roots)}, private={len(self._private)})"

    @property
    def unread(self) -> tuple[str, ...]:
        """Names of streams that exist but could not be read since this thread's last `read`."""
        return self._last.unread

    def read(self) -> tuple[int, int, int, int, int]:
        """The state of each of `STREAMS` before a batch, after a search for private generators if one is due.

        Returns:
            One unsigned 64-bit number a stream. Equal states give equal numbers in any process. 0: the
            stream is not loaded, none was found, or it could not be read (then `unread` names it); never 0
            otherwise.
        """
        if self._roots:
            self._walk_if_due()
        self._batches += 1
        last = self._last
        last.private = self._private
        last.unread = ()
        return self._fingerprints(self._private, last)

    def read_again(self) -> tuple[int, int, int, int, int]:
        """The same as `read` after the batch, of the streams that this thread's last `read` looked at."""
        last = self._last
        return self._fingerprints(self._private if last.private is None else last.private, last)

    def _walk_if_due(self) -> None:
        if self._fork != _forks.count:
            self._fork = _forks.count
            self._batches = self._early_looks = 0
        batches = self._batches
        if batches & (batches - 1) == 0:  # 0 and the powers of two
            self._walk()
        elif self._early_looks <= _EARLY_LOOKS + batches * _EARLY_LOOKS_A_BATCH:
            for stream in self._private:
                # Held by the stream and by this call's argument alone: the source has let go of it.
                if sys.getrefcount(stream.owner) <= 2:
                    self._early_looks += self._walk()
                    break

    def _walk(self) -> int:
        """Search the roots; how many objects were looked at."""
        known = {id(stream.owner): stream for stream in self._private}
        try:
            found = find_streams(self._roots, _global_ids())
            self._private = tuple(known.get(id(owner)) or watch(owner) for owner in found.streams)
            self._walk_failed = False
        except Exception:  # whatever the user's objects are made of, training goes on
            self._walk_failed = True
            return MAX_LOOKED_AT
        return found.looked_at

    def _fingerprints(self, private: tuple[Stream, ...], last: _LastRead) -> tuple[int, int, int, int, int]:
        try:
            states = (
                _numpy.fingerprint(),
                _python.fingerprint(),
                _torch(),
                _tensorflow(),
                _combined(private) if private else 0,
            )
        except Exception:  # training goes on; the record says which stream was not read
            states = _one_by_one(private, last)
        if self._walk_failed:
            _note_unread(last, "private")
        return states


def _one_by_one(private: tuple[Stream, ...], last: _LastRead) -> tuple[int, int, int, int, int]:
    """The states of all streams, 0 for those that cannot be read."""
    values = []
    for name, fingerprint in (*_GLOBAL_STREAMS, ("private", partial(_combined, private))):
        try:
            values.append(fingerprint() if name != "private" or private else 0)
        except Exception:
            values.append(0)
            _note_unread(last, name)
    return tuple(values)  # type: ignore[return-value]


def _note_unread(last: _LastRead, name: str) -> None:
    if name not in last.unread:
        last.unread = (*last.unread, name)


def _combined(streams: tuple[Stream, ...]) -> int:
    """One number for several streams, whatever the order in which they were found.

    Their sum: each is a hash, so that two sums agree by chance alone, once in 2^64, unless the states do.
    """
    if len(streams) == 1:
        return streams[0].fingerprint()
    total = 0
    for stream in streams:
        total += stream.fingerprint()
    return total & _WORD or 1
