from __future__ import annotations

import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

for module in ("sklearn", "PIL", "scipy", "keras", "tf_keras"):
    pytest.importorskip(module)

ROOT = Path(__file__).parents[2]


def play(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in a process of its own: the demo forks, and loads what other tests must not find."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("TF_CPP_MIN_LOG_LEVEL", None)  # TensorFlow, once imported, may have set it to print warnings
    command = [sys.executable, "-c", script, *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=500, check=False)


def test_the_whole_demo_runs_on_few_images_and_speaks_of_every_chapter():
    script = (
        "from batchaudit.demo import run_demo\n"
        "sections = run_demo(images=128)\n"  # so few that much cannot be observed
        "assert all(section.seen for section in sections)\n"
        "assert all(set(section.sources) == {run.source for run in section.report.runs} for section in sections)\n"
    )
    done = play(script)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no framework spoils the output
    lines = done.stdout.splitlines()
    assert [line[:3] for line in lines if line.startswith("(") and line[2:4] == ") "] == [
        "(a)",
        "(b)",
        "(c)",
        "(d)",
        "(e)",
    ]
    assert sum(line.startswith("The notes say:") for line in lines) == 5
    assert "Found 128 images" not in done.stdout  # ImageDataGenerator's own print


def test_figures_and_sentences_agree_and_logs_are_kept(tmp_path):
    script = (
        "import sys\n"
        "from batchaudit.demo import run_demo\n"
        "from batchaudit.demo import sources\n"
        "from batchaudit.demo.model import Case, Chapter\n"
        "told = []\n"
        "case = Case('files', sources.in_order, ('serial', 'fork:2'), endless=True)\n"
        "chapter = Chapter('(a) files', (case,), 'a claim.', lambda look: [look('files', 'fork:2').different])\n"
        "section, = run_demo(out=sys.argv[1], chapters=[chapter], images=256,\n"
        "                    on_progress=lambda *seen: told.append(seen))\n"
        "assert section.seen == ('4 of 8',), section.seen\n"
        "assert {name for name, _, _ in told} >= {'(a) files, serial', '(a) files, fork:2'}, told\n"
    )
    done = play(script, str(tmp_path))
    assert done.returncode == 0, done.stderr
    # Each copy walks all 8 batches and begins again: 4 of them an epoch.
    row = next(line.split() for line in done.stdout.splitlines() if "fork:2 " in line)
    assert row[:6] == ["fork:2", "24", "4,", "4,", "4", "8"]
    assert len(list(tmp_path.glob("images/*/*.png"))) == 256
    from batchaudit.auditing import report

    kept = report(tmp_path / "logs" / "a1")
    assert [run.strategy for run in kept.runs] == ["serial", "fork:2"]


def test_a_case_reaches_a_spawned_process(tmp_path):
    from batchaudit.demo.sections import CHAPTERS

    for chapter in CHAPTERS:
        for case in chapter.cases:
            pickle.loads(pickle.dumps(partial(case.make, tmp_path)))


def test_importing_the_demo_loads_no_framework():
    script = (
        "import sys, batchaudit.demo\n"
        "assert not {'tensorflow', 'keras', 'tf_keras', 'sklearn', 'pandas'} & set(sys.modules)\n"
    )
    assert play(script).returncode == 0
