"""`python -m tests.faults.fuzz TARGET [--seconds N] [--seed S]`: fuzzes one target, and says how far it came."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults.fuzz import seeds
from tests.faults.fuzz.targets import TARGETS

SECONDS = 240
_INPUT_SECONDS, _MEMORY = 30, 2_048  # of one input; MiB of the whole process
_LONGEST = 100_000
_FIGURE = re.compile(r"stat::(\w+):\s*(\d+)")
_COVERAGE = re.compile(r"\bcov: (\d+) ft: (\d+)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzzes one target; 0 if no input broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn; 0 for another each time")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="batchaudit-fuzz-seeds-") as name:
        folder = Path(name)
        corpus, kept = folder / "corpus", folder / "kept"
        for each in (corpus, kept):
            each.mkdir()
        for number, data in enumerate(seeds.made(folder)[asked.target]):
            (corpus / f"seed-{number}").write_bytes(data)
        found = Path(__file__).parent / "found" / asked.target
        for path in found.glob("*"):
            (corpus / path.name).write_bytes(path.read_bytes())
        return _fuzz(asked.target, asked.seconds, asked.seed, corpus, kept)


def _fuzz(target: str, seconds: int, seed: int, corpus: Path, kept: Path) -> int:
    options = [
        f"-max_total_time={seconds}", f"-timeout={_INPUT_SECONDS}", f"-report_slow_units={_INPUT_SECONDS}", f"-rss_limit_mb={_MEMORY}", f"-seed={seed}",
        f"-max_len={_LONGEST}", "-print_final_stats=1", f"-artifact_prefix={kept}/",
    ]  # fmt: skip
    command = [sys.executable, "-m", "tests.faults.fuzz.child", target, *options, str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds + 600)
    figures = {name: int(number) for name, number in _FIGURE.findall(done.stderr)}
    coverage = _COVERAGE.findall(done.stderr)[-1:] or [("?", "?")]
    print(
        f"{target}: {figures.get('number_of_executed_units', 0):,} inputs in {seconds} s, "
        f"{coverage[0][0]} edges and {coverage[0][1]} features of batchaudit seen, "
        f"{figures.get('peak_rss_mb', 0):,} MiB at most, {figures.get('slowest_unit_time_sec', 0)} s for the slowest"
    )
    broken = sorted(kept.iterdir())
    for path in broken:
        where = Path(__file__).parent / "found" / target
        where.mkdir(parents=True, exist_ok=True)
        (where / path.name[:24]).write_bytes(path.read_bytes())
        print(f"{path.name}: kept as {where / path.name[:24]}")
    if done.returncode or broken:
        print(done.stderr[-6_000:])
    return 1 if done.returncode or broken else 0


if __name__ == "__main__":
    sys.exit(main())
