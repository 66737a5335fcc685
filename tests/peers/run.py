"""Runs peers' own test suites, unwatched and with batchaudit's wrapper in place, and compares test by test.

    python tests/peers/run.py FOLDER [--only WORD ...] [--json] [--timeout SECONDS]

What passes unwatched must pass watched. The exit code is 1 where a test newly fails, and where a file says
nothing: no test passed unwatched, no source was watched, no batch was logged, or logging stopped. It is 2
where a file is not in FOLDER. Requires batchaudit, pytest and the peers; a backend is chosen with KERAS_BACKEND.
"""

from __future__ import annotations

import argparse
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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
VERSIONS = ("batchaudit", "keras", "tf_keras", "tensorflow", "jax", "torch", "numpy", "pytest")

# tf_keras is released with its modules moved under `tf_keras.src`, its own imports rewritten like this.
_MOVED = re.compile(r"^(\s*(?:from|import)\s+tf_keras)\b(?!\.src\b)", re.MULTILINE)


@dataclass
class Outcome:
    """How the tests of one file ended in one process.

    Attributes:
        tests: passed, skipped or failed, by test; a test that never ended is not there.
        why: pytest's account of each failure, by test.
        trouble: what kept the process from running all of them, in its own words.
    """

    tests: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    trouble: str | None = None

    def passed(self) -> list[str]:
        """The tests that passed."""
        return [test for test, outcome in self.tests.items() if outcome == "passed"]

    def account(self, test: str) -> str:
        """What became of a test, with pytest's account of it where it failed."""
        outcome = self.tests.get(test, "never ended")
        return f"{outcome}\n{self.why[test]}" if self.why.get(test) else outcome


