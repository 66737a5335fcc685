"""Does what a page of the documentation says, block by block: `python -m tests.guides PAGE` in an empty folder.

A block of code is typed by a reader and is done here as it stands:

- `python` is one program over the whole page; what its last expression gives is shown, as in a notebook;
- `python` that begins with a comment that is the name of a file is written into that file;
- `bash` is run by bash; that it fails is part of a page about exit codes, and is no failure here;
- `text` is what the block before it prints, where `...` stands for anything; after a comment
  `<!-- numbers vary -->` its numbers and digests may be others;
- what stands after a comment `<!-- not run: WHY -->` is only read.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WIDTH = "100"
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_NUMBERS = re.compile(r"\b[0-9a-f]{8}\b|\d[\d.,]*")
_FILE = re.compile(r"# (?P<name>[\w/]+\.py)$")


@dataclass(frozen=True)
class Block:
    """A block of code of a page: its language, its line, its text, and the comment before it."""

    language: str
    line: int
    text: str
    note: str = ""

    @property
    def run(self) -> bool:
        """Whether a reader types it."""
        return re.match(r"<!-- not run: .+ -->", self.note) is None

    def says(self, printed: str) -> bool:
        """Whether a block of output is what was printed."""
        expected = self.text
        if self.note == "<!-- numbers vary -->":
            expected, printed = _NUMBERS.sub("0", expected), _NUMBERS.sub("0", printed)
        return doctest.OutputChecker().check_output(expected, printed, _FLAGS)


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of code of a page of Markdown."""
    lines, at, before = page.read_text(encoding="utf-8").splitlines(), 0, ""
    while at < len(lines):
        fence = re.match(r"(`{3,})(\S*)", lines[at])
        if fence is None:
            before = lines[at].strip() or before
            at += 1
            continue
        end = next(n for n in range(at + 1, len(lines)) if lines[n].startswith(fence[1]))
        yield Block(fence[2], at + 1, "\n".join(lines[at + 1 : end]) + "\n", before)
        at, before = end + 1, ""


def follow(page: Path) -> list[str]:
    """Does what a page says.

    Returns:
        What was printed otherwise than the page says.
    """
    names: dict[str, Any] = {"__name__": "guide"}
    printed, wrong = "", []
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        if not block.run:
            continue
        if block.language == "python":
            printed = _python(block.text, names, where)
        elif block.language == "bash":
            printed = _bash(block.text)
        elif block.language == "text" and not block.says(printed):
            wrong.append(f"{where}: expected\n{block.text}\nbut it printed\n{printed}")
    return wrong


def _python(text: str, names: dict[str, Any], where: str) -> str:
    file = _FILE.match(text.splitlines()[0])
    if file is not None:
        path = Path(file["name"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return ""
    tree = ast.parse(text, where)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(tree, where, "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), where, "eval"), names)
            if value is not None:
                print(value)
    return out.getvalue()


def _bash(text: str) -> str:
    sys.stdout.flush()
    return subprocess.run(
        ["bash", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    ).stdout


def _commands(folder: Path) -> None:
    """Makes `batchaudit`, `pytest` and `python` what they are for a reader who has installed it all."""
    folder.mkdir()
    installed = any(one.name == "batchaudit" for one in entry_points(group="pytest11"))
    pytest = "-m pytest" if installed else "-m pytest -p batchaudit.pytest_plugin"
    for name, command in (("batchaudit", "-m batchaudit"), ("pytest", pytest), ("python", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        script.chmod(0o755)


def main(page: str) -> int:
    """Follows one page in the current folder; 1 where it says what is not so."""
    _commands(Path(".bin"))
    here = os.getcwd()
    os.environ["PATH"] = os.pathsep.join([str(Path(".bin").resolve()), os.environ["PATH"]])
    os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    os.environ |= {"COLUMNS": WIDTH, "TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "agg"}
    sys.path.insert(0, here)
    from batchaudit.auditing import audit

    # The timings of an audit are of one machine, and no page shows them with what else is printed.
    audit.__kwdefaults__["advise"] = False
    wrong = follow(Path(page))
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
