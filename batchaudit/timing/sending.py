"""What it costs to bring a batch from a worker process to the consumer: pickle, pipe, unpickle."""

from __future__ import annotations

import multiprocessing
import pickle
import time
from typing import Any

_LEAST, _MOST, _SECONDS = 5, 100, 0.5
_PATIENCE = 20.0


def sending(batch: Any) -> dict[str, Any] | None:
    """Sends a batch from a process to this one, several times.

    Args:
        batch: any batch.

    Returns:
        "bytes" of its pickle; "send", the seconds that the worker was busy with each; "receive", those of the
        consumer. None where it does not pickle or unpickle, or this platform cannot fork.
    """
    if "fork" not in multiprocessing.get_all_start_methods():
        return None
    try:
        size = len(pickle.dumps(batch, pickle.HIGHEST_PROTOCOL))
    except Exception:
        return None
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_send, args=(theirs, ours, batch), daemon=True)
    process.start()
    theirs.close()
    try:
        sent, received = _exchange(ours)
    except Exception:  # a batch may raise whatever it likes where it is made anew
        return None
    finally:
        ours.close()
        process.join(2.0)
        if process.is_alive():
            process.kill()
            process.join()
    return {"bytes": size, "send": sent, "receive": received}


def _exchange(pipe: Any) -> tuple[list[float], list[float]]:
    sent: list[float] = []
    received: list[float] = []
    until = time.monotonic() + _SECONDS
    while len(sent) <= _LEAST or (time.monotonic() < until and len(sent) <= _MOST):
        pipe.send_bytes(b"?")
        if not pipe.poll(_PATIENCE):
            raise EOFError
        began = time.thread_time()
        pickle.loads(pipe.recv_bytes())
        received.append(time.thread_time() - began)
        sent.append(float(pipe.recv()))
    return sent[1:], received[1:]  # the first fills caches


def _send(pipe: Any, others: Any, batch: Any) -> None:
    others.close()
    try:
        while pipe.recv_bytes():
            began = time.perf_counter()
            pipe.send_bytes(pickle.dumps(batch, pickle.HIGHEST_PROTOCOL))
            pipe.send(time.perf_counter() - began)
    except Exception:
        return
