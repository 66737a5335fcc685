"""`python -m tests.faults NAME [--count N] [--seed S]`: one fault experiment at full size, its figures, and 0 or 1."""

from __future__ import annotations

import argparse
import importlib
import random
import sys
from collections.abc import Sequence

# Each is a module of this folder with `main(count: int | None, seed: int) -> int`; imported only when it is asked
# for, since the processes that one of them starts import this module, too.
NAMES = ("kills", "soak", "peers", "mutations", "loaders")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one experiment; returns 0 if every promise held, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Runs one fault experiment at full size and prints its figures.",
        epilog="Exit codes: 0 every promise held; 1 one did not; 2 bad usage.",
    )
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument(
        "--count", type=int, help="how many times; by default as many as the documentation states"
    )
    parser.add_argument("--seed", type=int, help="what is drawn; by default drawn anew, and printed")
    asked = parser.parse_args(arguments)
    if asked.count is not None and asked.count < 1:
        parser.error("--count must be at least 1")
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    print(f"{asked.name}: --seed {seed}", flush=True)
    experiment = importlib.import_module(f"tests.faults.{asked.name}")
    return int(experiment.main(asked.count, seed))


if __name__ == "__main__":
    sys.exit(main())
