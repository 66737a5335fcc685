"""The start of a watched process: the script finds everything as it would be without batchaudit."""

from __future__ import annotations

import json
import os
import sys

import pytest

import batchaudit as ba
from batchaudit import consumers
from batchaudit.running import child
from tests.running.starting import PLAIN, ROOT, WATCHED, both, ended, environment, write

LOOKS = """\
import sys
loaded = sorted(sys.modules)
import json
main = sys.modules["__main__"]
sitecustomize = sys.modules.get("sitecustomize")
print(json.dumps({
    "loaded": loaded, "path": sys.path, "argv": sys.argv, "file": __file__, "name": __name__,
    "spec": repr(__spec__), "builtins": type(__builtins__).__name__, "main": sorted(vars(main)),
    "site": getattr(sitecustomize, "__file__", None), "importers": sorted(sys.path_importer_cache),
    "flags": repr(sys.flags), "prefix": sys.prefix, "executable": sys.executable,
}))
"""


def looks(folder, **options):
    return [json.loads(done.out) for done in both("looks.py", "x", folder=folder, **options)]


@pytest.mark.parametrize("theirs", [str(ROOT), "", f"{ROOT}{os.pathsep}", f"relative{os.pathsep}{ROOT}"])
def test_the_script_finds_the_interpreter_as_it_would_be(tmp_path, theirs):
    write(tmp_path, "looks.py", LOOKS)
    env = environment(PYTHONPATH=theirs)
    plain = ended([*PLAIN, "looks.py", "x"], tmp_path, env)
    # Found through the current folder where PYTHONPATH does not name it.
    command = [*WATCHED, "--out", tmp_path / "run", "looks.py", "x"]
    if str(ROOT) not in theirs:
        start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from batchaudit.__main__ import main; main()"
        command = [sys.executable, "-c", start, *command[3:]]
    watched = ended(command, tmp_path, env)
    assert json.loads(watched.out) == json.loads(plain.out), watched.err


def test_nothing_of_ours_is_loaded_before_a_framework(tmp_path):
    write(tmp_path, "looks.py", LOOKS)
    _, watched = looks(tmp_path)
    assert not {"numpy", "wrapt", "typing", "batchaudit", "sitecustomize"} & set(watched["loaded"])


@pytest.mark.parametrize(
    "text", ["print('theirs', sys.path)", "raise ValueError('theirs')", "import theirs_that_is_missing"]
)
def test_a_sitecustomize_that_ours_hides_still_runs(tmp_path, text):
    # The supervisor is a Python, too, and not the one that is looked at.
    text = f"import sys\nif 'batchaudit' not in sys.orig_argv:\n    {text}\n"
    write(tmp_path, "theirs/sitecustomize.py", text)
    write(tmp_path, "looks.py", LOOKS)
    env = environment(PYTHONPATH=os.pathsep.join([str(tmp_path / "theirs"), str(ROOT)]))
    plain, watched = both("looks.py", folder=tmp_path, env=env)
    assert watched.out == plain.out
    assert watched.err.startswith(plain.err)
    assert "theirs" in plain.out + plain.err


def test_where_a_library_cannot_be_loaded_the_script_goes_on_and_the_report_tells(tmp_path):
    write(tmp_path, "theirs/xxhash.py", "raise RuntimeError('broken here')")
    write(
        tmp_path,
        "train.py",
        "import sys; sys.path.insert(0, 'theirs')\n"
        "from torch.utils.data import DataLoader\n"
        "print([batch.tolist() for batch in DataLoader(range(4))])\n",
    )
    plain, watched = both("train.py", folder=tmp_path)
    assert (watched.code, watched.out) == (plain.code, plain.out) == (0, "[[0], [1], [2], [3]]\n")
    assert "broken here" in watched.err
    assert "Traceback" not in watched.err


def test_warnings_made_errors_reach_no_script(tmp_path):
    write(
        tmp_path,
        "train.py",
        "from torch.utils.data import DataLoader\nprint(len(list(DataLoader(range(4)))))\n",
    )
    python, *rest = WATCHED
    plain = ended([python, "-W", "error::ResourceWarning", "train.py"], tmp_path)
    watched = ended([python, "-W", "error::ResourceWarning", *rest, "train.py"], tmp_path)
    assert (watched.code, watched.out) == (plain.code, plain.out) == (0, "4\n")


