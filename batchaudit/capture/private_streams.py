"""Where a source hides random generators of its own: a bounded walk over what it refers to.

The walk goes through attributes, ``__slots__``, closures, defaults, partials, bound methods, containers,
iterators and generator frames, and through the module-level names that the source's code mentions. It asks
only ``gc.get_referents``, which runs none of the user's code and, unlike a frame's ``f_locals``, keeps
nothing alive: a property, ``__getattr__`` or ``__eq__`` of the user's is never called.

Its bounds are counts, not times, so replicas of one source walk alike. It stays out of modules, classes that
are not the source's own, arrays, tensors, this library's own objects and a function's ``__globals__`` as
such: a generator that merely lives in the same module is not the source's.
"""

from __future__ import annotations

import gc
import sys
import types
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from batchaudit.capture.stream_state import mro, namespace, stateless, stream_kind

#: Objects opened, objects looked at, members taken of one container, generators kept: the bounds of a walk.
MAX_OPENED = 2_000
MAX_LOOKED_AT = 20_000
MAX_MEMBERS = 256
MAX_STREAMS = 64

# Values, and what describes code: nothing of the source's hangs on them.
_VALUES = (type(None), type(...), str, bytes, bytearray, memoryview, int, float, complex, range)
_CODE = (types.CodeType, types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType)
_CLOSED_WITH_SUBCLASSES = (type, types.ModuleType, types.TracebackType, BaseException)
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)
# The standard library holds users' objects in these; elsewhere (logging, threading, pathlib …) lie its own.
_OPEN_STDLIB = frozenset(
    {"builtins", "functools", "itertools", "collections", "_collections", "types", "contextlib", "queue"}
    | {"_queue", "operator", "_operator", "random", "_random"}
)
# Libraries whose objects are numbers, graphs or handles, and whose code draws from no generator of a user's.
_CLOSED_LIBRARIES = frozenset(
    {"numpy", "scipy", "pandas", "pyarrow", "polars", "tensorflow", "jax", "jaxlib", "ml_dtypes"}
    | {"matplotlib", "PIL"}
)
# Libraries whose objects may hold the user's, but whose own code and classes need no reading.
_FRAMEWORKS = frozenset({"keras", "tf_keras", "torch", "torchvision", "sklearn"})
_CLOSED_PACKAGES = ("batchaudit.capture.", "batchaudit.journal.", "torch.cuda.")
_OUR_MACHINERY = (*_CLOSED_PACKAGES, "batchaudit.sources.", "batchaudit.strategies.")
_OPEN_PACKAGES = ("tensorflow.python.data.",)

# As for `mro`: what a metaclass makes of `__module__` is the user's code.
_declared_module: Callable[[type], Any] = type.__dict__["__module__"].__get__
# Before 3.11 a generator refers to its frame, which refers to its caller's and to the globals; later it
# refers to its locals and its function itself, and a frame object is not needed.
_FRAMES_ARE_OPENED = sys.version_info < (3, 11)


class Found(NamedTuple):
    """What a walk found."""

    streams: tuple[Any, ...]  #: in the order of discovery, each once, at most `MAX_STREAMS`
    looked_at: int  #: how many objects it looked at, about a microsecond each


def find_streams(roots: Iterable[object], exclude: Collection[int] = ()) -> Found:
    """Find the random generators that ``roots`` hold.

    Args:
        roots: The source, and whatever else should be searched.
        exclude: ids of generators that are not private: the global streams.
    """
    walk = _Walk(exclude)
    for root in roots:
        walk.begin_at(root)
    walk.run()
    return Found(tuple(walk.found), walk.looked_at)


class _Walk:
    """One walk: what is still to be opened, and what has been seen."""

    def __init__(self, exclude: Collection[int]) -> None:
        self.found: list[Any] = []
        self._exclude = exclude
        self._seen: dict[int, object] = {}  # by id; the object is kept so that its id is not used again
        self._kinds: dict[int, tuple[type, _Opener | None]] = {}  # by id of the type
        # Containers wait until all else is opened: a long list of annotations must not use up the budget that
        # a transform further down needs.
        self._objects: deque[tuple[Any, _Opener]] = deque()
        self._containers: deque[tuple[Any, _Opener]] = deque()
        self.looked_at = 0

    def begin_at(self, root: object) -> None:
        """Queue a root, which is opened whatever its type."""
        if self._offer(root):
            return
        if isinstance(root, type):
            self._objects.append((root, _class_members))
        elif gc.is_tracked(root) and not issubclass(type(root), types.ModuleType):
            self._objects.append((root, _open_instance))

    def run(self) -> None:
        """Open what is queued until nothing is left or a bound is reached."""
        opened = 0
        while (self._objects or self._containers) and opened < MAX_OPENED and len(self.found) < MAX_STREAMS:
            obj, members = (self._objects or self._containers).popleft()
            opened += 1
            for member in members(obj):
                if self.looked_at == MAX_LOOKED_AT:
                    return
                self.looked_at += 1
                self._offer(member)

    def _offer(self, obj: object) -> bool:
        """Queue ``obj``, or keep it if it is a generator. Returns whether it was either."""
        cls = type(obj)
        entry = self._kinds.get(id(cls))
        if entry is None:
            entry = self._kinds[id(cls)] = (cls, _classify(cls))
        kind = entry[1]
        if kind is None:
            return False
        if id(obj) in self._seen:
            return True
        self._seen[id(obj)] = obj
        if kind is _is_stream:
            if id(obj) not in self._exclude and len(self.found) < MAX_STREAMS:
                self.found.append(obj)
        else:
            queue = self._containers if kind is _open_container else self._objects
            queue.append((obj, kind))
            if kind is _open_instance:
                self._queue_classes(cls)
        return True

    def _queue_classes(self, cls: type) -> None:
        """Queue the user's classes that ``cls`` is made of: their methods name generators, some hold one."""
        for base in mro(cls):
            if id(base) not in self._seen and _is_users(_module_of(base)):
                self._seen[id(base)] = base
                self._objects.append((base, _class_members))


