"""Reports as files: a page for people, JSON that gives the same report back."""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchaudit.advice.document import from_plain
from batchaudit.diagnosis.finding import Finding, Verdict
from batchaudit.errors import JournalError, UsageError
from batchaudit.health import of_counts
from batchaudit.regular import read_regular
from batchaudit.report.checked import check, check_column
from batchaudit.report.document import plain, to_dict
from batchaudit.report.model import SCHEMA_VERSION, Report, Run
from batchaudit.report.view import view
from batchaudit.untrusted import is_whole, json_of

if TYPE_CHECKING:
    import pandas as pd

_TABLES = ("epochs", "workers", "batches", "pooled", "timing", "emitted", "coverage", "overlap")
MOST_BYTES = 1 << 30
"""Of a saved report: a larger one is none, or is better read from the run's folder."""
# Tags of what an object column may hold and JSON does not know.
_PAIRS, _MISSING = "@pairs", "@missing"


def save(report: Report, path: str | os.PathLike[str]) -> None:
    """Writes a report: `.html` for a page, `.json` for a file that `load` reads, `.md` for Markdown.

    The frames are kept with their types; their row labels are not.

    Args:
        report: the report.
        path: where to; an older file there is replaced as a whole or not at all.

    Raises:
        UsageError: another ending, or the file cannot be written.
    """
    ending = Path(path).suffix.lower()
    if ending in (".html", ".htm"):
        from batchaudit.report.html import as_page

        write(path, as_page(report))
    elif ending == ".json":
        write(path, _to_file(report))
    elif ending == ".md":
        from batchaudit.report.markdown import as_markdown

        write(path, as_markdown(report))
    else:
        raise UsageError(
            f"cannot save a report as {os.fspath(path)!r}: the name must end in .html, .json or .md."
        )


def load(path: str | os.PathLike[str]) -> Report:
    """Reads a report that `save` wrote as JSON.

    Args:
        path: the file.

    Returns:
        A report with the same contents.

    Raises:
        UsageError: the file is missing, is no saved report, or was written by a newer version.
    """
    name = os.fspath(path)
    if os.path.isdir(path):
        raise UsageError(
            f"{name!r} is a folder: give a saved report, or read a run with 'batchaudit report'."
        )
    try:
        text = read_regular(path, MOST_BYTES, named=True).decode()
    except FileNotFoundError:
        raise UsageError(f"there is no file {name!r}.") from None
    except (OSError, UnicodeDecodeError, JournalError) as error:
        raise UsageError(f"{name!r} cannot be read: {error}.") from None
    return _from_text(text, name)


def write(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file so that nobody ever sees half of it.

    Args:
        path: the file; a link is followed; a device or a pipe is written to as it is.
        text: what to write, as UTF-8.

    Raises:
        UsageError: it cannot be written.
    """
    target = Path(os.path.realpath(path))
    data = text.encode("utf-8", "replace")
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            target.write_bytes(data)
        else:
            _replace(target, data)
    except OSError as error:
        raise UsageError(f"{os.fspath(path)!r} cannot be written: {error.strerror or error}.") from None


def _replace(target: Path, data: bytes) -> None:
    draft = target.with_name(f".{target.name[:80]}.{os.getpid()}.part")
    try:
        with open(draft, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def _to_file(report: Report) -> str:
    tables = {name: _table(getattr(report, name)) for name in _TABLES}
    return json.dumps({**to_dict(report), "tables": tables}, allow_nan=False) + "\n"


def _from_text(text: str, name: str) -> Report:
    try:
        document = json_of(text)
    except ValueError as error:
        raise UsageError(f"{name!r} is no saved report: it is not JSON ({error}).") from None
    if not isinstance(document, dict) or "schema_version" not in document:
        raise UsageError(f"{name!r} is no saved report: it was not written by batchaudit.")
    version = document["schema_version"]
    if version != SCHEMA_VERSION:
        said = version if is_whole(version, 0, 10**6) else "none that is known"
        raise UsageError(
            f"{name!r} has version {said} and this batchaudit reads version {SCHEMA_VERSION}: read it with "
            f"the batchaudit that wrote it."
        )
    if "tables" not in document:
        raise UsageError(
            f"{name!r} holds what --json prints, without the frames: save with Report.save('name.json')."
        )
    try:
        report = _report(document)
        check(report)
        # What is computed where a report is shown, before anybody relies on it.
        to_dict(report)
        view(report)
    except Exception as error:
        said = f"{type(error).__name__}: {str(error)[:200]}"
        raise UsageError(f"{name!r} is damaged, or was written by something else: {said}.") from None
    return report


def _report(document: dict[str, Any]) -> Report:
    across = document["across"]
    return Report(
        runs=tuple(_run(run) for run in document["runs"]),
        complete=document["complete"],
        notes=tuple(document["notes"]),
        ranks=tuple(across["ranks"]),
        missing_ranks=tuple(across["missing_ranks"]),
        attempts=tuple(across["attempts"]),
        across=tuple(Finding(**finding) for finding in across["findings"]),
        across_verdicts=tuple(Verdict(**verdict) for verdict in across.get("verdicts", ())),
        advice=from_plain(document.get("advice", ())),
        log=of_counts(document.get("log", {})),
        **{name: _frame(name, document["tables"].get(name, {})) for name in _TABLES},
    )


def _run(run: dict[str, Any]) -> Run:
    return Run(
        run=run["run"],
        source=run["source"],
        strategy=run["strategy"],
        workers_configured=run["workers_configured"],
        skipped=run["skipped"],
        error=run["error"],
        findings=tuple(Finding(**finding) for finding in run["findings"]),
        verdicts=tuple(Verdict(**verdict) for verdict in run["verdicts"]),
        attempt=run["attempt"],
        rank=run["rank"],
    )


def _table(frame: pd.DataFrame) -> dict[str, Any]:
    return {
        str(name): {"dtype": str(column.dtype), "values": [_cell(value) for value in column.tolist()]}
        for name, column in frame.items()
    }


def _frame(table: str, columns: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    if len({len(column["values"]) for column in columns.values()}) > 1:
        raise ValueError(f"the columns of {table} are of different lengths")
    return pd.DataFrame(
        {name: _column(table, name, column["dtype"], column["values"]) for name, column in columns.items()}
    )


def _column(table: str, name: str, dtype: str, values: list[Any]) -> pd.Series[Any]:
    import pandas as pd

    cells = [_from_cell(value) for value in values]
    check_column(table, name, dtype, cells)
    # Before pandas 3, "str" is no type but a conversion that makes the text 'None' of what is missing.
    if dtype == "str" and pd.Series([], dtype="str").dtype == object:
        dtype = "object"
    return pd.Series(cells, dtype=dtype)


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return {_PAIRS: [[_cell(key), _cell(inner)] for key, inner in value.items()]}
    if isinstance(value, float) and not math.isfinite(value):
        return {_MISSING: str(value)}
    if type(value).__name__ == "NAType":
        return {_MISSING: "NA"}
    return plain(value)


def _from_cell(cell: Any) -> Any:
    if not isinstance(cell, dict):
        return cell
    if _PAIRS in cell:
        return {_from_cell(key): _from_cell(value) for key, value in cell[_PAIRS]}
    if cell[_MISSING] == "NA":
        import pandas as pd

        return pd.NA
    return float(cell[_MISSING])
