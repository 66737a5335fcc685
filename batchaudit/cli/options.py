"""Options that several commands share: where a report is written, what a log may keep, how it is read."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from batchaudit.health import MODES

if TYPE_CHECKING:
    from batchaudit.report.model import Report


@dataclass(frozen=True)
class Files:
    """Where to write a report to, beside the screen; None where it is not asked for.

    Attributes:
        html: a page.
        markdown: a comment on a pull request.
    """

    html: str | None = None
    markdown: str | None = None

    def __bool__(self) -> bool:
        return self.html is not None or self.markdown is not None

    def check(self) -> None:
        """Makes sure that they can be written, before any work is done for them.

        Raises:
            UsageError: one cannot.
        """
        from batchaudit.cli.output import check_file

        for option, file in (("--html", self.html), ("--markdown", self.markdown)):
            if file is not None:
                check_file(option, file)

    def write(self, report: Report) -> list[str]:
        """Writes them.

        Args:
            report: the report.

        Returns:
            A line about each.

        Raises:
            UsageError: one cannot be written.
        """
        from batchaudit.report.files import write

        lines = []
        if self.html is not None:
            from batchaudit.report.html import as_page

            write(self.html, as_page(report))
            lines.append(f"page written to {self.html}")
        if self.markdown is not None:
            write(self.markdown, report.to_markdown())
            lines.append(f"Markdown written to {self.markdown}")
        return lines


def files_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options `--html` and `--markdown`, and what they say as its argument `files`."""

    @click.option("--html", metavar="FILE", help="Write the report as a page.")
    @click.option(
        "--markdown", metavar="FILE", help="Write the report as Markdown, for a comment on a pull request."
    )
    @functools.wraps(command)
    def with_files(*args: Any, html: str | None, markdown: str | None, **rest: Any) -> Any:
        return command(*args, files=Files(html, markdown), **rest)

    return with_files


mode_option = click.option(
    "--mode",
    type=click.Choice(MODES),
    default="tolerant",
    show_default=True,
    help="How to read a damaged log: strict refuses it; tolerant takes every record that verifies, and says "
    "what is missing; salvage takes records that do not verify, too, which may be wrong.",
)
"""Gives a command the argument `mode`."""


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """The number of bytes that a text says."""
    if value is None:
        return None
    said = re.fullmatch(r"([0-9]{1,18})([KMG]?)", value, re.ASCII | re.IGNORECASE)
    if said is None:
        raise click.BadParameter(f"{value!r} is no number of bytes: write 1000000, 500K, 64M or 2G.")
    return int(said[1]) << _SHIFTS[said[2].upper()]


_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30}


@dataclass(frozen=True)
class Kept:
    """What a log may keep.

    Attributes:
        max_bytes: how many bytes it may have; None for no limit.
        key_file: where the key lies that makes it unlinkable; None for none.
    """

    max_bytes: int | None = None
    key_file: str | None = None

    def check(self) -> None:
        """Makes sure that a log can be kept so, before any work is done for it.

        Raises:
            UsageError: the limit is too small, or the key cannot be read.
        """
        # Not `Keeping`, which loads NumPy: its threads would take signals that 'run' holds back for a script.
        from batchaudit.journal import key_file, room

        room.check(self.max_bytes)
        if self.key_file is not None:
            key_file.read(self.key_file)


def kept_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options `--max-bytes` and `--key-file`, and what they say as an argument `kept`."""

    @click.option(
        "--max-bytes",
        callback=_size,
        metavar="SIZE",
        help="Stop logging before the log has more bytes than this; the training goes on, and the report is "
        "INCOMPLETE. A number, also with K, M or G for powers of 1,024: 500K, 64M, 2G. At least 65536. "
        "Default: no limit.",
    )
    @click.option(
        "--key-file",
        metavar="FILE",
        help="Key what the log keeps of the batches' content with this file, of at least 16 random bytes: "
        "without it nobody can tell by guessing what was hashed.",
    )
    @functools.wraps(command)
    def with_kept(*args: Any, max_bytes: int | None, key_file: str | None, **rest: Any) -> Any:
        return command(*args, kept=Kept(max_bytes, key_file), **rest)

    return with_kept
