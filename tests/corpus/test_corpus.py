"""Real bugs, their repaired twins, and healthy loaders that look suspicious: each in a process of its own.

The right causes are named in the sick loader and no other, nothing is found in its twin, and the framework alone
shows that the sick one has the defect. `python -m tests.corpus` prints the same as a table.
"""

from __future__ import annotations

import pytest

from tests.corpus import cases, process


def _identities() -> list[object]:
    found: list[object] = []
    for module in cases.modules():
        try:
            found += [pytest.param(entry.id, id=entry.id) for entry in cases.entries_of(module)]
        except ModuleNotFoundError as error:
            skip = pytest.mark.skip(f"{error.name} is not installed")
            found.append(pytest.param(module, id=module, marks=skip))
    return found


IDENTITIES = _identities()


def test_every_id_is_there_once():
    identities = [parameter.id for parameter in IDENTITIES]
    assert len(identities) == len(set(identities))


@pytest.mark.parametrize("identity", IDENTITIES)
def test_the_right_causes_are_named(identity):
    outcome = process.run(identity)
    assert outcome.reasons == []
