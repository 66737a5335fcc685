"""Python executes this file at the start of every process below `batchaudit run`, before the program.

It must cost nothing and change nothing that the program could notice: it imports only what the interpreter
has loaded already, takes itself out of the way, and waits until a framework has been imported. An older
Python may execute it, too, or one without what batchaudit needs: hence the old syntax, and imports as late
as can be.
"""

import os
import sys

TYPE_CHECKING = False  # `typing` would have to be loaded
if TYPE_CHECKING:
    from typing import Any

_HERE = os.path.dirname(__file__)
_PACKAGE = os.path.dirname(os.path.dirname(_HERE))
_OLDEST = (3, 10)


class _Finder:
    """Begins the audit in this process once one of the modules has been imported, and never before.

    Args:
        modules: modules of frameworks.
        folder: the run's folder.
        attempt: which start of the run this is.
    """

    def __init__(self, modules: "frozenset[str]", folder: str, attempt: int) -> None:
        self._modules = modules
        self._folder = folder
        self._attempt = attempt

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """See `importlib.abc.MetaPathFinder`."""
        if name == "batchaudit":  # what a worker is sent must find it, wherever the parent has found it
            import _frozen_importlib_external as importing

            return importing.PathFinder.find_spec(name, [os.path.dirname(_PACKAGE)])
        if name not in self._modules:
            return None
        for finder in list(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return self._followed(spec)
        return None

    def _followed(self, spec: "Any") -> "Any":
        # Not here but after the module has been executed: here Python holds the lock of all imports.
        loader = spec.loader
        try:
            execute = loader.exec_module

            def execute_and_begin(module: "Any") -> None:
                loader.__dict__.pop("exec_module", None)
                execute(module)
                self._begin()

            loader.exec_module = execute_and_begin
        except (AttributeError, TypeError):  # a loader that takes no attribute: what it loads is not watched
            pass
        return spec

    def _begin(self) -> None:
        if not self._modules:
            return
        self._modules = frozenset()
        try:
            from batchaudit.running import inside

            inside.begin(self._folder, self._attempt)
        except Exception as error:  # no failure of ours may reach the script: the report tells of it
            _leave_mark(self._folder, "%s: %s" % (type(error).__name__, error))  # noqa: UP031


def _leave_mark(folder: str, reason: str) -> None:
    try:
        with open(os.path.join(folder, "process-%d.failed" % os.getpid()), "w") as mark:  # noqa: UP031
            mark.write("this process is not watched: " + reason)
    except Exception:
        pass


def _watch() -> None:
    told = os.environ.get("BATCHAUDIT_RUN", "").split("\n", 2)
    if sys.version_info < _OLDEST or len(told) != 3 or not told[0].isdigit():
        return
    attempt, modules, folder = told
    sys.meta_path.insert(0, _Finder(frozenset(modules.split(",")), folder, int(attempt)))  # type: ignore[arg-type]


def _go() -> None:
    """Leaves `sys` as it would be without this file; workers find it again through PYTHONPATH."""
    sys.path[:] = [folder for folder in sys.path if folder != _HERE]
    sys.path_importer_cache.pop(_HERE, None)
    del sys.modules["sitecustomize"]


try:
    _watch()
finally:
    _go()

# The one that this one hides. Where there is none the same ImportError comes as without batchaudit: Python is
# prepared for it, and forgets this module.
import sitecustomize  # type: ignore[import-not-found]  # noqa: E402, F401
