"""Signals reach the script as often as they were sent, however they were sent."""

from __future__ import annotations

import json
import os
import pty
import signal

import pytest

from tests.running.starting import PLAIN, WATCHED, ended, environment, start, write

# Says which signals it gets, in order, and ends with its input.
LISTENS = """\
import signal, sys
def said(number, frame):
    print(signal.Signals(number).name, flush=True)
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
    if signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
        signal.signal(getattr(signal, name), said)
print("ready", flush=True)
for line in sys.stdin:
    pass
print("end", flush=True)
sys.exit(7)
"""
# One line, so that an interrupt has one place to be at.
WAITS = "import sys\nprint('ready', flush=True); sys.stdin.read()\n"
SHOWS = """\
import json, signal
numbers = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
print(json.dumps([sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), [str(signal.getsignal(n)) for n in numbers]]))
"""
NAMES = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"]


@pytest.fixture
def listens(tmp_path):
    return write(tmp_path, "listens.py", LISTENS)


def test_a_signal_that_is_sent_to_us_reaches_the_script_once(listens):
    with start([*WATCHED, listens], listens.parent) as process:
        assert process.stdout.readline() == "ready\n"
        for name in NAMES:
            process.send_signal(getattr(signal, name))
            assert process.stdout.readline() == f"{name}\n"
        rest, err = process.communicate(timeout=60)
    assert rest == "end\n", err
    assert process.returncode == 7


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_that_the_script_does_not_handle_ends_both_by_it(tmp_path, name):
    script = write(tmp_path, "waits.py", WAITS)
    codes, errors = [], []
    for command in (PLAIN, WATCHED):
        with start([*command, script], tmp_path, environment(PYTHONNODEBUGRANGES="1")) as process:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(getattr(signal, name))
            process.wait(60)
            codes.append(process.returncode)
            errors.append(process.stderr.read())
    assert codes == [-getattr(signal, name)] * 2
    assert errors[1].startswith(errors[0])


def test_the_script_inherits_masks_and_handlers_as_from_a_shell(tmp_path):
    script = write(tmp_path, "shows.py", SHOWS)

    def as_after_nohup():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGWINCH})

    for prepare in (None, as_after_nohup):
        plain, watched = (
            json.loads(ended([*command, script], tmp_path, preexec_fn=prepare).out)
            for command in (PLAIN, WATCHED)
        )
        assert watched == plain
        assert bool(plain[0]) == (prepare is as_after_nohup)


def test_a_hangup_that_nohup_ignores_stays_ignored(listens):
    def nohup():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with start([*WATCHED, listens], listens.parent, preexec_fn=nohup) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "SIGUSR1\n"
        rest, _ = process.communicate(timeout=60)
    assert rest == "end\n"
    assert process.returncode == 7


def test_a_parent_that_ignores_its_children_changes_nothing(listens):
    def ignores():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    done = ended([*WATCHED, listens], listens.parent, preexec_fn=ignores)
    assert (done.code, done.out) == (7, "ready\nend\n")


class Terminal:
    """A script whose controlling terminal we hold the other end of."""

    def __init__(self, command, folder):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(folder)
                os.execve(command[0], list(map(str, command)), environment())
            finally:
                os._exit(99)
        self.text = ""

    def read_until(self, word, times=1):
        while self.text.count(word) < times:
            try:
                piece = os.read(self.fd, 4096)
            except OSError:  # the last process has left the terminal
                piece = b""
            assert piece, f"{word!r} is not in {self.text!r}"
            self.text += piece.decode()

    def write(self, data):
        os.write(self.fd, data)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.close(self.fd)  # hangs up
        if self.pid:
            os.waitpid(self.pid, 0)


@pytest.mark.parametrize(("key", "name"), [(b"\x03", "SIGINT"), (b"\x1c", "SIGQUIT")])
def test_what_is_typed_reaches_the_script_once(listens, key, name):
    with Terminal([*WATCHED, listens], listens.parent) as terminal:
        terminal.read_until("ready")
        terminal.write(key)
        terminal.read_until(name)
        # A second one would have been handed on before this, and lower numbers are delivered first.
        os.kill(terminal.pid, signal.SIGUSR2)
        terminal.read_until("SIGUSR2")
        terminal.write(b"\x04")
        terminal.read_until("end")
        assert terminal.text.count(name) == 1
        terminal.read_until("no source of batches")
        _, status = os.waitpid(terminal.pid, 0)
        terminal.pid = 0
        assert os.waitstatus_to_exitcode(status) == 7


def test_stopping_and_going_on_with_the_terminals_job_control(listens):
    with Terminal([*WATCHED, listens], listens.parent) as terminal:
        terminal.read_until("ready")
        os.killpg(terminal.pid, signal.SIGSTOP)  # Ctrl-Z, but for an orphaned group, which takes none
        pid, status = os.waitpid(terminal.pid, os.WUNTRACED)
        assert pid == terminal.pid
        assert os.WIFSTOPPED(status)
        os.killpg(terminal.pid, signal.SIGCONT)
        os.kill(terminal.pid, signal.SIGUSR1)
        terminal.read_until("SIGUSR1")
        terminal.write(b"\x04")
        terminal.read_until("end")


def test_a_supervisor_that_is_killed_leaves_the_script_running(listens):
    with start([*WATCHED, listens], listens.parent) as process:
        assert process.stdout.readline() == "ready\n"
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
        process.stdin.close()
        assert process.stdout.readline() == "end\n"
