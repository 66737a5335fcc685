"""Proves after every test that it left nothing behind: what one test changes, another would be judged by.

Frameworks are looked up in `sys.modules`: a test that needs none does not pay for one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

# pytest puts the checkout first on the path, for `tests` to be found; where batchaudit is installed, the installed
# one is what is tested, with just the files that users get.
_CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _CHECKOUT in sys.path:
    sys.path.remove(_CHECKOUT)
    sys.path.append(_CHECKOUT)

# A shell's background job ignores Ctrl-C, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where the strategies reach into other people's code, and what users' sources draw from.
PATCHABLE = (
    "keras.src.trainers.data_adapters",
    "keras.src.trainers.data_adapters.generator_data_adapter",
    "keras.src.trainers.data_adapters.py_dataset_adapter",
    "keras.src.trainers.epoch_iterator",
    "multiprocessing",
    "multiprocessing.context",
    "multiprocessing.pool",
    "numpy.random",
    "os",
    "queue",
    "random",
    "tf_keras.src.engine.data_adapter",
    "tf_keras.src.utils.data_utils",
    "threading",
    "torch.utils.data.dataloader",
)

# Seconds that processes and threads have which were told to end; a test that leaves none waits for none.
GRACE = 10.0


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    objects, settings, workers = _objects(), _settings(), _workers()
    seed = _seed_of_tensorflow()
    yield
    _seed_tensorflow(seed)
    left = [worker for worker in _workers() if worker not in workers]
    for worker in left:
        worker.join(GRACE)
    assert [worker for worker in left if worker.is_alive()] == [], "workers were left running"
    assert _settings() == settings
    now = _objects()
    replaced = [name for name, value in objects.items() if now.get(name) is not value]
    assert replaced == [], "these were replaced and not put back"


def _workers() -> list[Any]:
    """Child processes, and the threads that would keep a process from ending."""
    return [*multiprocessing.active_children(), *(it for it in threading.enumerate() if not it.daemon)]


def _seed_of_tensorflow() -> Any:
    """The global seed, which decides whether an operation without one of its own draws anew in each pass."""
    context = sys.modules.get("tensorflow.python.eager.context")
    return None if context is None else context.global_seed()


def _seed_tensorflow(seed: Any) -> None:
    if _seed_of_tensorflow() != seed:
        sys.modules["tensorflow.python.eager.context"].set_global_seed(seed)


def _settings() -> dict[str, str]:
    start = multiprocessing.get_start_method(allow_none=True)
    # Asking for any context settles the default: that is no change.
    return {"start method": start or multiprocessing.get_all_start_methods()[0], "folder": os.getcwd()}


def _objects() -> dict[str, Any]:
    """What must go on being the same objects: functions, classes and methods, and the random streams."""
    modules = {name: vars(sys.modules[name]) for name in PATCHABLE if name in sys.modules}
    objects = {
        f"{name}.{key}": value
        for name, its in modules.items()
        for key, value in its.items()
        if callable(value)
    }
    for name, value in list(objects.items()):
        if isinstance(value, type):
            objects |= {f"{name}.{key}": method for key, method in vars(value).items() if callable(method)}
    objects["random._inst"] = vars(sys.modules["random"])["_inst"] if "random" in sys.modules else None
    if "numpy.random.mtrand" in sys.modules:
        stream = sys.modules["numpy.random.mtrand"]._rand  # type: ignore[attr-defined]
        objects |= {"NumPy's stream": stream, "NumPy's bit generator": stream._bit_generator}
    return objects


@pytest.fixture(autouse=True, scope="session")
def not_timed() -> None:
    """An audit times its strategies for some seconds each; only tests that ask for it wait for that."""
    from batchaudit.auditing import (
        audit,
    )  # not above: what a test run imports first is of other tests' concern

    audit.__kwdefaults__["advise"] = False
