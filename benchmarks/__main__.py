"""`python -m benchmarks`: measures, prints the table, and writes it as JSON where it is asked to."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import processes, table
from benchmarks.lines import Line
from benchmarks.measure import Effort
from benchmarks.subjects import SUBJECTS

_WIDTH = 160


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmarks.

    Args:
        arguments: of the command line; by default the process' own.

    Returns:
        0. A target that is missed is shown, and is no failure; bad usage exits with 2.
    """
    parser = _parser()
    asked = parser.parse_args(arguments)
    people = Console(highlight=False, stderr=asked.markdown)
    if not people.is_terminal:
        people.width = _WIDTH
    if asked.list:
        for name, subject in SUBJECTS.items():
            print(f"{name:<16} {subject.about}")
        return 0
    names = _names(parser, asked.only)
    if asked.json is not None:
        _check_file(parser, asked.json)
    effort = Effort(quick=asked.quick, full=asked.full)
    results: dict[str, list[Line]] = {}
    for name in names:
        people.print(f"measuring {name}: {SUBJECTS[name].about}", style="dim")
        results[name] = list(processes.run(name, effort))
    if asked.json is not None:
        document = table.as_document(results, quick=effort.quick)
        asked.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if asked.markdown:
        print(table.as_markdown(results))
    else:
        people.print(table.for_terminal(results))
    people.print(table.closing(results), markup=False)
    if effort.quick:
        people.print("--quick: too few rounds to believe the figures.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="What watching costs, against baselines that are measured in turns with it.",
        epilog="Exit codes: 0 it ran, whether or not targets were met; 2 bad usage.",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure these only; see --list")
    parser.add_argument("--list", action="store_true", help="list what there is to measure")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that everything runs")
    parser.add_argument("--full", action="store_true", help="also 10^7 events: minutes, and 16 GB of memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return parser


def _names(parser: argparse.ArgumentParser, asked: Sequence[str] | None) -> list[str]:
    """The subjects to measure, in the order of the table."""
    unknown = [name for name in asked or () if name not in SUBJECTS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}: choose from {', '.join(SUBJECTS)}")
    return [name for name in SUBJECTS if asked is None or name in asked]


def _check_file(parser: argparse.ArgumentParser, file: Path) -> None:
    """Refuses a file that cannot be written, before minutes are spent."""
    try:
        with file.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        parser.error(f"--json {file}: {error.strerror or error}")


if __name__ == "__main__":
    sys.exit(main())
