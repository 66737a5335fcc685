"""Drawn loaders, driven without the audit, once more without it, and with it: the same stream, or a defect.

    python -m tests.faults loaders --count 200 --seed 0
    python -m tests.faults.loaders '{"family": "torch", ...}'

A loader whose two unwatched runs differ is racy by itself, and counted apart.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.faults import drawn, hurt, table
from tests.running.starting import ROOT, environment

COUNT = 200
MORE = 6
"""How often a loader that differs is driven again without the audit, at another pace each time: where that alone
gives another stream, the loader is racy, though two runs at full speed agreed."""


@dataclass
class Outcome:
    """What came of one loader."""

    case: drawn.Case
    plain: list[dict]
    watched: dict

    @property
    def raced(self) -> bool:
        return any(comparable(one) != comparable(self.plain[0]) for one in self.plain)

    @property
    def differs(self) -> bool:
        return not self.raced and comparable(self.watched) != comparable(self.plain[0])

    @property
    def batches(self) -> int:
        return sum(one.startswith("batch ") for one in self.watched["seen"] or ())


def comparable(told):
    return told["code"], told["seen"]


class Warm:
    """One warm process, which drives one loader after the other.

    Args:
        which: the frameworks that it has imported; see `warm`.
    """

    def __init__(self, which):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.warm", which],
            cwd=ROOT,
            env=environment(KERAS_BACKEND="tensorflow", TF_ENABLE_ONEDNN_OPTS="0"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._process.kill()
        self._process.communicate()

    def outcome(self, case):
        """Drives a loader as often as is needed."""
        plain = [self._run(case, False) for _ in range(2)]
        found = Outcome(case, plain, self._run(case, True))
        for _ in range(MORE if found.differs else 0):
            plain.append(self._run({**case, "jitter": True}, False))
        return found

    def _run(self, case, watched):
        folder = tempfile.mkdtemp(prefix="batchaudit-loader-")
        if os.geteuid() == 0 and case["fault"] == "log-no-permission":
            os.chmod(folder, 0o755)
            os.chown(folder, hurt.NOBODY, hurt.NOBODY)
        try:
            print(
                json.dumps({"case": case, "folder": folder, "watched": watched}),
                file=self._process.stdin,
                flush=True,
            )
            began = time.monotonic()
            told = json.loads(self._process.stdout.readline())
            return {**told, "seconds": time.monotonic() - began}
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def frameworks_of(case):
    return "tensorflow" if case["family"] in (*drawn.KERAS, *drawn.TF_DATA) else "torch"


def outcomes(cases):
    """Drives loaders; those of the two warm processes at once.

    Args:
        cases: see `drawn`.

    Returns:
        What came of each, in no order that matters.
    """

    def of(which):
        mine = [case for case in cases if frameworks_of(case) == which]
        if not mine:
            return []
        with Warm(which) as warm:
            return [warm.outcome(case) for case in mine]

    with ThreadPoolExecutor(2) as pool:
        return [one for found in pool.map(of, ("torch", "tensorflow")) for one in found]


def explained(outcome):
    """Where a loader that is watched differs."""
    plain, watched = outcome.plain[0], outcome.watched
    lines = [json.dumps(outcome.case), f"exit code {plain['code']} and {watched['code']}"]
    one, other = plain["seen"] or [], watched["seen"] or []
    first = next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    lines += [f"from {first}: {one[first : first + 4]} and {other[first : first + 4]}", watched["said"]]
    return "\n".join(lines)


def main(count=None, seed=0):
    """Drives drawn loaders and prints the figures; returns 1 if a watched one differs, else 0."""
    began = time.monotonic()
    found = outcomes(drawn.drawn(count or COUNT, seed))
    rows = Counter()
    for one in found:
        family = one.case["family"]
        rows[family, "loaders"] += 1
        rows[family, "raced"] += one.raced
        rows[family, "differ"] += one.differs
        rows[family, "batches"] += 0 if one.raced else one.batches
    figures = ("loaders", "raced", "differ", "batches")
    families = sorted({family for family, _ in rows})
    lines = [(family, *(rows[family, figure] for figure in figures)) for family in families]
    total = ("all", *(sum(line[at] for line in lines) for at in range(1, 5)))
    table.show(("family", *figures), [*lines, total])
    print(f"{time.monotonic() - began:.0f} s")
    slow = max(found, key=lambda one: max(each["seconds"] for each in (*one.plain, one.watched)))
    print(
        "slowest:", slow.case["family"], *(f"{each['seconds']:.1f} s" for each in (*slow.plain, slow.watched))
    )
    hung = sum(each["code"] == "hangs" for one in found for each in (*one.plain, one.watched))
    print(f"{hung} hung")
    for one in found:
        if one.differs:
            print(explained(one))
        elif one.raced:
            print("raced:", json.dumps(one.case))
    return int(any(one.differs for one in found))


if __name__ == "__main__":
    the_case = json.loads(sys.argv[1])
    with Warm(frameworks_of(the_case)) as the_warm:
        the_outcome = the_warm.outcome(the_case)
    print("raced" if the_outcome.raced else "differs" if the_outcome.differs else "the same")
    print(explained(the_outcome))
    sys.exit(int(the_outcome.differs))
