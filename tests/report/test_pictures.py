from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from batchaudit.report.html import as_fragment, as_page
from batchaudit.report.pictures import gallery
from batchaudit.report.view import view
from tests.report.hand_made import UNSHARDED, empty_report, healthy_report
from tests.report.plots.made import named
from tests.report.plots.made import report as made


def titles(pictures):
    return [re.search(r'aria-label="([^"]*)"', str(one))[1] for one in pictures]


def of(ours):
    return gallery(ours, view(ours))


def test_what_shows_the_finding_is_shown_and_the_rest_folded():
    found = of(made(True, 2, 30))
    (pictures,) = found.runs
    assert len(pictures.shown) == 3
    assert "who emitted which batch" in titles(pictures.shown)[0]
    assert "the state of NumPy" in titles(pictures.folded)[0]
    assert len(found.overview.shown) == 1
    assert len(found.timing.shown) == 1


def test_of_a_healthy_run_all_is_folded():
    (pictures,) = of(made(False, 2, 30)).runs
    assert pictures.shown == ()
    assert len(pictures.folded) == 4


@pytest.mark.parametrize(
    ("cause", "first"),
    [("rng-clone", "the state of"), ("tail-drop", "were seen"), ("split-leak", "who emitted")],
)
def test_each_cause_has_a_picture_that_shows_it(cause, first):
    ours = made(True, 2, 30)
    run = replace(ours.runs[0], findings=(replace(UNSHARDED, cause=cause),))
    (pictures,) = of(replace(ours, runs=(run,))).runs
    assert first in titles(pictures.shown)[0]


def test_no_picture_is_drawn_twice_for_two_causes():
    ours = made(True, 2, 30)
    run = replace(ours.runs[0], findings=(UNSHARDED, replace(UNSHARDED, cause="tail-drop")))
    (pictures,) = of(replace(ours, runs=(run,))).runs
    drawn = titles(pictures.shown + pictures.folded)
    assert len(drawn) == len(set(drawn)) == 4


def test_what_has_nothing_to_draw_is_left_out():
    (pictures,) = of(healthy_report()).runs
    assert pictures == type(pictures)()
    assert of(empty_report()).runs == ()
    assert of(empty_report()).overview.shown == ()


def test_of_many_runs_those_with_findings_have_pictures_and_the_page_counts_the_others():
    base = made(False, 2, 30)
    sick = made(True, 2, 30)
    healthy = [replace(base.runs[0], source=f"loader {n}") for n in range(20)]
    ours = replace(sick, runs=(*healthy, *sick.runs))
    found = of(ours)
    assert found.left_out == 9
    assert found.runs[-1].shown
    text = as_page(ours)
    assert re.search(r"9 (more|other|runs)", re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL))


def test_all_pictures_of_a_page_have_names_of_their_own():
    text = as_page(made(True, 2, 30))
    names = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(names) == 6
    each = [set(re.findall(r' id="([^"]*)"', one)) for one in names]
    assert sum(map(len, each)) == len(set().union(*each))
    for one in names:
        used = set(re.findall(r'(?:url\(#|href="#)([^")]*)', one))
        assert used <= set(re.findall(r' id="([^"]*)"', one))


@pytest.mark.parametrize("render", [as_page, as_fragment])
def test_a_picture_loads_nothing_and_takes_the_colour_of_the_page(render):
    text = render(made(True, 64, 300_000))
    for one in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert "currentColor" in one
        assert not re.findall(r'(?:href|src)="(?!#|data:image/png;base64,)[^"]*"', one)
        assert "<script" not in one
        assert "#010203" not in one


def test_a_page_is_the_same_each_time():
    ours = made(True, 64, 30)
    assert as_page(ours) == as_page(ours)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "]]>", "-->", '" onload="alert(1)', "$x$"])
def test_names_in_pictures_are_text(name):
    text = as_page(named(name, name))
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) == 6
    for one in pictures:
        parts = list(ET.fromstring(one).iter())
        assert not [part for part in parts if part.tag.endswith("script")]
        assert not [key for part in parts for key in part.attrib if key.startswith("on")]


def test_how_many_were_different_is_folded_where_that_is_not_what_is_wrong():
    ours = made(False, 2, 30)
    run = replace(ours.runs[0], findings=(replace(UNSHARDED, cause="rng-clone"),))
    found = of(replace(ours, runs=(run,)))
    assert found.overview.shown == () and len(found.overview.folded) == 1
    assert len(of(ours).overview.shown) == 1


def test_what_lies_between_ranks_has_pictures_of_all_of_them():
    ours = replace(made(True, 2, 30), ranks=(0, 1), across=(replace(UNSHARDED, scope="rank"),))
    *_, between = of(ours).runs
    assert len(between.shown) == 2
    assert "were seen" in titles(between.shown)[0] and "in common" in titles(between.shown)[1]
    *_, alone = of(replace(ours, ranks=(0,))).runs
    assert alone.shown == ()
