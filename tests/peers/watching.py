"""A pytest plugin that watches every source which the tests of a peer hand to that peer.

`ways` says how a source is watched and `doors` where it enters a framework. The tests themselves, which know
nothing of it, say whether anything behaves otherwise.

Requires pytest, batchaudit and, in the environment, the way and the folder that `outcomes` writes to.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
import ways

from batchaudit.consumers.transit import replaced

_numbers = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    test, number = item.nodeid.partition("::")[2], next(_numbers)
    with ExitStack() as stack:
        stack.enter_context(ways.watching(test, number))
        for cls in _processes(getattr(item, "module", None)):
            stack.enter_context(replaced(cls, __init__=_starting(cls.__init__, test, number)))
        return (yield)


def _processes(module: Any) -> list[Any]:
    """The classes of processes that a file of tests has for itself: fresh ones, which know no plugin."""
    name = getattr(module, "__name__", "")
    classes = [each for each in getattr(module, "__dict__", {}).values() if isinstance(each, type)]
    return [each for each in classes if issubclass(each, BaseProcess) and each.__module__ == name]


def _starting(original: Callable[..., None], test: str, number: int) -> Callable[..., None]:
    @functools.wraps(original)
    def init(self: Any, *args: Any, target: Any = None, **kwargs: Any) -> None:
        if target is not None:
            target = ways.InAProcessOfItsOwn(target, test, number)
        original(self, *args, target=target, **kwargs)

    return init
