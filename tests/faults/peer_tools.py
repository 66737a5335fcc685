"""How each tool writes numbered units from several processes and reads them back, as its documentation does it.

Each function runs in a process of its own; the tools are imported there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import contents
from tests.faults.ledger import Ledger

UNITS = 600
SEED = 3

Unit = tuple[int, int]
"""Which worker, and its how manieth."""


@dataclass
class Read:
    """What a tool's own reader gives.

    Attributes:
        units: what it gives, in order; None for what nobody wrote.
        told: what it says is missing; "" for nothing.
    """

    units: list[Unit | None]
    told: str = ""


@dataclass(frozen=True)
class Tool:
    """One tool.

    Attributes:
        name: what the table calls it.
        package: what it needs.
        files: which files it writes, as a pattern.
        write: finishes UNITS units as a row of the ledger.
        read: reads what all workers left.
    """

    name: str
    package: str
    files: str
    write: Callable[[Path, Ledger, int], None]
    read: Callable[[Path], Read]


def _units(ledger: Ledger, row: int, finish: Callable[[int], object]) -> None:
    ledger.starts(row)
    for _ in range(UNITS):
        number = ledger.begins(row)
        finish(number)
        ledger.finishes(row)


def _known(row: int, number: int) -> Unit | None:
    return (row, number) if 0 <= number < UNITS else None


# -- ours: a unit is an event, compared in every field -------------------------------------------------------


def _write_ours(folder: Path, ledger: Ledger, row: int) -> None:
    from batchaudit.journal.writer import JournalWriter

    writer = JournalWriter(folder, source="s", strategy="fork:2", run="r")
    _units(ledger, row, lambda number: writer.append(contents.event(SEED, row, number)))
    writer.close()


def _read_ours(folder: Path) -> Read:
    from batchaudit.journal.reader import load

    log = load(folder)
    units: list[Unit | None] = []
    for row, written in contents.of_log(log):
        unit = _known(row.framework_worker, row.step)
        right = unit is not None and written == contents.of_event(contents.event(SEED, *unit))
        units.append(unit if right else None)
    return Read(units, "" if log.health.complete else log.health.lost)


# -- coverage.py: a unit is a line -----------------------------------------------------------------------------


def _program(ledger: Ledger, row: int) -> Path:
    return ledger.path.with_name(f"program_{row}.py")  # beside the folder that is damaged, never within


def _write_coverage(folder: Path, ledger: Ledger, row: int) -> None:
    import coverage

    path = _program(ledger, row)
    path.write_text("".join(f"def f{number}(): return {number}\n" for number in range(UNITS)))
    names: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    # From here on, so that it is the body that covers its line and not its `def`.
    measured = coverage.Coverage(
        folder / ".coverage", data_suffix=True, config_file=False, include=[str(path)]
    )
    measured.start()
    _units(ledger, row, lambda number: names[f"f{number}"]())
    measured.stop()
    measured.save()


def _write_coverage_each(folder: Path, ledger: Ledger, row: int) -> None:
    from coverage import CoverageData

    data = CoverageData(str(folder / ".coverage"), suffix=True)
    path = str(_program(ledger, row))
    _units(ledger, row, lambda number: data.add_lines({path: [number + 1]}))
    data.close()


def _read_coverage(folder: Path) -> Read:
    import coverage

    combined = coverage.Coverage(folder / ".coverage", config_file=False)
    combined.combine([str(folder)], keep=True)
    data = combined.get_data()
    units: list[Unit | None] = []
    rows = {f"program_{row}.py": row for row in range(2)}
    for path in data.measured_files():
        for line in data.lines(path) or ():
            row = rows.get(Path(path).name)
            units.append(None if row is None else _known(row, line - 1))
    return Read(units)


# -- memray: a unit is an allocation, known by its size --------------------------------------------------------

_LEAST_SIZE = 1 << 24


def _size(row: int, number: int) -> int:
    return _LEAST_SIZE + (row * UNITS + number) * 16


def _write_memray(folder: Path, ledger: Ledger, row: int) -> None:
    import memray
    import numpy as np

    with memray.Tracker(folder / f"worker-{row}.bin"):
        _units(ledger, row, lambda number: np.empty(_size(row, number), np.uint8))


def _read_memray(folder: Path) -> Read:
    import memray

    sizes = {_size(row, number): (row, number) for row in range(2) for number in range(UNITS)}
    units: list[Unit | None] = []
    errors: list[str] = []
    for path in sorted(folder.glob("*.bin")):
        try:
            with memray.FileReader(path) as reader:
                for record in reader.get_allocation_records():
                    if record.size >= _LEAST_SIZE:
                        units.append(sizes.get(record.size))
        except Exception as error:
            errors.append(f"{path.name}: {error}")
    return Read(units, "; ".join(errors))


# -- prometheus_client: a unit is a counter with a value of its own --------------------------------------------


def _value(row: int, number: int) -> float:
    return 1.0 + row * UNITS + number


def _write_prometheus(folder: Path, ledger: Ledger, row: int) -> None:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    # Whether it keeps its values in files is decided when it is imported: a fork may have inherited it.
    for name in [name for name in sys.modules if name.partition(".")[0] == "prometheus_client"]:
        del sys.modules[name]
    from prometheus_client import Counter

    counter = Counter("units", "Units.", ["worker", "number"])
    _units(ledger, row, lambda number: counter.labels(str(row), str(number)).inc(_value(row, number)))


def _read_prometheus(folder: Path) -> Read:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    from prometheus_client import CollectorRegistry, multiprocess

    units: list[Unit | None] = []
    for metric in multiprocess.MultiProcessCollector(CollectorRegistry(), str(folder)).collect():
        for sample in metric.samples:
            if sample.value == 0:  # a counter is made before it is counted up
                continue
            try:
                row, number = int(sample.labels["worker"]), int(sample.labels["number"])
            except (KeyError, ValueError):
                units.append(None)
                continue
            right = sample.name == "units_total" and sample.value == _value(row, number) and row in (0, 1)
            units.append(_known(row, number) if right else None)
    return Read(units)


TOOLS = (
    Tool("batchaudit", "numpy", "*.baj", _write_ours, _read_ours),
    Tool("coverage.py, saved at its end", "coverage", ".coverage.*", _write_coverage, _read_coverage),
    Tool("coverage.py, saved line by line", "coverage", ".coverage.*", _write_coverage_each, _read_coverage),
    Tool("memray", "memray", "*.bin", _write_memray, _read_memray),
    Tool("prometheus_client", "prometheus_client", "*.db", _write_prometheus, _read_prometheus),
)
