from __future__ import annotations

import io
import threading

from batchaudit.cli.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nothing_is_shown_where_nobody_watches(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr("sys.stderr", file)
    with progress(3, None) as tell:
        assert tell is None
    assert file.getvalue() == ""


def test_a_terminal_shows_how_far_it_is(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    file = Terminal()
    monkeypatch.setattr("sys.stderr", file)
    with progress(3, 8) as tell:
        tell("[red]fork:4", 1, 4)
    assert "[red]fork:4" in file.getvalue()
    assert "epoch 2 of 3" in file.getvalue()


def test_no_thread_draws_and_the_streams_stay(monkeypatch):
    # A thread that holds the console's lock at a fork would leave the workers with a lock nobody opens.
    import sys

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    threads, stdout = threading.active_count(), sys.stdout
    with progress(3, None) as tell:
        tell("serial", 0, 0)
        assert threading.active_count() == threads
        assert sys.stdout is stdout
        assert sys.stderr is terminal