# --- what is opened how ------------------------------------------------------------------------------------

_Opener = Callable[[Any], Iterable[object]]


def _classify(cls: type) -> _Opener | None:
    """How objects of a class are opened; None where nothing in them can be the source's."""
    if stream_kind(cls) is not None:
        return _is_stream
    if cls is types.FunctionType:
        return _open_function
    if cls is types.FrameType:
        return _open_frame if _FRAMES_ARE_OPENED else None
    if any(cls is closed for closed in _VALUES + _CODE) or issubclass(cls, _CLOSED_WITH_SUBCLASSES):
        return None
    if stateless(cls) or _is_tensor(cls):
        return None
    if any(cls is container for container in _CONTAINERS):
        return _open_container
    return _open_instance if _is_open(_module_of(cls)) else None


def _module_of(cls: type) -> str:
    """The name of the module that a class says it is from; empty where it says nothing usable."""
    try:
        name = _declared_module(cls)
    except AttributeError:
        return ""
    return name if isinstance(name, str) else ""


def _is_tensor(cls: type) -> bool:
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    return isinstance(tensor, type) and issubclass(cls, tensor)


def _is_open(module: str) -> bool:
    """Whether objects whose class is from ``module`` may hold what is the user's."""
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names:
        return root in _OPEN_STDLIB
    if root in _CLOSED_LIBRARIES or root.startswith("_cython"):
        return module.startswith(_OPEN_PACKAGES)
    return not f"{module}.".startswith(_CLOSED_PACKAGES)


def _is_users(module: object) -> bool:
    """Whether code from ``module`` is the user's, or a library's that may keep generators of its own."""
    if not isinstance(module, str):
        return True
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names or root in _CLOSED_LIBRARIES or root in _FRAMEWORKS:
        return False
    return not root.startswith("_cython") and not f"{module}.".startswith(_OUR_MACHINERY)


def _is_stream(obj: Any) -> Iterable[object]:
    """Stands for "this is a generator": it is kept, not opened."""
    return ()


def _open_instance(obj: Any) -> Iterator[object]:
    # An instance's attributes and slots come before the members of a container that its class derives from.
    for member in islice(gc.get_referents(obj), MAX_MEMBERS):
        if type(member) is dict:  # most likely its `__dict__`, which is no container that could wait
            yield from _open_container(member)
        else:
            yield member


def _open_container(obj: Any) -> Iterable[object]:
    try:
        # In one go: another thread may change the container between two steps.
        return list(islice(obj.values() if type(obj) is dict else obj, MAX_MEMBERS))
    except RuntimeError:  # it changed all the same
        return ()


def _open_function(function: types.FunctionType) -> Iterator[object]:
    scope = function.__globals__
    shut = (id(scope), id(getattr(function, "__builtins__", None)))
    yield from (member for member in gc.get_referents(function) if id(member) not in shut)
    yield from _named(function.__code__, scope)


def _open_frame(frame: types.FrameType) -> Iterator[object]:
    shut = {id(part) for part in (frame.f_back, frame.f_globals, frame.f_builtins, frame.f_trace)}
    yield from (member for member in gc.get_referents(frame) if id(member) not in shut)
    yield from _named(frame.f_code, frame.f_globals)


def _class_members(cls: type) -> Iterable[object]:
    return islice(list(namespace(cls).values()), MAX_MEMBERS)


def _named(code: types.CodeType, scope: dict[str, Any]) -> Iterator[object]:
    """What the code's names stand for in its own module, and in the user's modules that it names.

    Code keeps the names of attributes among those of globals, so ``self.rng`` also finds a module's ``rng``:
    a stream too many, which does not move unless it is the source's after all.
    """
    if not _is_users(scope.get("__name__")):
        return
    names = _names(code)
    for name in names:
        value = scope.get(name)
        if type(value) is not types.ModuleType:
            yield value
        elif _is_users(value.__dict__.get("__name__")):
            yield from (value.__dict__[attribute] for attribute in names if attribute in value.__dict__)


def _names(code: types.CodeType) -> dict[str, None]:
    """The global and attribute names in a function's code and in the functions inside it, each once."""
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(_names(constant))
    return names
