"""Calls a function in a process that is forked for it, and thrown away with all that the call has changed."""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable
from typing import Any

from batchaudit.strategies import Job, Skip
from batchaudit.strategies.forks import earlier_garbage_kept

PATIENCE = 15.0
"""Seconds: what does not survive a fork hangs."""


def can_fork() -> bool:
    """Whether this platform has `fork`."""
    return "fork" in multiprocessing.get_all_start_methods()


def in_fork(function: Callable[[], Any], seconds: float) -> Any:
    """Calls a function in a process that is forked for it.

    Args:
        function: what it returns must pickle.
        seconds: how long it may take.

    Returns:
        What the function returned.

    Raises:
        Skip: it raised, died or took too long.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def work() -> None:
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)  # its threads do not survive a fork
        try:
            theirs.send((True, function()))
        except BaseException as error:
            theirs.send((False, f"{type(error).__name__}: {error}"))

    process = context.Process(target=work)
    with earlier_garbage_kept():
        process.start()
    theirs.close()
    try:
        if not ours.poll(seconds):
            raise Skip(f"the source gave nothing for {seconds:.0f} s in a forked process")
        done, told = ours.recv()
    except EOFError:
        raise Skip("the source ended a forked process") from None
    finally:
        ours.close()
        process.join(1.0)
        if process.is_alive():
            process.kill()
            process.join()
    if not done:
        raise Skip(told)
    return told


def tell(job: Job, name: str, look: Callable[[float], Any]) -> None:
    """Logs what a function says in a forked process as a hook: the probe's name, a space, and a JSON object.

    Args:
        job: the probe's.
        name: the probe's; `Evidence.told` finds the object under it.
        look: given the seconds that it has, returns what JSON can hold.

    Raises:
        Skip: see `in_fork`.
    """
    seconds = min(job.timeout, PATIENCE)
    told = in_fork(lambda: look(seconds), seconds)
    job.recorder.hook(f"{name} {json.dumps(told)}")
