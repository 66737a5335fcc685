"""Real documents follow the schema that the package ships, and the page says what the schema says."""

from __future__ import annotations

import copy
import json
from importlib.resources import files

import pytest

import batchaudit as ba
from tests.diagnosis.in_ranks import trained
from tests.documentation import pages
from tests.report.hand_made import REPORTS

jsonschema = pytest.importorskip("jsonschema")

SCHEMA = json.loads((files("batchaudit.report") / "schema.json").read_text("utf-8"))
OBJECTS = {"The document": SCHEMA, **SCHEMA["$defs"]}


def strict(schema):
    """The same schema, which refuses a key that it does not name: no key may stay undescribed."""
    closed = copy.deepcopy(schema)
    for part in (closed, *closed["$defs"].values()):
        part["additionalProperties"] = False
    return closed


def check(document):
    jsonschema.Draft202012Validator(strict(SCHEMA)).validate(document)


def in_words(part):
    """How the page names a type."""
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if "anyOf" in part:
        return " or ".join(map(in_words, part["anyOf"]))
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return "one of " + ", ".join(f"`{value}`" if value else "empty" for value in part["enum"])
    if isinstance(part["type"], list):
        return " or ".join(in_words({**part, "type": kind}) for kind in part["type"])
    return f"list of {in_words(part['items'])}" if part["type"] == "array" else part["type"]


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


# The times of "advised" are some of the columns; those of a real audit are checked below.
@pytest.mark.parametrize("name", sorted(REPORTS.keys() - {"advised"}))
def test_documents_follow_it(name):
    check(REPORTS[name]().to_dict())


def test_a_timed_audit_follows_it():
    batches = [[[float(number)]] for number in range(8)]
    report = ba.audit(lambda: batches, ["serial", "threads:2"], epochs=2, advise=None, step_time=0.001)
    document = report.to_dict()
    check(document)
    assert document["advice"][0]["compared"][0]["option"]["timing"]["rate"]
    assert document["runs"][0]["timing"]["clocked"]


def test_a_training_of_two_ranks_follows_it(tmp_path, monkeypatch):
    report = trained(tmp_path, monkeypatch, lambda rank, world: [[[float(n)]] for n in range(6)])
    check(report.to_dict())
    assert len(report.to_dict()["across"]["epochs"]) == 3


def test_the_example_follows_it():
    example = json.loads(pages.page("reference/example.json"))
    check(example)
    assert {finding["cause"] for run in example["runs"] for finding in run["findings"]} == {
        "rng-clone",
        "rng-epoch-reset",
    }


@pytest.mark.parametrize(
    ("key", "value"), [("complete", None), ("runs", [{}]), ("schema_version", 2), ("more", 1)]
)
def test_what_is_no_such_document_is_refused(key, value):
    with pytest.raises(jsonschema.ValidationError):
        check({**REPORTS["sick"]().to_dict(), key: value})


def test_a_later_document_with_more_keys_still_follows_it():
    jsonschema.Draft202012Validator(SCHEMA).validate({**REPORTS["sick"]().to_dict(), "more": 1})


@pytest.mark.parametrize("name", OBJECTS)
def test_the_page_has_each_key_as_the_schema_describes_it(name):
    described = OBJECTS[name]["properties"].items()
    section = pages.sections(pages.page("reference/json.md"))[name]
    assert pages.rows(section) == [
        [f"`{key}`", in_words(part), part["description"]] for key, part in described
    ]
    assert OBJECTS[name]["required"] == [key for key, _ in described]
