"""The report and its renderings: JSON, text, HTML, files.

`view.py` decides what is said, in which words; `console.py` and `html.py` only set it. What comes out of
a log (names of sources, messages of exceptions) is data: `cells.py` cleans it, nothing takes it for markup.
"""

from __future__ import annotations

from batchaudit.report.model import Report, Run

__all__ = ["Report", "Run"]
