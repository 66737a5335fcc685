"""The page of the Python names has all public ones, and their docstrings say all there is to say."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest

import batchaudit as ba
from batchaudit import errors, testing
from batchaudit.capture.fingerprint import Fingerprint
from batchaudit.health import Health
from batchaudit.pytest_plugin import BatchAudit
from batchaudit.report import comparison
from tests.documentation import pages

PUBLIC = [
    *(getattr(ba, name) for name in ba.__all__ if name != "testing"),
    *(getattr(testing, name) for name in testing.__all__),
    *(comparison.Comparison, comparison.Side, comparison.Pair, comparison.Grain, comparison.Alone),
    *(Health, Fingerprint, BatchAudit.__call__),
]
CALLABLES = [
    (f"{owner.__name__}.{name}", getattr(owner, name))
    for owner in PUBLIC
    if inspect.isclass(owner)
    for name, member in vars(owner).items()
    if not name.startswith("_") and (callable(member) or isinstance(member, staticmethod))
] + [(one.__qualname__, one) for one in PUBLIC if not inspect.isclass(one)]
DATACLASSES = [one for one in PUBLIC if dataclasses.is_dataclass(one)]


def named(doc, name):
    return re.search(rf"^ +\*{{0,2}}{re.escape(name)}: ", doc, re.MULTILINE)


@pytest.mark.parametrize(("name", "function"), CALLABLES, ids=[name for name, _ in CALLABLES])
def test_a_docstring_names_each_argument_and_what_is_returned(name, function):
    doc, signature = inspect.getdoc(function), inspect.signature(function)
    arguments = [one for one in signature.parameters if one != "self"]
    assert doc
    assert [one for one in arguments if not named(doc, one)] == []
    returns = signature.return_annotation not in (None, "None", "NoReturn")
    assert "Returns:" in doc or not (returns and arguments)


@pytest.mark.parametrize("kind", DATACLASSES, ids=lambda kind: kind.__name__)
def test_a_docstring_names_each_attribute(kind):
    doc = inspect.getdoc(kind)
    assert [field.name for field in dataclasses.fields(kind) if not named(doc, field.name)] == []


def test_every_public_name_is_on_the_page():
    page = pages.page("reference/python.md")
    directives = {
        line.rpartition(".")[2].split()[-1]
        for line in re.findall(r"^\.\. auto(?:class|function):: (\S+)$", page, re.MULTILINE)
    }
    listed = re.search(r"automodule:: batchaudit\.errors\n   :members: (.+)", page)
    raised = set(listed.group(1).split(", "))
    assert raised == {name for name, one in vars(errors).items() if str(one).startswith("<class 'batchaudit")}
    assert set(ba.__all__) - {"testing"} <= directives | raised
    assert "automodule:: batchaudit.testing\n   :members:" in page


def test_every_option_of_the_pytest_plugin_is_on_the_page():
    from batchaudit import pytest_plugin

    source = inspect.getsource(pytest_plugin)
    options = set(re.findall(r'"(--batchaudit-[\w-]+)"', source))
    said = set(re.findall(r"`(--batchaudit-[\w-]+)", pages.page("reference/python.md")))
    assert options == said != set()
