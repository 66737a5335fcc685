"""One drawn loader, driven in this process: a digest of each batch, what was raised, the random states afterwards."""

from __future__ import annotations

import hashlib
import random
import resource
import shutil
import sys
from contextlib import suppress
from itertools import islice

import numpy as np

from tests.faults import drawn, hurt, made

LOG_BYTES = 2000  # of a journal, where its limit is the fault


def run(case, folder, watched):
    """Drives the loader.

    Args:
        case: see `drawn`.
        folder: the run's folder, which is there already.
        watched: whether under an audit.

    Returns:
        What can be compared: one text a batch, an exception, or a random state, in order.
    """
    _seed(case)
    _hurt_before(case)
    if not watched:
        return _drive(case, _make(case), lambda: _hurt_at(case, folder, None))
    import batchaudit as ba

    with ba.Audit(folder, everything=case["everything"]) as audit:
        source = _make(case)
        if not case["everything"]:
            source = audit.wrap(source, name="train")
        return _drive(case, source, lambda: _hurt_at(case, folder, audit))


def _seed(case):
    random.seed(1)
    np.random.seed(2)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(3)
        sys.modules["torch"].set_num_threads(1)
    if case["family"] in (*drawn.KERAS, *drawn.TF_DATA):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(2)
        tf.random.set_seed(4)


def _make(case):
    family = case["family"]
    if family in drawn.PLAIN:
        return made.plain(case)
    if family in drawn.TORCH:
        return made.of_torch(case)
    return (made.of_tf_data if family in drawn.TF_DATA else made.of_keras)(case)


def _hurt_before(case):
    if case["fault"] == "log-full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (LOG_BYTES, LOG_BYTES))
    elif case["fault"] == "log-no-permission":
        hurt.no_permission(None)


def _hurt_at(case, folder, audit):
    if case["fault"] == "log-removed":
        shutil.rmtree(folder, ignore_errors=True)
    elif case["fault"] == "audit-closed" and audit is not None:
        audit.close()


def _drive(case, source, strike):
    seen = []

    def note(batch):
        digest = hashlib.sha256()
        _feed(digest, batch)
        seen.append(f"batch {digest.hexdigest()[:16]}")
        if len(seen) == case["at"] + 1:
            strike()

    if case["family"] in drawn.KERAS:
        from tests.faults import made_keras

        with _noted(seen):
            made_keras.fit(case, source, note)
    else:
        endless = case["family"] == "generator"
        batches = iter(source) if endless else None
        for _ in range(case["epochs"]):
            with _noted(seen):
                for batch in islice(batches, case["batches"]) if endless else source:
                    note(batch)
            seen.append("epoch")
    return seen + [f"{name} {state}" for name, state in _states()]


class _noted:
    """Takes exceptions of the loader's for a part of its stream."""

    def __init__(self, seen):
        self.seen = seen

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, Exception):
            self.seen.append(f"raised {hurt.said(error)}")
            return True
        return False


def _feed(digest, thing):
    """Structure, types, shapes and bytes."""
    if isinstance(thing, dict):
        for name, each in thing.items():
            digest.update(f"{name}:".encode())
            _feed(digest, each)
    elif isinstance(thing, (tuple, list)):
        digest.update(f"{type(thing).__name__}{len(thing)}".encode())
        for each in thing:
            _feed(digest, each)
    elif isinstance(thing, (np.ndarray, np.generic)) or hasattr(thing, "numpy"):
        array = np.asarray(thing)
        digest.update(f"{type(thing).__name__}{array.dtype.str}{array.shape}".encode())
        digest.update(repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes())
    else:
        digest.update(f"{type(thing).__name__}{thing!r}".encode())


def _states():
    """The global random streams as the loader has left them."""
    yield "python", _short(repr(random.getstate()))
    yield "numpy", _short(repr(np.random.get_state()[1:4]) + np.random.get_state()[1].tobytes().hex())
    if "torch" in sys.modules:
        yield "torch", _short(sys.modules["torch"].get_rng_state().numpy().tobytes().hex())
    with suppress(Exception):
        yield (
            "tensorflow",
            _short(repr(sys.modules["tensorflow.python.eager.context"].context()._rng.getstate())),
        )


def _short(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]
