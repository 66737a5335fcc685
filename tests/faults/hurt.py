"""Faults that a training inflicts on itself at one definite step, with the audit and without it alike."""

from __future__ import annotations

import argparse
import ctypes
import errno
import hashlib
import os
import re
import resource
import shutil
import signal
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

NOBODY = 65534
_CAPABILITIES, _DROP_FOR_CHILDREN, _OVERRIDES = 0x20080522, 24, (1, 2)  # linux/capability.h, linux/prctl.h
STEP = 10
"""The batch of the first epoch at which a fault strikes that strikes in the middle."""

BYTES = 4096  # what RLIMIT_FSIZE lets a file have: no whole number of records


class Fault:
    """One fault; it travels to the workers with the data that they serve.

    Args:
        name: a function of this module, with "_" for "-"; "none" for none.
        folder: the run's folder.
    """

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder
        self.epoch = 0
        self.ready = None
        """An event that the training sets when it waits for the batch at which a worker is to be killed."""

    def begin(self):
        """Called before the audit is opened."""
        self._strike(_BEFORE)

    def at(self, step):
        """Called in the training process, after a step of the first epoch."""
        if self.epoch == 0 and step == STEP:
            self._strike(_IN_TRAINING)
            if self.ready is not None:
                self.ready.set()

    def serve(self, *, now):
        """Called where the data is asked for an item: in the workers, or in the training if there are none."""
        if self.epoch == 0 and now:
            self._strike(_IN_DATA)

    def worker(self):
        """Called at the start of a worker."""
        self._strike(_IN_WORKER)

    def _strike(self, faults):
        if self.name in faults:
            faults[self.name](self)


def no_permission(fault):
    """Takes from root, here and in what it starts, what lets it write where others may not.

    The run's folder belongs to somebody else. (To become another user would be simpler, but for that user there
    may be no Python.)
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header, words = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    done = libc.capget(header, words)
    for capability in _OVERRIDES:
        done = done or libc.prctl(_DROP_FOR_CHILDREN, capability, 0, 0, 0)
        for each in range(3):  # effective, permitted, inheritable
            words[each] &= ~(1 << capability)
    done = done or libc.capset(header, words)
    assert not done, os.strerror(ctypes.get_errno())


def file_size(fault):
    """The system takes a part of the write that reaches the limit, and none of the next: EFBIG."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, BYTES))


def warnings_are_errors(fault):
    warnings.simplefilter("error")
    file_size(fault)


def disk_full(fault):
    with suppress(OSError), open(os.path.join(os.path.dirname(fault.folder), "filler"), "wb", 0) as filler:
        while True:
            filler.write(bytes(4096))


def removed(fault):
    shutil.rmtree(fault.folder, ignore_errors=True)


def replaced_by_a_file(fault):
    removed(fault)
    Path(fault.folder).write_text("something else")


def working_folder_removed(fault):
    os.rmdir(os.getcwd())


def os_exit(fault):
    os._exit(7)


def killed(fault):
    # A worker that is killed takes along what it has not sent yet, and torch tells of it wherever the training
    # is: only where the training waits for this very batch is that the same each time.
    fault.ready.wait()
    os.kill(os.getpid(), signal.SIGKILL)


def segmentation_fault(fault):
    fault.ready.wait()
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def out_of_memory(fault):
    bytearray(1 << 62)


def no_descriptors(fault):
    """From here on nothing more can be opened."""
    used = max(map(int, os.listdir("/proc/self/fd")))
    for _number in range(used + 1):  # the holes below
        with suppress(OSError):
            if os.open(os.devnull, os.O_RDONLY) > used:
                break
    most = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def input_output_error(fault):
    _spoil_writes(lambda fd, data: 0)


def short_write(fault):
    _spoil_writes(lambda fd, data: _write(fd, data[: len(data) // 2]))


def _spoil_writes(first):
    """What is written to a journal is taken in part by `first`, and then the device fails."""
    taken = set()

    def write(fd, data):
        if not os.readlink(f"/proc/self/fd/{fd}").endswith(".baj"):
            return _write(fd, data)
        if fd not in taken:
            taken.add(fd)
            done = first(fd, data)
            if done:
                return done
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    os.write = write


_write = os.write


def clock_set_back(fault):
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() - 86400
    time.time_ns = lambda: now_ns() - 86400 * 10**9


_BEFORE = {
    "no-permission": no_permission,
    "file-size": file_size,
    "warnings-are-errors": warnings_are_errors,
}
_IN_TRAINING = {
    "disk-full": disk_full,
    "removed": removed,
    "replaced-by-a-file": replaced_by_a_file,
    "working-folder-removed": working_folder_removed,
    "os-exit": os_exit,
    "input-output-error": input_output_error,
    "short-write": short_write,
    "clock-set-back": clock_set_back,
}
_IN_DATA = {
    "killed": killed,
    "segmentation-fault": segmentation_fault,
    "out-of-memory": out_of_memory,
}
_IN_WORKER = {
    "no-descriptors": no_descriptors,
    "input-output-error": input_output_error,
    "short-write": short_write,
    "clock-set-back": clock_set_back,
}


def arguments(**more):
    """What a script was given.

    Args:
        more: options of its own, and their defaults.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--fault", default="none")
    parser.add_argument("--watch", default="no", choices=["no", "wrap", "everything"])
    for name, value in more.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser.parse_args()


@contextmanager
def audited(given):
    """Yields what wraps a source of the name: nothing, where the script is not to watch itself."""
    if given.watch == "no":
        yield lambda source, name: source
        return
    import batchaudit as ba

    with ba.Audit(given.folder, everything=given.watch == "everything") as audit:
        if given.watch == "wrap":
            yield lambda source, name: audit.wrap(source, name=name)
        else:
            yield lambda source, name: source


class Seen:
    """What the model was given, in order, and what was raised on the way."""

    def __init__(self):
        self._digest = hashlib.sha256()

    def batch(self, *arrays):
        for array in arrays:
            self._digest.update(array.tobytes())

    def raised(self, error):
        self._digest.update(said(error).encode())
        print("raised", said(error))

    def show(self, weights):
        print("stream", self._digest.hexdigest())
        print("weights", hashlib.sha256(b"".join(one.tobytes() for one in weights)).hexdigest())


def said(error):
    """An exception's type and first line, without the numbers that no two runs share."""
    lines = str(error).splitlines() or [""]
    told = re.sub(r"\d+", "#", f"{type(error).__name__}: {lines[0]}")
    # Which of the two torch says depends on what it looks at first.
    return re.sub(r"\(pid.*\) (exited unexpectedly|is killed by signal: .*)", "ended", told)
