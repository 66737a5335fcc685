"""Which ways of driving a source are worth comparing, beside those that were asked for."""

from __future__ import annotations

import importlib.util
from typing import Any

from batchaudit import strategies
from batchaudit.sources import kind_of
from batchaudit.sources.kinds import Kind
from batchaudit.sources.torch_loader import is_loader
from batchaudit.strategies import Strategy
from batchaudit.timing.machine import cores

_LEAST, _MOST = 4, 16
_NO_LOADER = "its workers are a DataLoader's, and the source is a {}"


def candidates(source: Any) -> tuple[list[Strategy], dict[str, str]]:
    """The strategies that could drive a source, each with one number of workers.

    Args:
        source: the user's source, not watched.

    Returns:
        Those to try, simple ones first, TensorFlow's last; and the others, with what they lack.
    """
    workers = min(max(_LEAST, cores()), _MOST)
    families, lacking = _families(source)
    if "tf.data" in families and not importlib.util.find_spec("tensorflow"):
        families.remove("tf.data")
        lacking["tf.data"] = "tensorflow is not installed: pip install 'batchaudit[tensorflow]'"
    found = [name if name == "serial" else f"{name}:{workers}" for name in families]
    return list(map(strategies.parse, found)), {f"{name}:{workers}": why for name, why in lacking.items()}


def _families(source: Any) -> tuple[list[str], dict[str, str]]:
    kind = type(source).__name__
    if is_loader(source):
        return ["serial", "torch"], {"tf.data": f"a {kind} runs workers of its own"}
    if kind_of(source) is Kind.DATASET:
        return [], {"torch": _NO_LOADER.format(kind)}
    modules = {cls.__module__.partition(".")[0] for cls in type(source).__mro__}
    pairs = {
        "keras": ["keras-threads", "keras-processes"],
        "tf_keras": ["tf_keras-threads", "tf_keras-processes"],
    }
    own = next((theirs for package, theirs in pairs.items() if package in modules), ["threads", "fork"])
    return ["serial", *own, "tf.data"], {"torch": _NO_LOADER.format(kind)}
