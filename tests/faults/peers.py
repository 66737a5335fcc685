"""Aims the same faults at other tools' files of several processes, side by side with our journal."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tests.faults import killing, table
from tests.faults.ledger import Ledger
from tests.faults.peer_tools import TOOLS, UNITS, Read, Tool

FAULTS = ("none", "kill", "truncate", "flip", "disk full")
WORKERS = 2  # the first is hit; a full disk hits both
FLIPS = 8
_FULL = 25
_LONGEST = 20  # seconds that a process may take


class CannotMountError(Exception):
    """A small file system cannot be mounted here."""


@dataclass
class Outcome:
    """How rounds of one tool and fault went.

    Attributes:
        rounds: how many.
        finished: units of which the tool's call had returned.
        read: different units that its reader gives, as they were written.
        lost: finished units that it does not give.
        wrong: what it gives that nobody wrote, or with another content.
        with_loss: rounds in which a finished unit was lost or a wrong one given.
        told: of these, those in which the reader raised, warned, or said that something is missing.
        crashed: rounds in which the reader itself was ended by a signal, or never came to an end.
        harmed: rounds in which the program that was observed did not end as it does without the fault.
    """

    rounds: int = 0
    finished: int = 0
    read: int = 0
    lost: int = 0
    wrong: int = 0
    with_loss: int = 0
    told: int = 0
    crashed: int = 0
    harmed: int = 0

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


def main(count: int | None, seed: int) -> int:
    """Aims each fault at each tool `count` times; prints the table. Only our own promises decide the exit code."""
    count = count or _FULL
    drawn = random.Random(seed)
    rows, ours = [], Outcome()
    for tool in TOOLS:
        if missing(tool):
            print(f"{tool.name}: {tool.package} is not installed")
            continue
        for fault in FAULTS:
            total = Outcome()
            try:
                with Prepared(tool) as prepared:
                    for _ in range(1 if fault == "none" else count):
                        total += prepared.suffer(fault, drawn)
            except CannotMountError as error:
                print(f"{tool.name}, {fault}: not tried, {error}")
                continue
            rows.append((tool.name, fault, *cells(total)))
            if tool is TOOLS[0]:
                ours += total
    table.show(("tool", "fault", *COLUMNS), rows)
    print(f"{WORKERS} workers of {UNITS} units each; {_versions()}")
    return 0 if not (ours.wrong or ours.crashed or ours.harmed) and ours.told == ours.with_loss else 1


COLUMNS = ("rounds", "finished", "read back", "lost", "wrong", "rounds with loss", "told", "reader crashed",
           "program harmed")  # fmt: skip


def cells(total: Outcome) -> tuple[int, ...]:
    """An outcome as the table shows it."""
    return (total.rounds, total.finished, total.read, total.lost, total.wrong, total.with_loss, total.told,
            total.crashed, total.harmed)  # fmt: skip


def missing(tool: Tool) -> bool:
    """Whether a tool is not installed."""
    return importlib.util.find_spec(tool.package) is None


def _versions() -> str:
    packages = sorted({tool.package for tool in TOOLS[1:] if not missing(tool)})
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


class Prepared:
    """One tool and what it writes when nothing happens, which is damaged copy by copy.

    Args:
        tool: the tool.
    """

    def __init__(self, tool: Tool) -> None:
        self._tool = tool
        self._room = tempfile.TemporaryDirectory()
        self._base = Path(self._room.name)

    def __enter__(self) -> Prepared:
        self._undamaged = self._new_folder()
        self._ledger = Ledger(self._base / "ledger", WORKERS)
        codes = [_waited(process) for process in self._started(self._undamaged, self._ledger)]
        if codes != [0] * WORKERS:
            raise RuntimeError(f"{self._tool.name} does not work here: {codes}")
        return self

    def __exit__(self, *error: object) -> None:
        self._room.cleanup()

    def suffer(self, fault: str, drawn: random.Random) -> Outcome:
        """One round.

        Args:
            fault: of FAULTS.
            drawn: draws moments and places.

        Raises:
            CannotMountError: the fault needs a file system of its own.
        """
        if fault == "kill":
            return self._killed(drawn)
        if fault == "disk full":
            return self._full()
        folder = self._new_folder()
        try:
            shutil.copytree(self._undamaged, folder, dirs_exist_ok=True)
            path = min(folder.glob(self._tool.files))
            if fault == "truncate":
                os.truncate(path, drawn.randrange(path.stat().st_size))
            elif fault == "flip":
                data = bytearray(path.read_bytes())
                for _ in range(FLIPS):
                    data[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)
                path.write_bytes(data)
            return self._judged(folder, self._ledger, [0] * WORKERS)
        finally:
            shutil.rmtree(folder)

    def _new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._base))

    def _started(self, folder: Path, ledger: Ledger) -> list[Any]:
        context = multiprocessing.get_context("fork")
        processes = [
            context.Process(target=_writes, args=(self._tool, folder, ledger, row)) for row in range(WORKERS)
        ]
        for process in processes:
            process.start()
        return processes

    def _killed(self, drawn: random.Random) -> Outcome:
        folder = self._new_folder()
        ledger = Ledger(self._base / f"{folder.name}.ledger", WORKERS)
        processes = self._started(folder, ledger)
        try:
            moment = killing.moment(0, drawn)
            while processes[0].is_alive() and not (ledger.pid(0) and ledger.finished(0) >= moment.finished):
                time.sleep(0.0002)
            until = time.perf_counter() + moment.delay
            while time.perf_counter() < until:
                pass
            processes[0].kill()
            processes[0].join()
            return self._judged(folder, ledger, [0, _waited(processes[1])])
        finally:
            _end(processes)
            shutil.rmtree(folder)

    def _full(self) -> Outcome:
        blocks = sum(path.stat().st_blocks * 512 for path in self._undamaged.iterdir())
        folder = self._new_folder()
        ledger = Ledger(self._base / f"{folder.name}.ledger", WORKERS)
        with mounted(folder, blocks // 2):
            inner = folder / "run"
            inner.mkdir()
            codes = [_waited(process) for process in self._started(inner, ledger)]
            outside = self._new_folder()  # a reader may need room of its own
            shutil.copytree(inner, outside, dirs_exist_ok=True)
        try:
            return self._judged(outside, ledger, codes)
        finally:
            shutil.rmtree(outside)

    def _judged(self, folder: Path, ledger: Ledger, codes: list[int]) -> Outcome:
        finished = {(row, number) for row in range(WORKERS) for number in range(ledger.finished(row))}
        begun = {(row, number) for row in range(WORKERS) for number in range(ledger.begun(row))}
        read, told, crashed = _reads(self._tool, folder, self._base / "answer")
        right = {unit for unit in read if unit in begun}
        lost, wrong = len(finished - right), len(read) - len(right)  # one that comes twice is wrong, too
        loss = bool(lost or wrong)
        return Outcome(
            1,
            len(finished),
            len(right),
            lost,
            wrong,
            loss,
            loss and told,
            crashed,
            any(code != 0 for code in codes),
        )


def _writes(tool: Tool, folder: Path, ledger: Ledger, row: int) -> None:
    signal.alarm(_LONGEST)
    _silence(Path(os.devnull))
    try:
        tool.write(folder, ledger, row)
    except BaseException:
        os._exit(1)
    os._exit(0)


def _reads(tool: Tool, folder: Path, answer: Path) -> tuple[list[Any], bool, bool]:
    """What a tool's reader gives, whether it tells of a loss, and whether it crashed."""
    said = answer.with_suffix(".said")
    for path in (answer, said):
        path.unlink(missing_ok=True)
    process = multiprocessing.get_context("fork").Process(target=_answers, args=(tool, folder, answer, said))
    process.start()
    code = _waited(process)
    if code != 0:
        return [], code == 1, code < 0
    found = json.loads(answer.read_text())
    units = [None if unit is None else tuple(unit) for unit in found["units"]]
    return units, bool(found["told"] or said.read_text().strip()), False


def _answers(tool: Tool, folder: Path, answer: Path, said: Path) -> None:
    signal.alarm(_LONGEST)
    _silence(said)
    try:
        read: Read = tool.read(folder)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    answer.write_text(json.dumps({"units": read.units, "told": read.told}))
    sys.stderr.flush()
    os._exit(0)


def _silence(said: Path) -> None:
    """Sends what this process says to a file."""
    import faulthandler

    faulthandler.disable()
    fd = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")


def _waited(process: Any) -> int:
    process.join()
    return int(process.exitcode)


def _end(processes: list[Any]) -> None:
    for process in processes:
        process.kill()
        process.join()


@contextlib.contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    """Within it, a folder is a file system of its own, of so many bytes.

    Raises:
        CannotMountError: it is not permitted.
    """
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CannotMountError(str(error)) from None
    if result.returncode != 0:
        raise CannotMountError(result.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
