"""The training's side of the observer: starts it, asks it, ends it. Standard library only.

The two talk through a pair of sockets, one line of JSON each way: unlike a pipe, a socket that nobody reads
any more raises no SIGPIPE, and each call has a time limit.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

# Begins isolated: a sitecustomize that audits the training must not audit this. Then what the training can
# import, the observer can.
_START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from batchaudit.callbacks import observer
observer.main()
"""
# It has one core's worth of work, and must not take more from the training.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_NO_SIGPIPE = getattr(socket, "MSG_NOSIGNAL", 0)


class LinkError(Exception):
    """The observer gave no answer: the message says why."""


class Link:
    """A running observer.

    It is in a session of its own, so that Ctrl-C reaches the training alone, and ends with the training,
    however that ends.

    Args:
        folder: the run's folder.
        attempt: which attempt of it is under way.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, folder: Path, attempt: int) -> None:
        mine, its = socket.socketpair()
        path = json.dumps([entry for entry in sys.path if isinstance(entry, str)])
        about = [os.path.abspath(folder), str(attempt), str(os.getpid())]
        try:
            process = subprocess.Popen(
                [sys.executable or "python3", "-I", "-c", _START, path, *about],
                stdin=its.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **_ONE_THREAD},
            )
        except BaseException:
            mine.close()
            raise
        finally:
            its.close()
        self._socket = mine
        self._process = process
        self._end = weakref.finalize(self, _end, process, mine, os.getpid())

        self.pid: int = process.pid
        """The observer's process id."""

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Sends a request and waits for its answer.

        Args:
            request: plain values.
            seconds: for how long to wait.

        Returns:
            The answer.

        Raises:
            LinkError: there is none in that time, or the observer has ended.
        """
        until = time.monotonic() + seconds
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(json.dumps(request).encode() + b"\n", _NO_SIGPIPE)
            answer: dict[str, Any] = json.loads(self._line(until))
        except TimeoutError:
            raise LinkError(f"the analysis of the log took longer than {seconds:.0f} s") from None
        except (OSError, EOFError, ValueError):
            code = self._process.poll()
            ended = "" if code is None else f" with exit status {code}"
            raise LinkError(f"the process that analyses the log has ended{ended}") from None
        return answer

    def close(self) -> None:
        """Ends the observer; may be called again."""
        self._end()

    def _line(self, until: float) -> bytes:
        parts = b""
        while not parts.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            part = self._socket.recv(65536)
            if not part:
                raise EOFError
            parts += part
        return parts


def _end(process: subprocess.Popen[bytes], line: socket.socket, pid: int) -> None:
    line.close()
    if os.getpid() != pid:  # a forked worker that ends is not the end of the training
        return
    # It only reads: nothing is lost by ending it at once.
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)
