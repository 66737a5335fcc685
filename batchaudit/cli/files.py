"""The files that a report is written to, the same for every command that makes one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

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


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options `--html` and `--markdown`, and what they say as its argument `files`."""

    @click.option("--html", metavar="FILE", help="Write the report as a page.")
    @click.option(
        "--markdown", metavar="FILE", help="Write the report as Markdown, for a comment on a pull request."
    )
    @functools.wraps(command)
    def with_files(*args: Any, html: str | None, markdown: str | None, **rest: Any) -> Any:
        return command(*args, files=Files(html, markdown), **rest)

    return with_files
