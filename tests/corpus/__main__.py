"""`python -m tests.corpus`: every case and every healthy loader, and a table of what was found.

Each runs in a process of its own: first the sick loader, then its twin, then the proof with the bare framework.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from tests.corpus import cases, process
from tests.corpus.case import Case
from tests.corpus.one import Outcome
from tests.corpus.table import differences, table


def main() -> int:
    """Runs what was asked for; 0 if all of it is right, and came out alike each time."""
    asked = _parser().parse_args()
    identities = _identities(asked.ids)
    times = [_one_time(identities, asked) for _ in range(asked.times)]
    unlike = differences(times) if asked.times > 1 else []
    if asked.times > 1:
        print(
            f"\n{asked.times} times: " + ("the same verdicts each time." if not unlike else "these differed:")
        )
        print("\n".join(f"  {line}" for line in unlike))
    if asked.json is not None:
        document = {"times": [[it.to_dict() for it in outcomes] for outcomes in times], "differences": unlike}
        asked.json.write_text(json.dumps(document, indent=1) + "\n")
    right = all(outcome.right for outcomes in times for outcome in outcomes)
    return 0 if right else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="ID", help="which cases; all by default")
    parser.add_argument("--times", type=int, default=1, help="how often to run all of them (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all that was seen")
    parser.add_argument("--at-once", type=int, metavar="N", help="processes at a time (default: processors)")
    parser.add_argument("--timeout", type=float, default=process.PATIENCE, help="seconds a case may take")
    return parser


def _identities(asked: list[str]) -> list[str]:
    entries = [entry for module in cases.modules() for entry in cases.entries_of(module)]
    known = [entry.id for entry in sorted(entries, key=lambda it: (not isinstance(it, Case), it.id))]
    repeated = sorted({it for it in known if known.count(it) > 1})
    unknown = sorted(set(asked) - set(known))
    if repeated or unknown:
        what = f"two have the id {', '.join(repeated)}" if repeated else f"no case {', '.join(unknown)}"
        sys.exit(f"python -m tests.corpus: {what}")
    return [it for it in known if not asked or it in asked]


def _one_time(identities: list[str], asked: argparse.Namespace) -> list[Outcome]:
    outcomes = []
    for outcome in process.run_all(identities, asked.timeout, asked.at_once):
        outcomes.append(outcome)
        state = "right" if outcome.right else "FAILS"
        progress = f"[{len(outcomes)}/{len(identities)}] {outcome.id}: {state} ({outcome.seconds} s)"
        print(progress, file=sys.stderr, flush=True)
    print(table(outcomes), flush=True)
    return outcomes


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
