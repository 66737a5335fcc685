"""The page of a report in a browser: what `open_page` watches holds for each of these tests, too."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter

import pytest

from batchaudit.report.downloads import downloads
from tests.browser.looks import assert_fits, assert_readable, assert_whole

REAL = ["sick", "healthy", "advised", "live"]
ALL = [*REAL, "hostile", "500 epochs", "10,000 epochs"]


@pytest.mark.parametrize("name", ALL)
def test_all_parts_are_seen(saved, open_page, name):
    page = open_page(saved[name].url)
    assert page.title().startswith("batchaudit: ")
    assert page.locator("h1").is_visible()
    sections = page.locator("section").all()
    assert len(sections) >= 2 and all(one.is_visible() for one in sections)
    for closed in page.locator("details").all():
        closed.evaluate("one => one.open = true")
    pictures = page.locator("svg").all()
    assert pictures
    for picture in pictures:
        box = picture.bounding_box()
        assert box["width"] > 200 and box["height"] > 80
        assert picture.get_attribute("role") == "img" and picture.get_attribute("aria-label").strip()


def test_the_verdict_tells_a_sick_loader_from_a_healthy_one(saved, open_page):
    page = open_page(saved["sick"].url)
    assert (
        "fork:4" in page.locator("h1").inner_text() and "unsharded-replica" in page.locator("h1").inner_text()
    )
    assert page.locator("section h2").all_inner_texts()[:2] == ["ERROR fork:4", "OK serial"]
    page = open_page(saved["healthy"].url)
    assert page.locator("h1").inner_text() == "OK nothing wrong was found"
    assert page.locator("article").count() == 0


def test_what_is_folded_away_says_how_many_causes_were_ruled_out(saved, open_page):
    page = open_page(saved["healthy"].url)
    for number, run in enumerate(saved["healthy"].report.runs, 1):
        many = Counter(verdict.verdict for verdict in run.verdicts)
        said = page.locator(f"#run-{number} details.verdicts summary").inner_text()
        assert many["ruled out"] > 0
        assert said == (
            f"Verdicts on all causes: 0 found, {many['ruled out']} ruled out, "
            f"{many['not observable']} not observable"
        )


def test_code_has_the_width_of_a_narrow_window(saved, open_page):
    page = open_page(saved["advised"].url, width=400)
    code = page.locator("dl.short pre")
    assert code.count() > 0
    assert all(one.bounding_box()["width"] > 300 for one in code.all())


@pytest.mark.parametrize("name", [*REAL, "hostile", "500 epochs"])
def test_nothing_is_wider_than_the_window(saved, open_page, name):
    page = open_page(saved[name].url)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    for width in (1280, 900, 400):
        page.set_viewport_size({"width": width, "height": 900})
        assert_fits(page)
        assert_whole(page)


@pytest.mark.parametrize("name", REAL)
def test_every_link_leads_to_what_it_names(saved, open_page, name):
    page = open_page(saved[name].url)
    links = page.locator('a[href^="#"]').all()
    assert len(links) >= 3
    for link in links:
        link.click()
        place = link.get_attribute("href")
        assert page.evaluate("decodeURIComponent(location.hash)") == place
        target = page.locator(place)
        assert target.count() == 1 and target.is_visible()
        assert target.evaluate(
            "one => { const box = one.getBoundingClientRect(); return box.top >= 0 && box.top < innerHeight }"
        )


def test_a_link_to_a_finding_can_be_sent_to_somebody(saved, open_page):
    page = open_page(saved["sick"].url + "#finding-1-1")
    finding = page.locator("article:target")
    assert "unsharded-replica" in finding.inner_text()
    assert 0 <= finding.bounding_box()["y"] < 200
    assert finding.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    assert page.locator("article:not(:target)").count() == 0


@pytest.mark.parametrize("name", ["sick", "live", "hostile"])
def test_the_files_in_the_page_are_the_frames(saved, open_page, name):
    page = open_page(saved[name].url, accept_downloads=True)
    report = saved[name].report
    expected = [file.name for file in downloads(report)]
    links = page.locator("a[download]").all()
    assert [link.get_attribute("download") for link in links] == expected
    for link in links:
        with page.expect_download() as waiting:
            link.click()
        name = waiting.value.suggested_filename
        content = waiting.value.path().read_bytes().decode("utf-8")
        if name == "report.json":
            assert json.loads(content) == json.loads(report.to_json())
        else:
            assert content == getattr(report, name.removesuffix(".csv")).to_csv(index=False)


def test_without_scripts_it_is_the_same(saved, open_page):
    # The picture of the whole page: what differs is seen in it.
    with_scripts = open_page(saved["sick"].url)
    without = open_page(saved["sick"].url, java_script_enabled=False)
    assert without.screenshot(full_page=True) == with_scripts.screenshot(full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["sick", "live"])
def test_every_text_has_contrast(saved, open_page, name, scheme):
    page = open_page(saved[name].url, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert_readable(page, least=100)
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert ink == {"light": "rgb(0, 0, 0)", "dark": "rgb(255, 255, 255)"}[scheme]
    # A picture has no ground of its own, and writes in the page's ink.
    for picture in page.locator("figure svg").all():
        assert picture.evaluate("one => getComputedStyle(one).backgroundColor") == "rgba(0, 0, 0, 0)"
        assert ink in picture.evaluate(
            "one => [...one.querySelectorAll('text')].map(t => getComputedStyle(t).fill)"
        )


def test_where_the_reader_forces_colours_they_are_the_readers(saved, open_page):
    page = open_page(saved["sick"].url, forced_colors="active")
    assert page.evaluate("matchMedia('(forced-colors: active)').matches")
    assert_readable(page)
    theirs = page.evaluate("getComputedStyle(document.body).color")
    assert page.locator(".tag").first.evaluate("one => getComputedStyle(one).color") == theirs
    assert theirs in page.locator("svg text").evaluate_all(
        "all => all.map(one => getComputedStyle(one).fill)"
    )
    assert page.locator(".tag").first.evaluate("one => getComputedStyle(one).borderTopStyle") == "solid"


@pytest.mark.parametrize("name", ["sick", "live"])
def test_tab_reaches_all_that_can_be_followed_or_opened(saved, open_page, name):
    page = open_page(saved[name].url)
    expected = page.locator("a[href], summary").count()
    reached = []
    for _ in range(expected + 20):
        page.keyboard.press("Tab")
        one = page.evaluate(
            """() => {
              const it = document.activeElement, box = it.getBoundingClientRect(), style = getComputedStyle(it);
              const shown = box.top >= 0 && box.bottom <= innerHeight && style.outlineStyle !== "none";
              return [it.localName, shown];
            }"""
        )
        if one[0] == "body":
            break
        reached.append(one)
    followed = [one for one in reached if one[0] in ("a", "summary")]
    assert len(followed) == expected
    assert all(shown for _, shown in followed)
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.evaluate("one => one.open")


@pytest.mark.parametrize("name", ALL)
def test_a_screen_reader_can_walk_it(saved, open_page, name):
    page = open_page(saved[name].url)
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("main").count() == 1 and page.locator("nav[aria-label]").count() == 1
    levels = [int(tag[1]) for tag in page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(one => one.localName)"
    )]  # fmt: skip
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for table in page.locator("table").all():
        assert table.get_attribute("aria-label")
        assert table.locator("th:not([scope])").count() == 0
        assert table.locator("thead th[scope=col]").count() > 1
        assert table.locator("tbody tr").count() == table.locator("tbody th[scope=row]").count()
    assert page.locator("[id]").count() == page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map(one => one.id)).size"
    )
    assert page.locator("img:not([alt]), svg:not([role=img])").count() == 0


def test_a_print_holds_what_was_found_and_why_not(saved, open_page):
    page = open_page(saved["sick"].url, width=718)  # of A4 with margins of a centimetre
    pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))
    assert 1 < pages < 12
    page.emulate_media(media="print", color_scheme="dark")
    assert_fits(page)
    for table in page.locator("table").all():  # a print cannot be scrolled
        assert table.evaluate("one => one.scrollWidth <= one.parentElement.clientWidth")
    for code in page.locator("article pre").all():
        assert code.evaluate("one => one.scrollWidth <= one.clientWidth")
    reasons = page.locator("details.verdicts dd").all()
    assert len(reasons) > 20
    assert all(one.bounding_box() is not None for one in reasons)
    assert not page.locator("summary", has_text="ictures").first.is_visible()
    assert not page.locator("#data").is_visible()
    assert page.locator("article").is_visible() and page.locator("figure").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.locator(".tag").first.evaluate("one => getComputedStyle(one).color") == "rgb(0, 0, 0)"


def test_what_the_reader_opened_is_printed(saved, open_page):
    page = open_page(saved["sick"].url)
    folded = page.locator("details:not(.verdicts) svg").first
    page.emulate_media(media="print")
    assert not folded.is_visible()
    page.emulate_media(media="screen")
    page.locator("summary", has_text="ictures").first.click()
    page.emulate_media(media="print")
    assert folded.is_visible()
