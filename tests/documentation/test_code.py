"""What a page computes in a session of Python comes out as it stands there."""

from __future__ import annotations

import doctest
import re

import pytest

from tests.documentation import pages

SESSION = re.compile(r"^```\{doctest\}.*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITH_SESSIONS = ["explanation/digests.md"]


@pytest.mark.parametrize("name", WITH_SESSIONS)
def test_the_sessions_of_a_page_come_out_as_they_stand(name):
    blocks = SESSION.findall(pages.page(name))
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, name, name, 0)
    said = []
    doctest.DocTestRunner().run(test, out=said.append)
    assert "".join(said) == ""
    assert len(test.examples) > len(blocks)
