"""The pages of the strategies and of the probes have all that can be written, and nothing else."""

from __future__ import annotations

import pytest

from batchaudit import probes
from batchaudit.auditing import DEFAULT_STRATEGIES
from batchaudit.errors import UsageError
from batchaudit.strategies.spec import FAMILIES, parse
from tests.documentation import pages


@pytest.fixture(scope="module")
def sections():
    return pages.sections(pages.page("reference/strategies.md"))


def test_every_family(sections):
    said = [
        name.partition(":")[0] for row in pages.rows(sections["Families"]) for name in pages.names(row[0])
    ]
    assert sorted(said) == sorted(FAMILIES)


def test_every_option_that_is_named_is_one(sections):
    rows = pages.rows(sections["Options"])
    values = {"<int>": "3", "fork\\|spawn\\|forkserver": "spawn"}
    for row in rows:
        name, _, value = pages.names(row[0])[0].partition("=")
        written = f"{name}={values.get(value, value)}" if value else name
        assert any(_takes(family, written) for family in FAMILIES), written
    assert {pages.names(row[0])[0].partition("=")[0] for row in rows} == {
        *("seed", "queue", "start", "persistent", "prefetch", "shuffle"),
    }


def _takes(family, option):
    try:
        return bool(parse(f"{family}:2,{option}").options)
    except UsageError:
        return False


def test_the_defaults(sections):
    said = [pages.names(row[1]) for row in pages.rows(sections["Strategies"])]
    assert said == [["as-is"], list(DEFAULT_STRATEGIES)]


def test_every_probe():
    rows = pages.rows(pages.page("reference/probes.md"))
    assert sorted(pages.names(row[0])[0] for row in rows) == sorted(probes.NAMES)
