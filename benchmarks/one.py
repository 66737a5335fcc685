"""Measures one subject in a process of its own: `python -m benchmarks.one NAME [quick] [full]`.

Each subject has one, so that no framework, and nothing that another subject left in memory, is beside it. The
lines go to standard output as JSON, one a line of text; what frameworks print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.measure import Effort
from benchmarks.subjects import measured


def main(arguments: Sequence[str]) -> None:
    """Prints the lines of a subject.

    Args:
        arguments: its name, and "quick" or "full".
    """
    name, *words = arguments
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as document:
        os.dup2(2, 1)
        for line in measured(name, Effort(quick="quick" in words, full="full" in words)):
            print(json.dumps(asdict(line)), file=document, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
