"""`batchaudit audit --advise`, as a process of its own."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_cli_commands import batchaudit

SOURCE = """\
import numpy as np

def numbers():
    for number in range(8):
        yield np.full((2, 3), number)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "advised_of_a_test.py").write_text(SOURCE)
    return tmp_path


def audit(folder, *arguments):
    common = ("--strategy", "serial", "--epochs", "1", "--no-probes")
    return batchaudit(folder, "audit", "advised_of_a_test.py:numbers", *common, *arguments)


def test_what_is_tried_beside_the_asked_is_advice_and_no_run(folder):
    run = folder / "run"
    done = audit(folder, "--advise", "--json", "--out", str(run), "--step-time", "0.5")
    document = json.loads(done.stdout)
    assert [one["strategy"] for one in document["runs"]] == ["serial"]
    (advice,) = document["advice"]
    families = {one["option"]["family"]: one["option"] for one in advice["compared"]}
    assert {"serial", "threads", "fork", "torch"} <= families.keys()
    assert families["fork"]["causes"] == ["unsharded-replica"] and not families["fork"]["asked"]
    assert "DataLoader" in families["torch"]["refused"]
    assert (advice["best"], advice["step_time"]) == ("serial", 0.5)
    assert done.returncode == 0, "a strategy that nobody asked for fails nothing"
    again = batchaudit(folder, "report", str(run), "--json")
    assert json.loads(again.stdout)["advice"] == document["advice"]


def test_without_it_the_audits_own_rates_are_told(folder):
    done = audit(folder, "--json")
    (advice,) = json.loads(done.stdout)["advice"]
    (serial,) = advice["compared"]
    assert not serial["option"]["timing"]["clocked"]
    assert "not-clocked" in {reason["rule"] for reason in advice["reasons"]}


@pytest.mark.parametrize(("given", "said"), [("0", "above 0"), ("no-such-run", "no-such-run")])
def test_a_step_time_that_is_none(folder, given, said):
    done = audit(folder, "--step-time", given)
    assert done.returncode in (2, 3)
    assert said in done.stderr and "Traceback" not in done.stderr
