"""Loads what a person names on the command line: `module:attr` or `path/to/file.py:attr`."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from batchaudit.errors import UsageError

_FORMS = "'module:attr' or 'path/to/file.py:attr'"


def load(text: str) -> Any:
    """Loads a callable that makes a source, or a source.

    Args:
        text: `module:attr` or `path/to/file.py:attr`; attr may be dotted.

    Returns:
        The object. A callable among them can be called with no argument.

    Raises:
        UsageError: it cannot be loaded, or is neither; the message says why and what to do.
    """
    value = resolve(text)
    if not _is_source(value):
        if not callable(value):
            raise UsageError(
                f"{text}: an object of type {type(value).__name__} is neither a source of batches nor a "
                "callable that makes one: name a function that returns what you give to fit()."
            )
        _check_takes_nothing(text, value)
    return value


def load_function(text: str) -> Any:
    """Loads a function, such as the one that `--key` names.

    Args:
        text: as for `load`.

    Returns:
        The function.

    Raises:
        UsageError: it cannot be loaded or called.
    """
    value = resolve(text)
    if not callable(value):
        raise UsageError(
            f"{text}: an object of type {type(value).__name__} is not callable: name a function of a batch."
        )
    return value


def resolve(text: str) -> Any:
    """Imports the module or file and takes the attribute; see `load`."""
    place, colon, attribute = text.rpartition(":")
    if not (place and colon and attribute):
        raise UsageError(f"{text!r} names no object in a module: write {_FORMS}.")
    is_file = place.endswith(".py") or os.sep in place or Path(place).is_file()
    module = _from_file(text, place) if is_file else _from_module(text, place)
    return _attribute(text, module, attribute)


def _from_file(text: str, place: str) -> ModuleType:
    path = Path(place).resolve()
    if path.is_dir():
        raise UsageError(f"{text}: {path} is a folder: write {_FORMS}.")
    if not path.is_file():
        near = [found.name for found in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise UsageError(f"{text}: there is no file {path}.{_suggest(path.name, near)}")
    if path.suffix != ".py" or "." in path.stem:
        raise UsageError(
            f"{text}: {path.name} cannot be imported by worker processes: it must be named like 'loader.py'."
        )
    loaded = sys.modules.get(path.stem)
    standard = path.stem in sys.stdlib_module_names
    if loaded is not None and _file_of(loaded) == path and not standard:
        return loaded
    if loaded is not None or standard:
        other = "of Python's own" if standard else f"from {_file_of(loaded) or 'inside Python'}"
        raise UsageError(
            f"{text}: {path.name} has the name of another module, {path.stem!r} {other}: rename the file."
        )
    _put_first(path.parent)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None, "a name ending in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # worker processes import the file by this name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[path.stem]
        _fail_import(text, place, error, path.parent)
    return module


def _from_module(text: str, name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{text}: {name!r} is no name of a module: write {_FORMS}.")
    _put_first(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(missing + "."):
            _fail_import(text, name, error)
        parent, _, last = missing.rpartition(".")
        hint = _suggest(last, _siblings(parent)) or f" The current folder is {Path.cwd()}."
        raise UsageError(f"{text}: there is no module {missing!r}.{hint}") from None
    except (Exception, SystemExit) as error:
        _fail_import(text, name, error)


def _siblings(parent: str) -> list[str]:
    """The modules beside a missing one: of its package, or of the current folder."""
    package = sys.modules.get(parent)
    path = list(getattr(package, "__path__", [])) if parent else [str(Path.cwd())]
    return [module.name for module in pkgutil.iter_modules(path)]


def _put_first(folder: Path) -> None:
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()


def _file_of(module: ModuleType | None) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file else None


def _attribute(text: str, module: ModuleType, dotted: str) -> Any:
    value: Any = module
    for name in dotted.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            owner = f"module {module.__name__!r}" if value is module else f"{type(value).__name__} object"
            names = [known for known in dir(value) if not known.startswith("_")]
            hint = _suggest(name, names) or _offer(module)
            raise UsageError(f"{text}: {owner} has no attribute {name!r}.{hint}") from None
    return value


def _offer(module: ModuleType) -> str:
    """The functions that the module defines itself: one of them was probably meant."""
    own = [name for name, value in vars(module).items() if _is_own(module, name, value)]
    return f" It has: {', '.join(own[:8])}." if own else ""


def _is_own(module: ModuleType, name: str, value: object) -> bool:
    return (
        callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    )


def _suggest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def _is_source(value: object) -> bool:
    if value is None or isinstance(value, type):
        return False
    from batchaudit.sources import kind_of

    try:
        kind_of(value)
    except UsageError:
        return False
    return True


def _check_takes_nothing(text: str, value: Any) -> None:
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):  # a callable of C tells nothing about itself: calling it will show
        return
    needed = [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if needed:
        raise UsageError(
            f"{text} needs arguments ({', '.join(needed)}): name a callable that takes nothing, such as a "
            f"function that returns {text.rpartition(':')[2]}(...) with the arguments you train with."
        )


def _fail_import(text: str, place: str, error: BaseException, folder: Path | None = None) -> NoReturn:
    if isinstance(error, SystemExit):
        what = f"it ends the program while it is imported (SystemExit: {error.code})"
        hint = " Put what only the script does under: if __name__ == '__main__'."
    else:
        what = f"{type(error).__name__}: {error}"
        relative = isinstance(error, ImportError) and "relative import" in str(error)
        hint = " A file of a package is named by its module: 'package.module:attr'." if relative else ""
    raise UsageError(f"{text}: importing {place} failed{_where(error)}: {what}.{hint}") from None


def _where(error: BaseException) -> str:
    """File and line of the user's code that raised: the last frame that is not of the import machinery."""
    if isinstance(error, SyntaxError):
        return f" ({error.filename}:{error.lineno})"
    here = os.path.dirname(os.path.abspath(__file__))
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and not frame.filename.startswith(here)
    ]
    own = [frame for frame in frames if os.path.basename(os.path.dirname(frame.filename)) != "importlib"]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
