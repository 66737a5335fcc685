"""Where output goes: the document alone to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from batchaudit.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from batchaudit.cli.options import Files
    from batchaudit.report.model import Report

_WIDTH = 100


def take_stdout() -> TextIO:
    """Takes standard output away from everybody else: what they write goes to standard error from now on.

    It is the file descriptor that is moved, so that C code and worker processes are covered, and it is not
    given back, so that what is printed while the interpreter exits is covered too.

    Returns:
        The file that the document is written to.
    """
    if sys.stdout is None:
        return open(os.devnull, "w", encoding="utf-8")
    try:
        number = sys.stdout.fileno()
    except OSError:  # a stand-in without a descriptor, as test runners put there
        document, sys.stdout = sys.stdout, sys.stderr
        return document
    sys.stdout.flush()
    saved = os.dup(number)
    try:
        os.dup2(2, number)
    except OSError:  # standard error is closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    # Both now end in one place: lines keep their order only if they are written as they come.
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return open(saved, "w", encoding="utf-8", newline="\n")


def console(*, err: bool = False) -> Console:
    """A console for people; where nobody watches it is as wide as a report is by default."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise  # rich would exit with 1, which says that there are findings

    file = sys.stderr if err else sys.stdout
    return Piped(file=file, highlight=False, width=None if file.isatty() else _WIDTH)


def show(report: Report, document: TextIO | None, files: Files) -> None:
    """Gives a report to whoever asked for it.

    Args:
        report: the report.
        document: where its JSON goes, and then what people read goes to standard error; None for no JSON.
        files: what else it is written to.

    Raises:
        UsageError: a file cannot be written.
    """
    from batchaudit.report.console import print_report

    people = console(err=document is not None)
    print_report(report, people)
    for line in [*write(report, document, files), *of_log(report)]:
        people.print(line, markup=False, soft_wrap=True)


def of_log(report: Report | None) -> list[str]:
    """How much of a report's logs could be read, all together: one line; none where none was read."""
    return [f"log: {report.log.line}"] if report is not None and report.log.files else []


def write(report: Report, document: TextIO | None, files: Files) -> list[str]:
    """Writes a report to where programs read it, and to files.

    Args:
        report: the report.
        document: where its JSON goes; None for no JSON.
        files: what else it is written to.

    Returns:
        A line about each file.

    Raises:
        UsageError: a file cannot be written.
    """
    if document is not None:
        document.write(report.to_json())
        document.flush()
    return files.write(report)


def check_folder(option: str, folder: str) -> None:
    """Makes sure that a folder can be made and written in, before any work is done for it.

    Args:
        option: the option that names it, for the message.
        folder: the folder; it need not exist yet, and is not made here.

    Raises:
        UsageError: it cannot be written.
    """
    nearest = Path(folder).absolute()
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UsageError(f"{option} {folder}: {nearest} is a file: name a folder.")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise UsageError(
            f"{option} {folder}: {nearest} cannot be written: {error.strerror or error}."
        ) from None


def check_file(option: str, file: str) -> None:
    """Makes sure that a file can be written, before any work is done for it.

    Args:
        option: the option that names it, for the message.
        file: the file.

    Raises:
        UsageError: it cannot be written.
    """
    path = Path(file)
    if path.is_dir():
        raise UsageError(f"{option} {file}: this is a folder: name a file.")
    if path.exists() and not path.is_file():
        return  # a device or a pipe
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{option} {file}: there is no folder {path.absolute().parent}.")
    check_folder(option, str(path.absolute().parent))
