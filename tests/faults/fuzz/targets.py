"""What must hold of any bytes that are read as a log, a manifest, a saved report, or by the command line.

Each target returns if it holds, and raises if it does not. What the package may raise on purpose is
`BatchauditError`; what a command may exit with is 0 to 3.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from batchaudit.cli.main import main
from batchaudit.comparing import compare
from batchaudit.errors import BatchauditError, JournalError
from batchaudit.health import MODES
from batchaudit.journal import manifest as manifests
from batchaudit.journal.header import Header
from batchaudit.journal.layout import Event, Stage
from batchaudit.journal.reader import load
from batchaudit.report.files import load as load_report
from batchaudit.report.files import save
from batchaudit.reporting import build
from tests.faults.forging import as_bytes
from tests.faults.fuzz.resealed import resealed

NEXT = b"|next file|"
"""Stands between the files of a folder."""
RAW, RESEALED = b"\0", b"\1"
"""The first byte: whether the checksums of the journals are left as they are, or made right again."""
_ONE_DRAWN = 8  # of so many saved reports one is made a page, which takes a second


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="batchaudit-fuzz-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of NumPy's, about numbers that overflow
            yield folder
    finally:
        shutil.rmtree(folder)


def spread(data: bytes, folder: Path) -> None:
    """Writes the files that some bytes stand for: journals, manifests, marks."""
    for number, part in enumerate(data[1:].split(NEXT)):
        if part.startswith(b"{"):
            (folder / f"manifest-{number:04d}.json").write_bytes(part)
        elif part.startswith(b"failed:"):
            (folder / f"{number}.failed").write_bytes(part)
        else:
            whole = resealed(part) if data.startswith(RESEALED) else part
            (folder / f"{number}.baj").write_bytes(whole)


def reader(data: bytes) -> None:
    """In tolerant mode and in salvage a log is read; in strict it is refused where it is not complete."""
    with _scratch() as folder:
        spread(data, folder)
        logs = {}
        for mode in MODES:
            with contextlib.suppress(JournalError):
                logs[mode] = load(folder, mode=mode)
        if "strict" in logs:
            assert logs["strict"].health.complete and logs["tolerant"].health.complete
        if "tolerant" in logs:
            health = logs["tolerant"].health
            size = sum(path.stat().st_size for path in folder.glob("*.baj"))
            assert health.bytes_dropped <= size and 208 * health.records <= size
            assert len(logs["tolerant"].samples) <= size // 8
            assert len(logs["salvage"].events) >= health.records


def manifest(data: bytes) -> None:
    """A manifest is read, or named with the reason; what is read can be reported."""
    with _scratch() as folder:
        (folder / "manifest-0000.json").write_bytes(data)
        found = manifests.read(folder)
        assert len(found.of) + len(found.unreadable) == 1
        try:
            assert manifests.read(folder, "strict").of == found.of
        except JournalError:
            assert found.unreadable
        if found.of:
            (folder / "1.baj").write_bytes(_JOURNAL)
            with contextlib.suppress(BatchauditError):
                str(build(folder))


def saved(data: bytes) -> None:
    """A saved report is refused, or can be shown in every way, and saved again."""
    with _scratch() as folder:
        path = folder / "saved.json"
        path.write_bytes(data)
        try:
            report = load_report(path)
        except BatchauditError:
            return
        said = str(report)
        assert not any(char in said for char in "\x1b\x9b\u202e")
        report.to_markdown()
        save(report, folder / "again.json")
        assert load_report(folder / "again.json").to_dict() == report.to_dict()
        if zlib.crc32(data) % _ONE_DRAWN == 0:
            assert "<script" not in report._repr_html_()


def command(data: bytes) -> None:
    """report, diff and explain exit with 0 to 3, and show no traceback."""
    with _scratch() as folder:
        (folder / "run").mkdir()
        spread(data, folder / "run")
        (folder / "saved.json").write_bytes(data)
        cause = data[1:40].decode(errors="replace").replace("\0", "")
        run = str(folder / "run")
        for arguments in (
            ["report", run, "--fail-on", "warning", "--json"],
            ["report", str(folder / "saved.json"), "--markdown", str(folder / "comment.md")],
            ["diff", run, run],
            ["explain", "--", cause],
        ):
            code, said = _called(arguments)
            assert code in (0, 1, 2, 3), (arguments[0], code, said)
            assert "Traceback" not in said, said
            assert not any(char in said for char in "\x1b\x9b\u202e"), said
        with contextlib.suppress(BatchauditError):
            compare(run, run)


def _called(arguments: list[str]) -> tuple[object, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as left:
            return (left.code or 0), err.getvalue() + (out.getvalue() if "--json" not in arguments else "")
    return None, "it did not exit"


_JOURNAL = as_bytes(
    Header(1, 1, {"run": "r", "source": "s", "strategy": "serial", "attempt": 0, "rank": 0}),
    [
        Event(Stage.PRODUCED, epoch=0, step=step, digest_lo=step, samples=np.array([step], np.uint64))
        for step in range(4)
    ],
)

TARGETS: dict[str, Callable[[bytes], None]] = {
    "reader": reader,
    "manifest": manifest,
    "saved": saved,
    "command": command,
}
