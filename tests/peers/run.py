"""Runs peers' own test suites, unwatched and with batchaudit's wrapper in place, and compares test by test.

    python tests/peers/run.py FOLDER [--only WORD ...] [--way WAY ...] [--json] [--timeout SECONDS]

What passes unwatched must pass watched, in each of the ways to watch. The exit code is 1 where a test newly
fails, and where a file says nothing: no test passed unwatched, no source was watched, no batch was logged, or
logging stopped. It is 2 where a file is not in FOLDER. Requires batchaudit, pytest and the peers;
KERAS_BACKEND chooses a backend.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import outcomes
from comparison import Outcome, Result, compared

HERE = Path(__file__).resolve().parent
# The runner may be started from a checkout that is not installed.
CHECKOUT = [] if importlib.util.find_spec("batchaudit") else [str(HERE.parent.parent)]
sys.path += CHECKOUT

_ADAPTERS = "keras/src/trainers/data_adapters"

# Each file with the ways in which it is watched (`ways.WAYS`): all that its tests can show something of.
FILES = {
    f"{_ADAPTERS}/array_data_adapter_test.py": ("wrapped",),
    f"{_ADAPTERS}/py_dataset_adapter_test.py": ("entered", "wrapped"),
    f"{_ADAPTERS}/generator_data_adapter_test.py": ("entered", "wrapped"),
    f"{_ADAPTERS}/tf_dataset_adapter_test.py": ("entered", "wrapped"),
    f"{_ADAPTERS}/torch_data_loader_adapter_test.py": ("entered", "wrapped"),
    f"{_ADAPTERS}/grain_dataset_adapter_test.py": ("entered", "wrapped"),
    "keras/src/trainers/epoch_iterator_test.py": ("wrapped", "adopted"),
    "tf_keras/utils/data_utils_test.py": ("entered", "wrapped"),
    "tf_keras/preprocessing/image_test.py": ("entered", "wrapped"),
    "tf_keras/engine/data_adapter_test.py": ("entered", "wrapped", "adopted"),
    "test/test_dataloader.py": ("wrapped", "adopted"),
}
# Arrays are seen only where a framework cuts batches out of them, which these tests do not come to.
WITHOUT_BATCHES = (f"{_ADAPTERS}/array_data_adapter_test.py",)
VERSIONS = ("keras", "tf_keras", "tensorflow", "jax", "torch", "numpy", "pillow", "pytest")

SAID = 200  # last lines of a process' output that are shown where it did not end well

# tf_keras is released with its modules moved under `tf_keras.src`, its own imports rewritten like this.
_MOVED = re.compile(r"^(\s*(?:from|import)\s+tf_keras)\b(?!\.src\b)", re.MULTILINE)

_WAY = len("entered")
_COLUMNS = (
    "tests",
    "skipped",
    "passed unwatched",
    "passed watched",
    "newly failing",
    "tests with sources",
    "sources watched",
    "batches produced",
    "batches delivered",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = _parser().parse_args(argv)
    names = [name for name in FILES if not options.only or any(word in name for word in options.only)]
    names = [name for name in names if _ways(name, options.way)]
    found = {name: find(options.folder, name) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing or not names:
        wanted = ", ".join(missing) or f"any file with {' or '.join(options.only)} in its name"
        print(f"{options.folder} does not hold {wanted}: see {HERE.name}/README.md.", file=sys.stderr)
        return 2
    results = [
        result
        for name, path in found.items()
        if path is not None
        for result in _compare(name, path, _ways(name, options.way), options.timeout)
    ]
    if options.json:
        print(json.dumps(_document(results), indent=1))
    else:
        show(results)
    return 0 if all(result.good() for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="holds the peers' checkouts, or is one")
    parser.add_argument(
        "--only", action="append", default=[], metavar="WORD", help="files with it in the path"
    )
    parser.add_argument(
        "--way", action="append", default=[], choices=("entered", "wrapped", "adopted"), help="only this one"
    )
    parser.add_argument("--json", action="store_true", help="one document on standard output")
    parser.add_argument("--timeout", type=float, default=1200, help="seconds that a file may take, each way")
    return parser


def _ways(name: str, wanted: Sequence[str]) -> list[str]:
    return [way for way in FILES[name] if not wanted or way in wanted]


def find(folder: Path, name: str) -> Path | None:
    """The file of a checkout that is `folder` or lies in it; None where there is none."""
    return next(iter([*folder.glob(name), *sorted(folder.glob(f"*/{name}"))]), None)


def moved(tests: str) -> str:
    """The text of a test file with its imports as they are in the release."""
    return _MOVED.sub(r"\1.src", tests)


# -- one file, unwatched and watched --------------------------------------------------------------


def _compare(name: str, path: Path, ways: Sequence[str], timeout: float) -> Iterator[Result]:
    with tempfile.TemporaryDirectory(prefix="batchaudit-peers-") as work:
        unwatched = _run(path, Path(work, "unwatched"), timeout)
        for way in ways:
            watched = _run(path, Path(work, way), timeout, way)
            result = compared(name, way, unwatched, watched)
            result.shows_batches = name not in WITHOUT_BATCHES
            _add_what_was_watched(result, Path(work, way))
            failing = len(result.newly_failing)
            print(f"{name}, {way}: {failing} newly failing", file=sys.stderr, flush=True)
            yield result


def _run(path: Path, folder: Path, timeout: float, way: str = "") -> Outcome:
    """Runs one file in a process of its own, in a folder where nothing beside it can be imported."""
    folder.mkdir()
    (folder / path.name).write_text(moved(path.read_text()))
    # Where a test hangs, the output tells where each thread stands.
    (folder / "pytest.ini").write_text(f"[pytest]\nfaulthandler_timeout = {timeout / 2}\n")
    command = [sys.executable, "-m", "pytest", "-c", "pytest.ini", "-p", "no:cacheprovider"]
    for plugin in ("outcomes", "watching") if way else ("outcomes",):
        command += ["-p", plugin]
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [*command, path.name],
            cwd=folder,
            env=_environment(folder, way),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        ended = wait(process, timeout)
    return _outcome(folder, process.returncode, None if ended else f"it did not end in {timeout:g} s")


def _environment(folder: Path, way: str) -> dict[str, str]:
    paths = [str(HERE), *CHECKOUT, os.environ.get("PYTHONPATH", "")]
    return {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        outcomes.OUT: str(folder),
        outcomes.WAY: way,
    }


def wait(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Waits for a process that leads a session of its own, and ends what is left of that.

    Args:
        process: the process.
        timeout: for how many seconds it may run.

    Returns:
        Whether it ended by itself.
    """
    try:
        process.wait(timeout)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        # The group holds it and the workers that its tests forgot, and nobody else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _outcome(folder: Path, status: int, trouble: str | None) -> Outcome:
    lines = outcomes.read(folder, outcomes.FILE)
    ended = [line for line in lines if "test" in line]
    errors = [line["error"] for line in lines if "error" in line]
    if trouble is None and (errors or status not in (0, 1)):
        trouble = "\n".join(errors) or f"exit code {status}"
    if trouble and not errors:
        said = (folder / "output.txt").read_text(errors="replace").splitlines()
        trouble = "\n".join([trouble, *said[-SAID:]])
    return Outcome(
        tests={line["test"]: line["outcome"] for line in ended},
        why={line["test"]: line["why"] for line in ended if line["why"]},
        trouble=trouble,
    )