def test_a_framework_that_cannot_be_imported_raises_as_it_would(tmp_path):
    write(tmp_path, "theirs/torch/utils/data.py", "raise ImportError('half installed')")
    write(tmp_path, "theirs/torch/utils/__init__.py", "")
    write(tmp_path, "theirs/torch/__init__.py", "")
    write(
        tmp_path,
        "train.py",
        "import sys; sys.path.insert(0, 'theirs')\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        import torch.utils.data\n"
        "    except ImportError as error:\n"
        "        print(error, 'numpy' in sys.modules)\n",
    )
    plain, watched = both("train.py", folder=tmp_path)
    assert watched.out == plain.out == "half installed False\n" * 2


def test_the_variable_names_every_framework():
    made = child.environment(ROOT, 3, {})["BATCHAUDIT_RUN"]
    attempt, modules, folder = made.split("\n")
    assert (attempt, folder) == ("3", str(ROOT))
    assert modules.split(",") == list(consumers.HOOKS)


# -- other processes -------------------------------------------------------------------------------

# Each of two spawned processes makes a loader of its own, as the ranks of a training do.
SPAWNS = """\
import multiprocessing, sys

def work(number):
    from torch.utils.data import DataLoader
    print(number, [batch.tolist() for batch in DataLoader(range(number, number + 8), batch_size=4)], __name__, flush=True)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    for number in range(2):
        process = context.Process(target=work, args=(number * 8,))
        process.start()
        process.join()
        print(process.exitcode)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_that_the_script_starts_log_to_the_same_run(tmp_path, method):
    write(tmp_path, "spawns.py", SPAWNS)
    plain, watched = both("spawns.py", method, folder=tmp_path)
    assert watched.out == plain.out
    assert watched.err.startswith(plain.err)
    events = ba.load(tmp_path / "batchaudit-runs" / "spawns-1").events
    events = events[events["digest_hi"] != 0]
    assert len(events) == 4
    assert events["pid"].nunique() == 2
    assert set(events["source"]) == {"spawns.py:5"}


def test_workers_find_batchaudit_though_it_is_not_on_their_path(tmp_path):
    write(
        tmp_path,
        "train.py",
        "from torch.utils.data import DataLoader\n"
        "if __name__ == '__main__':\n"
        "    loader = DataLoader(range(8), batch_size=4, num_workers=1, multiprocessing_context='spawn')\n"
        "    print([batch.tolist() for batch in loader])\n",
    )
    env = environment()
    del env["PYTHONPATH"]
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from batchaudit.__main__ import main; main()"
    done = ended([sys.executable, "-c", start, "run", "train.py"], tmp_path, env)
    assert (done.code, done.out) == (0, "[[0, 1, 2, 3], [4, 5, 6, 7]]\n"), done.err
    assert "train.py:3" in done.err


RANKS = """\
import torch.distributed as distributed, torch.multiprocessing as multiprocessing
from torch.utils.data import DataLoader, DistributedSampler

def train(rank, store):
    distributed.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
    data = list(range(16))
    for batch in DataLoader(data, batch_size=4, sampler=DistributedSampler(data, shuffle=False)):
        pass
    distributed.barrier()  # or it may be gone while the other is still connecting
    distributed.destroy_process_group()

if __name__ == "__main__":
    import os
    multiprocessing.spawn(train, (os.path.abspath("store"),), nprocs=2)
"""


def test_ranks_are_what_torch_says(tmp_path):
    write(tmp_path, "ranks.py", RANKS)
    done = ended([*WATCHED, "ranks.py"], tmp_path)
    assert done.code == 0, done.err
    events = ba.load(tmp_path / "batchaudit-runs" / "ranks-1").events
    events = events[events["digest_hi"] != 0]
    assert sorted(events["rank"]) == [0, 0, 1, 1]
    assert set(events["source"]) == {"ranks.py:7"}


def test_a_python_that_imports_no_framework_logs_nothing(tmp_path):
    write(
        tmp_path,
        "starts.py",
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import json, numpy; print(1)'], check=True)\n",
    )
    done = ended([*WATCHED, "starts.py"], tmp_path)
    assert done.out == "1\n"
    assert os.listdir(tmp_path / "batchaudit-runs" / "starts-1") == ["manifest-0000.json"]
