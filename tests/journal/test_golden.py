from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchaudit.journal.header import FORMAT_VERSION
from batchaudit.journal.reader import load

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(path for path in GOLDEN.iterdir() if path.is_dir())


def plain(log) -> dict[str, object]:
    """What a log holds, as JSON says it; a column of which no event knows anything is left out."""
    events = log.events.astype(dict.fromkeys(log.events.select_dtypes("category"), str))
    rows = [{name: value for name, value in row.items() if value != ""} for row in events.to_dict("records")]
    samples = log.samples.astype({"digest": object, "id": object}).to_dict("records")
    told = {"events": rows, "samples": samples, "health": log.health.counts, "writers": list(log.writers)}
    return json.loads(json.dumps(told, default=lambda value: None))


def test_every_version_so_far_is_kept():
    assert [path.name for path in VERSIONS] == [f"version-{n + 1}" for n in range(FORMAT_VERSION)]


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda path: path.name)
def test_a_log_of_each_version_reads_as_it_did(folder):
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    assert plain(load(folder, mode="strict")) == expected
