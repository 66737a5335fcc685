"""Real bugs, their repaired twins, and healthy loaders that look suspicious: each in a process of its own.

The right causes are named in the sick loader and no other, nothing is found in its twin, and the framework alone
shows that the sick one has the defect. By default a cause is looked for once in each framework; `-m ""` runs
every case, and so does `python -m tests.corpus`, which prints them as a table.
"""

from __future__ import annotations

import pytest

from tests.corpus import cases, process


def _identities() -> list[object]:
    found: list[object] = []
    shown: set[tuple[str, str]] = set()
    for module in cases.modules():
        try:
            found += [_parameter(entry, shown) for entry in cases.entries_of(module)]
        except ModuleNotFoundError as error:
            skip = pytest.mark.skip(f"{error.name} is not installed")
            found.append(pytest.param(module, id=module, marks=skip))
    return found


def _parameter(entry: cases.Entry, shown: set[tuple[str, str]]) -> object:
    pairs = {(entry.framework, cause) for cause in getattr(entry, "expected", ())}
    again = bool(pairs) and pairs <= shown
    shown |= pairs
    return pytest.param(entry.id, id=entry.id, marks=[pytest.mark.whole_corpus] if again else [])


IDENTITIES = _identities()


def test_every_id_is_there_once():
    identities = [parameter.id for parameter in IDENTITIES]
    assert len(identities) == len(set(identities))


@pytest.mark.parametrize("identity", IDENTITIES)
def test_the_right_causes_are_named(identity):
    outcome = process.run(identity)
    assert outcome.reasons == []