def _add_what_was_watched(result: Result, folder: Path) -> None:
    lines = outcomes.read(folder, outcomes.WATCHED)
    result.sources = dict(sum((Counter(line["watched"]) for line in lines), Counter()))
    result.refused = dict(sum((Counter(line["refused"]) for line in lines), Counter()))
    # A test that starts processes of its own has a line from each.
    result.tests_watched = len({line["test"] for line in lines if line["watched"]})
    if any((folder / outcomes.JOURNAL).glob("*")):
        from batchaudit.journal import reader

        log = reader.load(folder / outcomes.JOURNAL)
        result.batches, result.delivered = _batches(log.events)
        result.log_failures = list(log.health.failures)


def _batches(events: Any) -> tuple[int, int]:
    """How many batches a log says were produced, and how many were taken by whoever consumes them."""
    from batchaudit.capture.recorder import Flag

    produced, flags = events["stage"] == "produced", events["flags"]
    taken = (events["stage"] == "delivered") | (produced & ((flags & int(Flag.CONSUMED)) > 0))
    return int(produced.sum()), int((taken & ((flags & int(Flag.PROBE)) == 0)).sum())


# -- what is said of them -------------------------------------------------------------------------


def _document(results: list[Result]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "versions": _versions(),
        "good": all(result.good() for result in results),
        "files": [asdict(result) | {"vacuous": result.vacuous()} for result in results],
    }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions | {"backend": os.environ.get("KERAS_BACKEND", "tensorflow")}


def show(results: list[Result]) -> None:
    """Prints the table, and under it what a number cannot say."""
    print(", ".join(f"{name} {version}" for name, version in _versions().items()))
    width = max(len(result.file) for result in results)
    print(f"\n{'file':{width}}  {'way':{_WAY}}  " + "  ".join(_COLUMNS))
    for result in results:
        cells = (f"{count:{len(head)}}" for count, head in zip(_counts(result), _COLUMNS, strict=True))
        print(f"{result.file:{width}}  {result.way:{_WAY}}  " + "  ".join(cells))
    shown: set[str] = set()
    for result in results:
        notes = _notes(result, fails_anyway=result.file not in shown)
        shown.add(result.file)
        if notes:
            print("\n  ".join([f"\n{result.file}, {result.way}", *notes]))


def _counts(result: Result) -> tuple[int, ...]:
    return (
        result.tests,
        result.skipped,
        result.passed_unwatched,
        result.passed_watched,
        len(result.newly_failing),
        result.tests_watched,
        sum(result.sources.values()),
        result.batches,
        result.delivered,
    )


def _notes(result: Result, fails_anyway: bool) -> list[str]:
    vacuous = result.vacuous()
    anyway = result.failing_unwatched if fails_anyway else {}  # the same in each way
    return [
        *(f"{way}: {trouble}" for way, trouble in result.troubles.items()),
        *(f"newly failing: {test}: {_line(why)}" for test, why in result.newly_failing.items()),
        *(f"fails unwatched: {test}: {_line(why)}" for test, why in anyway.items()),
        *(f"passes only when watched: {test}" for test in result.newly_passing),
        *(f"logging stopped: {failure}" for failure in result.log_failures),
        *([f"this proves nothing: {vacuous}"] if vacuous else []),
    ]


def _line(account: str) -> str:
    return account.partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
