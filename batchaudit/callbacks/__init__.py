"""`audit.callback()`: an epoch's figures in the framework's own logs, and its findings during the training.

`keras.py` and `lightning.py` make the class that the framework expects; `watch.py` says what happens at an
epoch's end. The analysis needs pandas, whose import would change the training's random streams and what its
forked workers inherit: it runs in a process of its own (`observer.py`, asked through `link.py`). Nothing in
here but `observer.py` may import pandas or what needs it.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from batchaudit.callbacks.watch import ON_FINDING, EpochWatch
from batchaudit.errors import UsageError

# framework= : the packages that have its callbacks. One class serves all flavours that are loaded.
FLAVOURS = {"keras": ("keras", "tf_keras"), "lightning": ("lightning.pytorch", "pytorch_lightning")}


def make(folder: Path, attempt: int, framework: str | None = None, on_finding: str = "warn") -> Any:
    """Makes the callback. See `Audit.callback`.

    Args:
        folder: the run's folder.
        attempt: which attempt of it is under way.
        framework: "keras" or "lightning"; None for the one that the program has imported.
        on_finding: one of `ON_FINDING`.

    Returns:
        An instance of the framework's own class of callbacks.

    Raises:
        UsageError: a value that is not known, no framework is imported, or both are and none is named.
    """
    if on_finding not in ON_FINDING:
        raise UsageError(f"on_finding={on_finding!r}: expected one of {', '.join(map(repr, ON_FINDING))}.")
    framework = _chosen(framework)
    bases = tuple(sys.modules[name].callbacks.Callback for name in _loaded(framework))
    module = importlib.import_module(f"{__name__}.{framework}")
    return module.callback_class(bases)(EpochWatch(folder, attempt, on_finding), framework)


def _chosen(framework: str | None) -> str:
    if framework is not None and framework not in FLAVOURS:
        raise UsageError(f"framework={framework!r}: expected one of {', '.join(map(repr, FLAVOURS))}.")
    found = [name for name in FLAVOURS if _loaded(name)]
    if framework is None and len(found) > 1:
        raise UsageError(
            "Keras and Lightning are both imported: say which one trains, "
            'framework="keras" or framework="lightning".'
        )
    if not found or framework not in (None, *found):
        wanted = f"{framework} is not" if framework else "neither Keras nor Lightning is"
        raise UsageError(f"{wanted} imported yet: import it, then call audit.callback().")
    return framework or found[0]


def _loaded(framework: str) -> list[str]:
    # A module that is being imported, or that only has the name, has no class of callbacks.
    found = ((name, sys.modules.get(name)) for name in FLAVOURS[framework])
    return [name for name, module in found if hasattr(getattr(module, "callbacks", None), "Callback")]
