"""The data behind a page's tables and pictures, in the page itself, as files to be saved."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from batchaudit.report.model import Report

_FRAMES = {
    "epochs": "one row for each epoch of a run",
    "workers": "one row for each worker of an epoch",
    "pooled": "one row for each epoch, over all ranks",
    "timing": "one row for each run",
    "coverage": "one row for each piece of the stored samples",
    "overlap": "one row for each pair of workers, ranks or epochs",
    "emitted": "one row for each batch that a worker made, as in the pictures",
    "batches": "one row for each delivered batch",
}
_MOST_CHARACTERS = 4_000_000


@dataclass(frozen=True)
class Download:
    """A file in the page.

    Attributes:
        name: of the file.
        what: is in it.
        url: `data:` and its content; "" where it is too large for a page.
        rows: how many; 0 for a document.
    """

    name: str
    what: str
    url: str
    rows: int = 0


def downloads(report: Report) -> tuple[Download, ...]:
    """The files of a report: the document, and each frame that has rows.

    Args:
        report: the report.
    """
    document = _url("application/json", json.dumps(report.to_dict(), allow_nan=False))
    files = [Download("report.json", "all figures, findings and verdicts", document)]
    for name, what in _FRAMES.items():
        frame: pd.DataFrame = getattr(report, name)
        if len(frame):
            fits = len(frame) * len(frame.columns) <= _MOST_CHARACTERS  # or writing it takes for ever
            url = _url("text/csv", frame.to_csv(index=False)) if fits else ""
            files.append(Download(f"{name}.csv", what, url, len(frame)))
    return tuple(files)


def _url(kind: str, text: str) -> str:
    if len(text) > _MOST_CHARACTERS:
        return ""
    # A file name that is no UTF-8 carries lone surrogates.
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode('utf-8', 'replace')).decode()}"
