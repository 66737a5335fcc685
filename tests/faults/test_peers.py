"""The same faults for other tools' files and for ours. `python -m tests.faults peers` prints the whole table."""

from __future__ import annotations

import random

import pytest

from tests.faults import peers
from tests.faults.peer_tools import TOOLS, UNITS

OURS = TOOLS[0]


@pytest.fixture(scope="module", params=TOOLS, ids=lambda tool: tool.name)
def prepared(request):
    if peers.missing(request.param):
        pytest.skip(f"{request.param.package} is not installed")
    with peers.Prepared(request.param) as prepared:
        yield request.param, prepared


def test_undamaged_each_tool_gives_back_all_that_it_was_given(prepared):
    _, prepared = prepared
    outcome = prepared.suffer("none", random.Random(1))
    assert outcome == peers.Outcome(rounds=1, finished=2 * UNITS, read=2 * UNITS)


@pytest.mark.parametrize("fault", [fault for fault in peers.FAULTS if fault != "none"])
def test_a_fault_costs_us_what_it_hit_and_is_told_and_every_tool_can_be_aimed_at(prepared, fault):
    tool, prepared = prepared
    outcome = peers.Outcome()
    try:
        for seed in range(2):
            outcome += prepared.suffer(fault, random.Random(f"{fault} {seed}"))
    except peers.CannotMountError as error:
        pytest.skip(f"a small file system cannot be mounted here: {error}")
    assert outcome.rounds == 2 and outcome.lost <= outcome.finished
    if fault == "kill":
        assert outcome.finished > 2 * UNITS  # of the worker that is not killed, and some of the other's
    if tool is OURS:
        assert (outcome.wrong, outcome.crashed, outcome.harmed) == (0, 0, 0)
        assert outcome.told == outcome.with_loss
        assert outcome.read > 0
        assert (outcome.with_loss == 0) == (fault == "kill")
