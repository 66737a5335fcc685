"""Executes the notebooks in place: `python notebooks/execute.py [FILE ...]`, with the extra `notebook`.

What they print is kept, but for lines of TensorFlow's logger. One that shows where it ran is not written.
"""

from __future__ import annotations

import re
import socket
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

_LOGGED = re.compile(r"^(WARNING: All log messages before absl|[IWE]\d{4} \d\d:\d\d).*\n?", re.MULTILINE)
_PLACES = (
    sysconfig.get_path("purelib"),
    str(Path.home()) + "/",
    tempfile.gettempdir() + "/",
    socket.gethostname(),
)


def main(*files: str) -> None:
    """Executes the given notebooks, or all."""
    for file in files or sorted(Path(__file__).parent.glob("*.ipynb")):
        notebook = nbformat.read(file, as_version=4)
        NotebookClient(notebook, timeout=300, record_timing=False).execute(cwd=str(Path(file).parent))
        clean(notebook)
        check(notebook, str(file))
        nbformat.write(notebook, file)
        print(file)


def clean(notebook: Any) -> None:
    """Takes away what says something of the machine and not of the notebook."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                output["text"] = _LOGGED.sub("", output["text"])
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("text") != ""]


def check(notebook: Any, file: str) -> None:
    """Fails where an output names a place of this machine.

    Raises:
        SystemExit: it does.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            told = {
                name: text for name, text in output.get("data", {}).items() if not name.startswith("image/")
            }
            shown = str([output.get("text"), told])
            for place in _PLACES:
                if re.search(
                    rf"(?<!\w){re.escape(place)}(?!\w)" if place[-1] != "/" else re.escape(place), shown
                ):
                    raise SystemExit(f"{file}: {place} is in the output of:\n{cell.source}")


if __name__ == "__main__":
    main(*sys.argv[1:])
