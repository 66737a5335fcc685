"""However a program ends, it ends as it would, and what was seen until then is in the log."""

from __future__ import annotations

import re

import pytest

import batchaudit as ba
from batchaudit.journal.layout import Flag
from tests.running.starting import PLAIN, WATCHED, ended, write

# What the scripts share: batches that say how many of them were made, and an audit if one is asked for.
BEGIN = """
import os, signal, sys, threading
import numpy as np
class Batches:
    def __init__(self, count):
        self.count, self.made = count, 0
    def __len__(self):
        return self.count
    def __iter__(self):
        for number in range(self.count):
            self.made += 1
            yield np.full((4, 2), number)
batches = train = Batches(20)
if sys.argv[1:]:
    import batchaudit as ba
    audit = ba.Audit(sys.argv[1])
    train = audit.wrap(batches, name="train")
def end(how):
    print("consumed", how, flush=True)
"""
LOOP = BEGIN + "for step, batch in enumerate(train):\n    if step == 9: end(10); "
TORCH = """
import os, signal, sys
import torch
from torch.utils.data import DataLoader
train = DataLoader(torch.arange(80.0), batch_size=4, num_workers=2)
if sys.argv[1:]:
    import batchaudit as ba
    audit = ba.Audit(sys.argv[1])
    train = audit.wrap(train, name="train")
for step, batch in enumerate(train):
    if step == 9:
        print("consumed", 10, flush=True)
        %s
"""
KERAS = """
import sys
import keras, numpy as np
def batches():
    while True:
        yield np.ones((2, 1), "float32"), np.ones((2, 1), "float32")
class Ends(keras.callbacks.Callback):
    def on_train_batch_end(self, step, logs=None):
        if step == 9:
            print("consumed", 10, flush=True)
            sys.exit(5)
model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
model.compile(loss="mse")
train = batches()
if sys.argv[1:]:
    import batchaudit as ba
    audit = ba.Audit(sys.argv[1])
    train = audit.wrap(train, name="train")
model.fit(train, steps_per_epoch=20, epochs=2, verbose=0, callbacks=[Ends()], shuffle=False)
"""
# The main thread is gone long before the other has its batches, which Python waits for.
THREAD = """
import time
def consume():
    threading.main_thread().join()
    print("consumed", sum(1 for batch in train), flush=True)
threading.Thread(target=consume).start()
"""
# Python does not wait for this one; it has taken ten when the main thread ends.
DAEMON = """
there = threading.Event()
def consume():
    for step, batch in enumerate(train):
        if step == 9:
            there.set()
            threading.Event().wait()
threading.Thread(target=consume, daemon=True).start()
there.wait()
end(10)
"""
HANDLED = "signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(6))\n"
SIGNALS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGKILL", "SIGSEGV")
SCRIPTS = {
    "the end": BEGIN + "for batch in train: pass\nend(20)\n",
    "sys.exit": LOOP + "sys.exit(5)\n",
    "sys.exit with a text": LOOP + "sys.exit('no more')\n",
    "os._exit": LOOP + "os._exit(7)\n",
    "an exception": LOOP + "raise LookupError('nobody handles this')\n",
    "a thread": BEGIN + THREAD,
    "a daemon thread": BEGIN + DAEMON,
    "sys.exit beside workers": TORCH % "sys.exit(5)",
    "an exception beside workers": TORCH % "raise LookupError('nobody handles this')",
    "SIGTERM beside workers": TORCH % "os.kill(os.getpid(), signal.SIGTERM)",
    "SIGINT beside workers": TORCH % "os.kill(os.getpid(), signal.SIGINT)",
    "sys.exit in a fit": KERAS,
    "SIGTERM that is handled": HANDLED + LOOP + "os.kill(os.getpid(), signal.SIGTERM)\n",
} | {name: f"{LOOP}os.kill(os.getpid(), signal.{name})\n" for name in SIGNALS}
SCRIPTS["SIGTERM that is handled"] = "import signal, sys\n" + SCRIPTS["SIGTERM that is handled"]


@pytest.mark.parametrize("how", SCRIPTS)
def test_a_program_ends_as_it_would_and_its_records_are_there(how, tmp_path):
    script = write(tmp_path, "script.py", SCRIPTS[how])
    plain = ended([*PLAIN, script], tmp_path)
    watched = ended([*PLAIN, script, "run"], tmp_path)
    assert (watched.code, watched.out) == (plain.code, plain.out), watched.err
    assert said(watched.err) == said(plain.err)
    [consumed] = map(int, re.findall(r"consumed (\d+)", plain.out))
    log = ba.load(tmp_path / "run")
    assert log.health.complete, log.health
    events = log.events
    taken = events["stage"].eq("delivered") | (events["flags"].astype(int) & int(Flag.CONSUMED)).astype(bool)
    assert taken.sum() == consumed
    assert sorted(events[taken]["step"]) == list(range(consumed))


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "an exception", "sys.exit beside workers"])
def test_so_does_a_script_under_batchaudit_run(how, tmp_path):
    script = write(tmp_path, "script.py", SCRIPTS[how])
    plain = ended([*PLAIN, script], tmp_path)
    watched = ended([*WATCHED, "--out", "run", script], tmp_path)
    assert (watched.code, watched.out) == (plain.code, plain.out), watched.err


def said(text):
    """The last line that the program itself has to say, which for a signal or an exit is none."""
    lines = [
        line
        for line in text.splitlines()
        if line and not re.match(r"[IWE]\d{4} |WARNING: All log|Error in cpuinfo", line)
    ]
    return lines[-1:]
