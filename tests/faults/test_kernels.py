"""A notebook's kernel that is interrupted, restarted or killed in the middle of a watched loop."""

from __future__ import annotations

import signal
import time

import pytest

import batchaudit as ba
from tests.running.starting import environment

jupyter_client = pytest.importorskip("jupyter_client")
pytest.importorskip("ipykernel")

SECONDS = 120
OPEN = """
import numpy as np
import batchaudit as ba
class Batches:
    made = 0
    def __iter__(self):
        for number in range(10**9):
            self.made += 1
            yield np.full((4, 2), number)
batches = Batches()
audit = ba.Audit({folder!r})
train = audit.wrap(batches, name="train")
print("opened")
"""
# It says where it is once it is in the middle, and goes on until it is stopped from outside.
LOOP = """
consumed = 0
for batch in train:
    consumed += 1
    if consumed == 200:
        print("in the middle", flush=True)
"""


class Kernel:
    """A kernel, and what its cells print."""

    def __init__(self, folder):
        self.manager = jupyter_client.KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(folder), env=environment())
        self.connect()

    def connect(self):
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(SECONDS)

    def begin(self, code):
        """Executes a cell; returns what it is known by."""
        return self.client.execute(code)

    def until(self, cell, text):
        """Waits until a cell has printed a text."""
        self._read(cell, lambda message: text in message["content"].get("text", ""))

    def ended(self, cell):
        """Waits until a cell has ended; returns what it printed, and what it raised."""
        printed, raised = [], []

        def last(message):
            content = message["content"]
            printed.append(content.get("text", ""))
            raised.append(content.get("ename", ""))
            return message["msg_type"] == "status" and content["execution_state"] == "idle"

        self._read(cell, last)
        return "".join(printed), "".join(raised)

    def run(self, code):
        return self.ended(self.begin(code))

    def _read(self, cell, enough):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            message = self.client.get_iopub_msg(timeout=SECONDS)
            if message["parent_header"].get("msg_id") == cell and enough(message):
                return
        raise AssertionError("the kernel does not answer")

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def kernel(tmp_path):
    made = Kernel(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def begin(kernel, folder):
    """Has the kernel in the middle of a watched loop; returns the cell."""
    assert kernel.run(OPEN.format(folder=str(folder))) == ("opened\n", "")
    cell = kernel.begin(LOOP)
    kernel.until(cell, "in the middle")
    return cell


def steps(folder, attempt=0):
    """The steps that the log has of an attempt, in their order."""
    log = ba.load(folder)
    assert log.health.complete, log.health
    events = log.events
    mine = events[(events["attempt"] == attempt) & (events["stage"] == "produced")]
    return mine.sort_values("seq")["step"].tolist()


def test_an_interrupted_loop_goes_on_and_nothing_is_missing(kernel, tmp_path):
    folder = tmp_path / "run"
    cell = begin(kernel, folder)
    for _ in range(5):
        kernel.manager.interrupt_kernel()
        _, raised = kernel.ended(cell)
        assert raised == "KeyboardInterrupt"
        cell = kernel.begin(LOOP)
        kernel.until(cell, "in the middle")
    kernel.manager.interrupt_kernel()
    kernel.ended(cell)
    made, _ = kernel.run("print(batches.made); audit.close()")
    epochs = ba.load(folder).events.query("stage == 'produced'")
    # At each of the six interrupts one batch may have been made that was not yet noted.
    assert int(made) - 6 <= len(epochs) <= int(made)
    assert ba.load(folder).health.complete
    for _, one in epochs.groupby("epoch"):
        assert one["step"].tolist() == list(range(len(one)))


@pytest.mark.parametrize("how", ["restarted", "killed", "restarted without a warning"])
def test_what_a_kernel_saw_before_it_was_gone_is_there_and_the_next_begins_cleanly(kernel, tmp_path, how):
    folder = tmp_path / "run"
    cell = begin(kernel, folder)
    if how == "restarted":
        kernel.manager.interrupt_kernel()
        kernel.ended(cell)
    kernel.client.stop_channels()
    if how == "killed":
        kernel.manager.signal_kernel(signal.SIGKILL)
    kernel.manager.restart_kernel(now=True)
    kernel.connect()
    first = steps(folder)
    assert len(first) >= 200 and first == list(range(len(first)))
    assert kernel.run(OPEN.format(folder=str(folder))) == ("opened\n", "")
    seen, raised = kernel.run("print(sum(1 for batch, _ in zip(train, range(7)))); audit.close()")
    assert (seen, raised) == ("7\n", "")
    assert steps(folder) == first
    assert steps(folder, attempt=1) == list(range(8))  # zip takes one more before it looks at the range


def test_a_kernel_that_is_shut_down_ends_its_log(kernel, tmp_path):
    folder = tmp_path / "run"
    cell = begin(kernel, folder)
    kernel.manager.interrupt_kernel()
    kernel.ended(cell)
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel()
    log = ba.load(folder)
    assert log.health.complete and log.health.files_not_ended == ()
