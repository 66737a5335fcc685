from __future__ import annotations

import builtins
import json
import threading

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.errors import in_full, without_messages

SECRET = "patient 4711"


def raised(error, cause=None):
    try:
        try:
            if cause is not None:
                raise cause
        except Exception as before:
            raise error from before
        raise error
    except Exception as told:
        return in_full(told)


class BadRow(Exception):
    pass


@pytest.mark.parametrize(
    "message",
    [
        SECRET,
        f"{SECRET}\n{SECRET}\n\n  {SECRET}\n    {SECRET}",
        f"Traceback of {SECRET}\nValueError: {SECRET}",
        f"\n{SECRET}",
        f'\n  File "x.py", line 3, in f\n    {SECRET}',
    ],
)
@pytest.mark.parametrize("cause", [None, ValueError, BadRow])
def test_of_a_traceback_types_files_and_lines_are_kept(message, cause):
    text = raised(BadRow(message), None if cause is None else cause(message))
    assert SECRET in text
    kept = without_messages(f"worker 1 (pid 7) raised after 2 batches:\n{text}").splitlines()
    assert SECRET not in "".join(kept)
    assert kept[0] == "worker 1 (pid 7) raised after 2 batches:"
    assert kept[-1].endswith("BadRow")
    files = [line for line in text.splitlines() if line.startswith("  File ") and "x.py" not in line]
    assert [line for line in kept if line.startswith("  File ")] == files
    assert (cause is not None) == (
        "The above exception was the direct cause of the following exception:" in kept
    )


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("no batch came from the workers for 5 s", "no batch came from the workers for 5 s"),
        (
            "worker 1 (pid 3) died (SIGKILL) after 2 batches",
            "worker 1 (pid 3) died (SIGKILL) after 2 batches",
        ),
        (
            f"make() raised BadRow: {SECRET} (loader.py:7, in make)",
            "make() raised BadRow (loader.py:7, in make)",
        ),
        (f"make() raised BadRow: {SECRET}", "make() raised BadRow"),
        (f"tf.data: ValueError: {SECRET}", "tf.data: ValueError"),
        (f"the first line\n{SECRET}", "the first line"),
        ("", ""),
    ],
)
def test_of_other_texts_what_an_exception_said_goes(text, kept):
    assert without_messages(text) == kept


def test_a_group_of_exceptions_says_nothing_either():
    group = getattr(builtins, "ExceptionGroup", None)
    if group is None:
        pytest.skip("this Python has no groups of exceptions")
    text = raised(group(SECRET, [ValueError(SECRET), BadRow(SECRET)]))
    assert SECRET in text and SECRET not in without_messages(text)


class Dies:
    """Raises in a worker thread."""

    def __iter__(self):
        for number in range(4):
            if threading.current_thread() is not threading.main_thread() and number == 2:
                raise BadRow(SECRET)
            yield np.full(3, float(number))


def test_the_log_of_an_audit_holds_no_message_and_its_report_does(tmp_path):
    report = ba.audit(lambda: iter(Dies()), ["serial", "threads:2"], epochs=1, out=tmp_path)
    assert f"BadRow: {SECRET}" in report.run("threads:2").error
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path.name for path in written if SECRET.encode() in path.read_bytes()]
    (manifest,) = [json.loads(path.read_text()) for path in tmp_path.glob("manifest-*.json")]
    [told] = [one["error"] for one in manifest["strategies"] if one["strategy"] == "threads:2"]
    assert told.splitlines()[-1].endswith("BadRow") and __file__ in told
    kept = ba.report_of(tmp_path).run("threads:2").error
    assert kept == told
