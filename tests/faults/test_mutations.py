from __future__ import annotations

import random

import pytest

from tests.faults import mutations

SEED = 20_240_607


def test_a_file_cut_at_every_byte_or_damaged_at_random_gives_nothing_false_and_counts_every_loss():
    tally = mutations.run(3_000, SEED, long=False)
    assert tally.wrong == []
    assert tally.files.total() > 10_000 and tally.files.keys() == {*mutations.KINDS, "every byte"}
    # It would hold of a reader that reads nothing, and of damage that does none.
    assert tally.read > 100_000 and tally.lost > 10_000
    assert tally.clean_cuts > 0 and tally.no_header > 0 and tally.loads > 100


@pytest.fixture
def file(tmp_path):
    return mutations.written(tmp_path, 12, SEED)


@pytest.mark.parametrize("what", ["a record", "a digest", "a text", "a count"])
def test_the_judge_sees_what_is_wrong(file, what, monkeypatch):
    found = mutations.scan(file.data)
    if what == "a record":
        found.records["epoch"][3] += 1
    elif what == "a digest":
        found.digests[0] ^= 1
    elif what == "a text":
        found.texts[next(iter(found.texts))] += "x"
    else:
        found = found._replace(seqs=found.seqs[:-2], kinds=found.kinds[:-2], records=found.records[:-1])
    monkeypatch.setattr(mutations, "scan", lambda data: found)
    tally = mutations.Tally()
    mutations.judge(file.data, {file.found.header.key: file}, file, tally)
    assert tally.wrong


def test_what_is_drawn_is_drawn_from_the_seed(file):
    first, again = (mutations.mutated(file.data, file.data, random.Random(5)) for _ in range(2))
    assert first == again and first[1] != file.data
