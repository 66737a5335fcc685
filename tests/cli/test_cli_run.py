"""`batchaudit run`: what goes in and out of the script is what Python itself would make of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess

import pytest

import batchaudit as ba
from tests.running.starting import NOTHING_SEEN, WATCHED, both, ended, environment, start, write

# A loop over four batches of a DataLoader, then what `ENDS` says.
LOADS = """\
import os, sys
from torch.utils.data import DataLoader
loader = DataLoader(range(16), batch_size=4)
for batch in loader:
    print(batch.tolist())
"""
REPEATS = """\
from torch.utils.data import DataLoader, IterableDataset

class Same(IterableDataset):
    def __iter__(self):
        return iter(range(32))

if __name__ == "__main__":
    for _ in DataLoader(Same(), batch_size=4, num_workers=2):
        pass
"""


def attempts_in(folder):
    return sorted(path.name for path in folder.glob("manifest-*.json"))


# -- what the script is given, and what it gives ---------------------------------------------------


ARGUMENTS = [
    ["--epochs", "5"],
    ["--out", "x", "--json", "--html", "page.html", "-m", "-h", "--help"],
    ["--", "a b", "", "-"],
]


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_what_follows_the_script_is_the_scripts(tmp_path, arguments):
    write(tmp_path, "show.py", "import sys; print(sys.argv)")
    plain, watched = both("show.py", *arguments, folder=tmp_path)
    assert watched.out == plain.out
    assert watched.out == f"{['show.py', *arguments]}\n"


def test_what_follows_a_module_is_the_modules(tmp_path):
    write(tmp_path, "package/__init__.py", "")
    write(
        tmp_path,
        "package/show.py",
        "import sys; print(sys.argv, __name__, __package__, __spec__.name, sys.path)",
    )
    plain = ended([WATCHED[0], "-m", "package.show", "--out", "x"], tmp_path)
    watched = ended([*WATCHED, "-m", "package.show", "--out", "x"], tmp_path)
    assert watched.out == plain.out != ""


def test_a_folder_with_a_main_is_a_script(tmp_path):
    write(tmp_path, "app/__main__.py", "import sys; print(sys.argv, sys.path, __file__)")
    plain, watched = both("app", "x", folder=tmp_path)
    assert watched.out == plain.out != ""


def test_the_streams_stay_the_scripts(tmp_path):
    write(
        tmp_path, "cat.py", "import sys; print(sys.stdin.read().upper(), end='|'); sys.stderr.write('to err')"
    )
    plain, watched = both("cat.py", folder=tmp_path, given="some\ninput")
    assert watched.out == plain.out == "SOME\nINPUT|"
    assert watched.err.startswith(plain.err + NOTHING_SEEN)


def test_a_descriptor_of_the_shell_reaches_the_script(tmp_path):
    write(tmp_path, "third.py", "import os; os.write(int(os.environ['FD']), b'here')")
    reading, writing = os.pipe()
    try:
        done = ended([*WATCHED, "third.py"], tmp_path, environment(FD=str(writing)), pass_fds=[writing])
        assert done.code == 0, done.err
        assert os.read(reading, 9) == b"here"
    finally:
        os.close(reading)
        os.close(writing)


ENDS = {
    "nothing": ("", 0),
    "sys.exit(3)": ("import sys; sys.exit(3)", 3),
    "sys.exit(text)": ("import sys; sys.exit('text')", 1),
    "os._exit": ("import os; os._exit(5)", 5),
    "raises": ("def f(x):\n    return 1 / x\n\nf(0)\n", 1),
    "chained": ("try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('é') from e\n", 1),
    "no syntax": ("def f(:\n", 1),
    "missing import": ("import nowhere_at_all\n", 1),
}


@pytest.mark.parametrize("name", ENDS)
def test_exit_code_and_traceback_are_the_scripts(tmp_path, name):
    text, code = ENDS[name]
    write(tmp_path, "script.py", text)
    plain, watched = both("script.py", folder=tmp_path)
    assert (plain.code, watched.code) == (code, code)
    assert watched.out == plain.out
    assert watched.err.startswith(plain.err)
    assert watched.err.removeprefix(plain.err).startswith(NOTHING_SEEN)


def test_a_missing_module_is_pythons_own_message(tmp_path):
    plain = ended([WATCHED[0], "-m", "nowhere_at_all"], tmp_path)
    watched = ended([*WATCHED, "-m", "nowhere_at_all"], tmp_path)
    assert watched.code == plain.code == 1
    assert watched.err.startswith(plain.err)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGABRT", "SIGINT"])
def test_a_script_that_a_signal_ends_is_reported_and_the_signal_goes_on(tmp_path, name):
    write(
        tmp_path,
        "dies.py",
        LOADS + f"import signal\nsys.stdout.flush(); os.kill(os.getpid(), signal.{name})\n",
    )
    plain, watched = both("dies.py", folder=tmp_path)
    assert watched.code == plain.code == -getattr(signal, name)
    assert watched.out == plain.out
    assert watched.err.startswith(plain.err)
    assert "dies.py:3" in watched.err


def test_the_environment_differs_by_two_variables(tmp_path):
    write(tmp_path, "show.py", "import json, os; print(json.dumps(dict(os.environ)))")
    env = environment()
    del env["TF_CPP_MIN_LOG_LEVEL"]
    plain, watched = (json.loads(done.out) for done in both("show.py", folder=tmp_path, env=env))
    differ = {key for key in plain.keys() | watched.keys() if plain.get(key) != watched.get(key)}
    assert differ == {"PYTHONPATH", "BATCHAUDIT_RUN"}


@pytest.mark.parametrize("options", [["-O"], ["-W", "error"], ["-X", "dev"], ["-u"], ["-B", "-q"]])
def test_options_of_the_interpreter_are_handed_on(tmp_path, options):
    write(
        tmp_path,
        "show.py",
        "import sys; print(sys.flags, sys.warnoptions, sys._xoptions, sys.stdout.write_through)",
    )
    python, *rest = WATCHED
    plain = ended([python, *options, "show.py"], tmp_path)
    watched = ended([python, *options, *rest, "show.py"], tmp_path)
    assert watched.out == plain.out != ""


# -- the report ------------------------------------------------------------------------------------


def test_the_report_follows_on_standard_error(tmp_path):
    write(tmp_path, "train.py", LOADS)
    plain, watched = both("train.py", folder=tmp_path)
    assert watched.code == 0, watched.err
    assert watched.out == plain.out
    assert "train.py:3" in watched.err
    assert "batchaudit report batchaudit-runs/train-1" in watched.err
    assert ba.load(tmp_path / "batchaudit-runs" / "train-1").health.complete


def test_each_run_has_a_folder_of_its_own_unless_one_is_named(tmp_path):
    write(tmp_path, "train.py", "")
    for _ in range(2):
        ended([*WATCHED, "train.py"], tmp_path)
    ended([*WATCHED, "-m", "this"], tmp_path)
    assert sorted(os.listdir(tmp_path / "batchaudit-runs")) == ["this-1", "train-1", "train-2"]
    ended([*WATCHED, "--out", "deep/run", "train.py"], tmp_path)
    assert attempts_in(tmp_path / "deep" / "run") == ["manifest-0000.json"]


def test_starting_again_in_the_same_folder_is_the_next_attempt(tmp_path):
    write(tmp_path, "train.py", LOADS)
    for code in (0, 0):
        assert ended([*WATCHED, "--out", "run", "train.py"], tmp_path).code == code
    assert attempts_in(tmp_path / "run") == ["manifest-0000.json", "manifest-0001.json"]
    events = ba.load(tmp_path / "run").events
    assert sorted(events["attempt"].unique()) == [0, 1]
    write(tmp_path, "train.py", "print('nothing today')")
    third = ended([*WATCHED, "--out", "run", "--fail-on", "never", "train.py"], tmp_path)
    assert NOTHING_SEEN in third.err


def test_json_is_one_document_and_the_script_prints_elsewhere(tmp_path):
    write(tmp_path, "train.py", LOADS + "os.system('echo printed by another program')\n")
    done = ended([*WATCHED, "--json", "--html", "page.html", "--markdown", "c.md", "train.py"], tmp_path)
    document = json.loads(done.out)
    assert [run["source"] for run in document["runs"]] == ["train.py:3"]
    assert "[0, 1, 2, 3]" in done.err
    assert "printed by another program" in done.err
    assert "train.py:3" in (tmp_path / "page.html").read_text()
    assert "train.py:3" in (tmp_path / "c.md").read_text()


def test_json_is_a_document_where_nothing_was_seen(tmp_path):
    write(tmp_path, "nothing.py", "")
    done = ended([*WATCHED, "--json", "nothing.py"], tmp_path)
    assert done.code == 0
    document = json.loads(done.out)
    assert document["runs"] == []
    assert document["notes"]
    assert NOTHING_SEEN in done.err


@pytest.mark.parametrize(
    ("options", "last", "code"),
    [
        ([], "", 0),
        (["--fail-on", "error"], "", 1),
        (["--fail-on", "error"], "    raise SystemExit(4)\n", 4),
    ],
)
def test_findings_count_only_where_asked_and_where_the_script_succeeds(tmp_path, options, last, code):
    write(tmp_path, "train.py", REPEATS + last)
    done = ended([*WATCHED, *options, "train.py"], tmp_path)
    assert "unsharded-replica" in done.err
    assert done.code == code


def test_a_healthy_script_passes(tmp_path):
    write(tmp_path, "train.py", LOADS)
    assert ended([*WATCHED, "--fail-on", "warning", "train.py"], tmp_path).code == 0


def test_a_gate_does_not_pass_where_nothing_was_seen(tmp_path):
    write(tmp_path, "nothing.py", "")
    assert ended([*WATCHED, "--fail-on", "error", "nothing.py"], tmp_path).code == 3


def test_a_log_that_is_damaged_leaves_the_exit_code_alone(tmp_path):
    write(
        tmp_path, "train.py", LOADS + "open('run/0-broken.baj', 'w').write('x' * 300)\nraise SystemExit(6)\n"
    )
    assert ended([*WATCHED, "--out", "run", "train.py"], tmp_path).code == 6


def test_nobody_reads_the_report(tmp_path):
    write(tmp_path, "train.py", LOADS + "print('done', flush=True); sys.stdin.read(); sys.exit(8)\n")
    with start([*WATCHED, "train.py"], tmp_path) as process:
        while process.stdout.readline() != "done\n":
            pass
        process.stderr.close()
        process.stdin.close()
        assert process.wait(60) == 8


def test_interrupting_the_report_ends_quietly(tmp_path):
    write(tmp_path, "nothing.py", "")
    os.mkfifo(tmp_path / "page")  # whoever writes to it waits for a reader
    with start([*WATCHED, "--html", "page", "nothing.py"], tmp_path) as process:
        said = process.stderr.readline()
        # One that comes in the middle of an import may be lost there; a person would press the keys again.
        for _ in range(6):
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
                break
        process.kill()
        _, rest = process.communicate(timeout=60)
    assert said.startswith(NOTHING_SEEN)
    assert process.returncode == 130
    assert rest == ""


# -- bad input -------------------------------------------------------------------------------------


BAD = {
    "no script": (["missing.py"], "there is no script 'missing.py'"),
    "a module": (["package.train"], "batchaudit run -m package.train"),
    "no main": (["folder"], "without a __main__.py"),
    "nothing": ([], "Missing argument"),
    "an unknown option": (["--frobnicate", "train.py"], "No such option"),
    "out is a file": (["--out", "train.py", "train.py"], "is a file: name a folder"),
    "html is a folder": (["--html", "folder", "train.py"], "this is a folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_message_before_the_script_starts(tmp_path, name):
    arguments, message = BAD[name]
    write(tmp_path, "train.py", "open('started', 'w')")
    (tmp_path / "folder").mkdir()
    done = ended([*WATCHED, *arguments], tmp_path)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert sorted(os.listdir(tmp_path)) == ["folder", "train.py"]


def test_a_python_that_cannot_be_watched_is_refused(tmp_path):
    root = environment()["PYTHONPATH"]
    write(tmp_path, "train.py", "")
    done = subprocess.run(
        [WATCHED[0], "-E", "-m", "batchaudit", "run", tmp_path / "train.py"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "-E, -I or -S" in done.stderr