@dataclass
class Result:
    """One file, unwatched and watched.

    Attributes:
        file: its path in its repository.
        tests: how many tests ended unwatched, the skipped ones among them.
        skipped: how many of them were skipped.
        passed_unwatched: how many passed without the wrapper.
        passed_watched: how many passed with it.
        failing_unwatched: what failed without the wrapper, which is no fault of it, and why.
        newly_failing: what passed without and did not with it: failed, skipped, or never ended, and why.
        newly_passing: what passed with the wrapper only.
        sources: how many sources were watched, by type.
        refused: what was handed over and is no source of batches, by type.
        tests_watched: in how many tests a source was watched.
        batches: how many produced batches the logs hold.
        log_failures: why logging stopped, where it did.
        troubles: what kept the unwatched and the watched process from running all tests.
    """

    file: str
    tests: int = 0
    skipped: int = 0
    passed_unwatched: int = 0
    passed_watched: int = 0
    failing_unwatched: dict[str, str] = field(default_factory=dict)
    newly_failing: dict[str, str] = field(default_factory=dict)
    newly_passing: list[str] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    tests_watched: int = 0
    batches: int = 0
    log_failures: list[str] = field(default_factory=list)
    troubles: dict[str, str] = field(default_factory=dict)

    def vacuous(self) -> str | None:
        """Why this file proves nothing; None where it does."""
        if not self.passed_unwatched:
            return "no test passed unwatched"
        if not self.sources or not self.batches:
            return "no source was watched" if not self.sources else "no batch was logged"
        return "logging stopped" if self.log_failures else None

    def good(self) -> bool:
        """Whether the wrapper was in place and changed no outcome for the worse."""
        return not self.newly_failing and self.vacuous() is None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = _parser().parse_args(argv)
    names = [name for name in FILES if not options.only or any(word in name for word in options.only)]
    found = {name: _find(options.folder, name) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing or not names:
        wanted = ", ".join(missing) or f"any file with {' or '.join(options.only)} in its name"
        print(f"{options.folder} does not hold {wanted}: see {HERE.name}/README.md.", file=sys.stderr)
        return 2
    results = [_compare(name, path, options.timeout) for name, path in found.items() if path is not None]
    if options.json:
        print(json.dumps(_document(results), indent=1))
    else:
        _print(results)
    return 0 if all(result.good() for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="holds the peers' checkouts, or is one")
    parser.add_argument(
        "--only", action="append", default=[], metavar="WORD", help="files with WORD in the path"
    )
    parser.add_argument("--json", action="store_true", help="one document on standard output")
    parser.add_argument("--timeout", type=float, default=1200, help="seconds that a file may take (each way)")
    return parser


def _find(folder: Path, name: str) -> Path | None:
    return next(iter([*folder.glob(name), *sorted(folder.glob(f"*/{name}"))]), None)


def _compare(name: str, path: Path, timeout: float) -> Result:
    with tempfile.TemporaryDirectory(prefix="batchaudit-peers-") as work:
        folders = {way: Path(work, way) for way in ("unwatched", "watched")}
        ended = {way: _run(path, folder, way == "watched", timeout) for way, folder in folders.items()}
        result = _compared(name, ended["unwatched"], ended["watched"])
        _add_what_was_watched(result, folders["watched"])
    return result


def _compared(name: str, unwatched: Outcome, watched: Outcome) -> Result:
    return Result(
        file=name,
        tests=len(unwatched.tests),
        skipped=list(unwatched.tests.values()).count("skipped"),
        passed_unwatched=len(unwatched.passed()),
        passed_watched=len(watched.passed()),
        failing_unwatched={
            test: unwatched.account(test) for test, outcome in unwatched.tests.items() if outcome == "failed"
        },
        newly_failing={
            test: watched.account(test) for test in unwatched.passed() if watched.tests.get(test) != "passed"
        },
        newly_passing=[test for test in watched.passed() if unwatched.tests.get(test) != "passed"],
        troubles={
            way: each.trouble
            for way, each in (("unwatched", unwatched), ("watched", watched))
            if each.trouble is not None
        },
    )


def moved(tests: str) -> str:
    """The text of a test file with its imports as they are in the release."""
    return _MOVED.sub(r"\1.src", tests)


def _run(path: Path, folder: Path, watched: bool, timeout: float) -> Outcome:
    """Runs one file in a process of its own, from a folder where nothing but it can be imported."""
    folder.mkdir()
    (folder / path.name).write_text(moved(path.read_text()))
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-c", "pytest.ini", "-p", "no:cacheprovider", "-p", "outcomes"]
    command += ["-p", "watching"] if watched else []
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
        hung = _wait(process, timeout)
    return _outcome(folder, process.returncode, f"it did not end in {timeout:g} s" if hung else None)


def _environment(folder: Path) -> dict[str, str]:
    paths = [str(HERE), *CHECKOUT, os.environ.get("PYTHONPATH", "")]
    return {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "BATCHAUDIT_PEERS_OUT": str(folder),
    }


def _wait(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Waits for a process and then ends what it left behind; returns whether it had to be ended itself."""
    hung = False
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        hung = True
    # Its session is its own, so its group holds it and the workers that its tests forgot, and nobody else.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    return hung


def _outcome(folder: Path, status: int, trouble: str | None) -> Outcome:
    import outcomes

    lines = outcomes.read(folder, outcomes.FILE)
    errors = [line["error"] for line in lines if "error" in line]
    if trouble is None and (errors or status not in (0, 1)):
        said = (folder / "output.txt").read_text(errors="replace").splitlines()
        trouble = "\n".join(errors or [f"exit code {status}", *said[-20:]])
    ended = [line for line in lines if "test" in line]
    return Outcome(
        tests={line["test"]: line["outcome"] for line in ended},
        why={line["test"]: line["why"] for line in ended if line["why"]},
        trouble=trouble,
    )


def _add_what_was_watched(result: Result, folder: Path) -> None:
    import outcomes

    lines = outcomes.read(folder, "watched.jsonl")
    result.sources = dict(sum((Counter(line["watched"]) for line in lines), Counter()))
    result.refused = dict(sum((Counter(line["refused"]) for line in lines), Counter()))
    result.tests_watched = sum(bool(line["watched"]) for line in lines)
    if not any((folder / "journal").glob("*")):
        return
    from batchaudit.journal import reader

    log = reader.load(folder / "journal")
    result.batches = int((log.events["stage"] == "produced").sum())
    result.log_failures = list(log.health.failures)


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
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions | {"backend": os.environ.get("KERAS_BACKEND", "tensorflow")}


def _print(results: list[Result]) -> None:
    print(", ".join(f"{name} {version}" for name, version in _versions().items()))
    heads = (
        "tests",
        "skipped",
        "passed unwatched",
        "passed watched",
        "newly failing",
        "sources watched",
        "batches logged",
    )
    width = max(len(result.file) for result in results)
    print(f"\n{'file':{width}}  " + "  ".join(heads))
    for result in results:
        numbers = (
            result.tests,
            result.skipped,
            result.passed_unwatched,
            result.passed_watched,
            len(result.newly_failing),
            sum(result.sources.values()),
            result.batches,
        )
        cells = (f"{number:{len(head)}}" for number, head in zip(numbers, heads, strict=True))
        print(f"{result.file:{width}}  " + "  ".join(cells))
    for result in results:
        _print_notes(result)


def _print_notes(result: Result) -> None:
    notes = [f"{way}: {trouble}" for way, trouble in result.troubles.items()]
    notes += [
        f"newly failing: {test} ({outcome} when watched)" for test, outcome in result.newly_failing.items()
    ]
    notes += [
        f"fails unwatched: {test}: {_short(account)}" for test, account in result.failing_unwatched.items()
    ]
    notes += [f"passes only when watched: {test}" for test in result.newly_passing]
    notes += [f"logging stopped: {failure}" for failure in result.log_failures]
    vacuous = result.vacuous()
    notes += [f"this proves nothing: {vacuous}"] if vacuous else []
    if notes:
        print(f"\n{result.file}")
        print("\n".join(f"  {note}" for note in notes))


def _short(account: str) -> str:
    # pytest marks the lines of the error itself with an E.
    errors = [line[1:].strip() for line in account.splitlines() if line.startswith("E ")]
    return errors[0] if errors else account.partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
