"""Lightning's `LightningDataModule`, which gives the loaders of a training rather than being one.

Lightning asks it for them by name, once or every few epochs, after it has looked which of the methods are
overridden. Requires lightning or pytorch_lightning, which the user's program has loaded.
"""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from batchaudit.errors import UsageError
from batchaudit.sources.subclass import is_twin, twin, untwin

Wrap = Callable[[Any, str], Any]
"""`wrap(loader, its)` gives a watched loader; one of a name that another had goes on where that one was."""

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")
_PARTS = ("train", "val", "test", "predict")


def is_one(source: object) -> bool:
    """Whether a source is a `LightningDataModule`, without loading Lightning to find out."""
    classes = [getattr(sys.modules.get(package), "LightningDataModule", None) for package in _PACKAGES]
    return any(isinstance(cls, type) and isinstance(source, cls) for cls in classes)


def watch(source: Any, wrap: Wrap) -> Any:
    """A twin of a data module whose loaders are watched.

    Args:
        source: the data module; it is not changed.
        wrap: watches a loader, given its name: "train", "val", "test", "predict"; "val.0", "val.left" where
            the data module gives several in a list or dict.

    Returns:
        The twin, for `Trainer(...).fit(model, datamodule=...)`; one that is a twin already as it is.
    """
    if is_twin(source):
        return source
    watched = twin(source, None, {}, _unwatched, looks_inside=False)  # type: ignore[arg-type]
    for part in _PARTS:
        setattr(type(watched), f"{part}_dataloader", _hook(f"{part}_dataloader", part, wrap))
    return watched


def _unwatched(source: Any, recorder: None) -> Any:
    """What a copy of the twin is, and what another process gets, which has no audit."""
    return source


def _hook(name: str, part: str, wrap: Wrap) -> property:
    # Not a method: `from_datasets` sets functions on the data module itself.
    def get(self: Any) -> Any:
        original = getattr(untwin(self), name)
        return _watching(original, part, wrap) if callable(original) else original

    return property(
        get,
        lambda self, value: setattr(untwin(self), name, value),
        lambda self: delattr(untwin(self), name),
    )


def _watching(original: Callable[..., Any], part: str, wrap: Wrap) -> Callable[..., Any]:
    @functools.wraps(original)  # Lightning looks at what is wrapped, to know whether it is overridden
    def loaders(*args: Any, **kwargs: Any) -> Any:
        return _watched(original(*args, **kwargs), part, wrap)

    return loaders


def _watched(loaders: Any, name: str, wrap: Wrap) -> Any:
    """The loaders of a tree of them, watched, in a tree of the same kind."""
    if isinstance(loaders, dict):
        made = copy.copy(loaders)
        made.update({key: _watched(each, f"{name}.{key}", wrap) for key, each in loaders.items()})
        return made
    if isinstance(loaders, (list, tuple)):
        parts = [_watched(each, f"{name}.{number}", wrap) for number, each in enumerate(loaders)]
        return loaders._make(parts) if hasattr(loaders, "_make") else type(loaders)(parts)
    if _is_combined(loaders):
        return _watched_combination(loaders, name, wrap)
    with suppress(UsageError):  # what Lightning can iterate and we do not know, such as None
        return wrap(loaders, name)
    return loaders


def _is_combined(loader: object) -> bool:
    modules = [sys.modules.get(f"{package}.utilities.combined_loader") for package in _PACKAGES]
    classes = [getattr(module, "CombinedLoader", None) for module in modules]
    return any(isinstance(cls, type) and isinstance(loader, cls) for cls in classes)


def _watched_combination(loader: Any, name: str, wrap: Wrap) -> Any:
    watched: dict[int, Any] = {}

    def remember(part: Any, its: str) -> Any:
        watched[id(part)] = part  # where it cannot be watched
        watched[id(part)] = wrap(part, its)
        return watched[id(part)]

    _watched(loader.iterables, name, remember)
    made = copy.copy(loader)
    made.flattened = [watched.get(id(part), part) for part in loader.flattened]
    return made
