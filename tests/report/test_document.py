from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from batchaudit.report.document import plain

PLAIN = (dict, list, str, int, float, bool, type(None))

EPOCH_KEYS = {
    *("epoch", "produced", "probes", "delivered", "unique", "effective_ratio", "new_unique", "copies"),
    *("samples", "unique_samples", "sample_copies", "sample_coverage", "seed_divergence", "workers"),
    *("workers_configured", "expected_unique", "expected_unique_samples", "epoch_divergence", "lockstep"),
    *("seed_divergence_note", "changed", "seconds_waited"),
}


def all_values(value):
    yield value
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from all_values(inner)


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_the_document_is_strict_json_of_plain_values(any_report):
    document = any_report.to_dict()
    assert {type(value) for value in all_values(document)} <= set(PLAIN)
    assert json.loads(any_report.to_json(), parse_constant=refuse) == document


def test_the_keys_that_others_rely_on(make_report):
    document = make_report("sick").to_dict()
    assert document.keys() == {
        "schema_version",
        "complete",
        "log",
        "runs",
        "across",
        "advice",
        "notes",
    }
    assert document["across"].keys() == {
        *("ranks", "missing_ranks", "attempts", "epochs", "findings", "verdicts"),
    }
    run = document["runs"][1]
    assert run.keys() == {
        *(
            "run",
            "attempt",
            "rank",
            "source",
            "strategy",
            "complete",
            "skipped",
            "error",
            "workers_configured",
        ),
        *("epochs", "findings", "timing", "verdicts"),
    }
    assert run["epochs"][0].keys() == EPOCH_KEYS
    assert run["findings"][0].keys() == {"cause", "severity", "scope", "summary", "evidence", "fix"}
    assert run["verdicts"][0].keys() == {"cause", "verdict", "reason"}


def test_values_of_a_sick_report(make_report):
    serial, fork, spawn, broken = make_report("sick").to_dict()["runs"]
    first = fork["epochs"][0]
    assert (first["produced"], first["delivered"], first["unique"]) == (35, 32, 8)
    assert type(first["produced"]) is int  # though its column is one of floats
    assert first["copies"] == {"4": 8}
    assert first["seed_divergence"] is None
    assert first["seed_divergence_note"] == "no random stream moved"
    assert spawn["skipped"] == "a generator cannot be pickled."
    assert spawn["epochs"] == []
    assert (serial["complete"], broken["complete"]) == (True, False)


def test_what_is_not_known_is_null(make_report):
    document = make_report("unknown").to_dict()
    epoch = document["runs"][0]["epochs"][0]
    assert epoch["delivered"] == 32
    assert epoch["unique"] is None and epoch["effective_ratio"] is None and epoch["probes"] is None
    assert (document["complete"], document["runs"][0]["complete"]) == (False, False)
    assert document["across"]["missing_ranks"] == [1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (float("inf"), None),
        (pd.NA, None),
        (pd.NaT, None),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        ({1: {2, 3}}, {"1": [2, 3]}),
        ((np.int64(1), "a"), [1, "a"]),
        ("\udc80", "\N{REPLACEMENT CHARACTER}"),
        (np.str_("x"), "x"),
        (pd.Timestamp("2024-01-01"), "2024-01-01 00:00:00"),
    ],
)
def test_plain(value, expected):
    result = plain(value)
    assert result == expected
    assert type(result) is type(expected)
