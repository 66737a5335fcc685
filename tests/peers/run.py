"""Runs peers' own test suites, unwatched and with batchaudit's wrapper in place, and compares test by test.

    python tests/peers/run.py FOLDER [--only WORD ...] [--json] [--timeout SECONDS]

What passes unwatched must pass watched. The exit code is 1 where a test newly fails, and where a file says
nothing: no test passed unwatched, no source was watched, no batch was logged, or logging stopped. It is 2
where a file is not in FOLDER. Requires batchaudit, pytest and the peers; KERAS_BACKEND chooses a backend.
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
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import outcomes
from comparison import Outcome, Result, compared

HERE = Path(__file__).resolve().parent
# The runner may be started from a checkout that is not installed.
CHECKOUT = [] if importlib.util.find_spec("batchaudit") else [str(HERE.parent.parent)]
sys.path += CHECKOUT

FILES = (
    "keras/src/trainers/data_adapters/py_dataset_adapter_test.py",
    "keras/src/trainers/data_adapters/generator_data_adapter_test.py",
    "tf_keras/utils/data_utils_test.py",
    "tf_keras/preprocessing/image_test.py",
    "tf_keras/engine/data_adapter_test.py",
)
VERSIONS = ("keras", "tf_keras", "tensorflow", "jax", "torch", "numpy", "pillow", "pytest")

SAID = 200  # last lines of a process' output that are shown where it did not end well

# tf_keras is released with its modules moved under `tf_keras.src`, its own imports rewritten like this.
_MOVED = re.compile(r"^(\s*(?:from|import)\s+tf_keras)\b(?!\.src\b)", re.MULTILINE)

_COLUMNS = (
    "tests",
    "skipped",
    "passed unwatched",
    "passed watched",
    "newly failing",
    "tests with sources",
    "sources watched",
    "batches logged",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = _parser().parse_args(argv)
    names = [name for name in FILES if not options.only or any(word in name for word in options.only)]
    found = {name: find(options.folder, name) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing or not names:
        wanted = ", ".join(missing) or f"any file with {' or '.join(options.only)} in its name"
        print(f"{options.folder} does not hold {wanted}: see {HERE.name}/README.md.", file=sys.stderr)
        return 2
    results = [_compare(name, path, options.timeout) for name, path in found.items() if path is not None]
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
    parser.add_argument("--json", action="store_true", help="one document on standard output")
    parser.add_argument("--timeout", type=float, default=1200, help="seconds that a file may take, each way")
    return parser


def find(folder: Path, name: str) -> Path | None:
    """The file of a checkout that is `folder` or lies in it; None where there is none."""
    return next(iter([*folder.glob(name), *sorted(folder.glob(f"*/{name}"))]), None)


def moved(tests: str) -> str:
    """The text of a test file with its imports as they are in the release."""
    return _MOVED.sub(r"\1.src", tests)


# -- one file, twice ------------------------------------------------------------------------------


def _compare(name: str, path: Path, timeout: float) -> Result:
    with tempfile.TemporaryDirectory(prefix="batchaudit-peers-") as work:
        unwatched = _run(path, Path(work, "unwatched"), timeout, "outcomes")
        watched = _run(path, Path(work, "watched"), timeout, "outcomes", "watching")
        result = compared(name, unwatched, watched)
        _add_what_was_watched(result, Path(work, "watched"))
    return result


def _run(path: Path, folder: Path, timeout: float, *plugins: str) -> Outcome:
    """Runs one file in a process of its own, in a folder where nothing beside it can be imported."""
    folder.mkdir()
    (folder / path.name).write_text(moved(path.read_text()))
    # Where a test hangs, the output tells where each thread stands.
    (folder / "pytest.ini").write_text(f"[pytest]\nfaulthandler_timeout = {timeout / 2}\n")
    command = [sys.executable, "-m", "pytest", "-c", "pytest.ini", "-p", "no:cacheprovider"]
    for plugin in plugins:
        command += ["-p", plugin]
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [*command, path.name],
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        ended = wait(process, timeout)
    return _outcome(folder, process.returncode, None if ended else f"it did not end in {timeout:g} s")


def _environment(folder: Path) -> dict[str, str]:
    paths = [str(HERE), *CHECKOUT, os.environ.get("PYTHONPATH", "")]
    return {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        outcomes.OUT: str(folder),
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
    result.tests_watched = sum(bool(line["watched"]) for line in lines)
    if any((folder / outcomes.JOURNAL).glob("*")):
        from batchaudit.journal import reader

        log = reader.load(folder / outcomes.JOURNAL)
        result.batches = int((log.events["stage"] == "produced").sum())
        result.log_failures = list(log.health.failures)


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
    print(f"\n{'file':{width}}  " + "  ".join(_COLUMNS))
    for result in results:
        cells = (f"{count:{len(head)}}" for count, head in zip(_counts(result), _COLUMNS, strict=True))
        print(f"{result.file:{width}}  " + "  ".join(cells))
    for result in results:
        notes = _notes(result)
        if notes:
            print("\n  ".join([f"\n{result.file}", *notes]))


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
    )


def _notes(result: Result) -> list[str]:
    vacuous = result.vacuous()
    return [
        *(f"{way}: {trouble}" for way, trouble in result.troubles.items()),
        *(f"newly failing: {test}: {_line(why)}" for test, why in result.newly_failing.items()),
        *(f"fails unwatched: {test}: {_line(why)}" for test, why in result.failing_unwatched.items()),
        *(f"passes only when watched: {test}" for test in result.newly_passing),
        *(f"logging stopped: {failure}" for failure in result.log_failures),
        *([f"this proves nothing: {vacuous}"] if vacuous else []),
    ]


def _line(account: str) -> str:
    return account.partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
