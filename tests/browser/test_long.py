"""A training of 10,000 epochs under two strategies."""

from __future__ import annotations

from tests.browser.looks import wait_until

# A browser lays out some ten thousand elements at once; the 220,000 cells of these epochs would be too many.
_MOST_ELEMENTS = 10_000


def test_ten_thousand_epochs_stay_usable(saved, open_page):
    page = open_page(saved["10,000 epochs"].url)
    assert page.locator("*").count() < _MOST_ELEMENTS
    page.keyboard.press("End")
    wait_until(page, "Math.abs(scrollY + innerHeight - document.documentElement.scrollHeight) < 2")
    rows = page.locator("table").first.locator("tbody tr")
    assert rows.count() == 11
    assert "9,999" in rows.last.inner_text()


def test_every_one_of_ten_thousand_epochs_can_be_read(saved, open_page):
    page = open_page(saved["10,000 epochs"].url)
    page.locator("summary", has_text="All 10,000 epochs").first.click()
    rows = page.locator("pre.rows").first
    assert rows.is_visible()
    lines = rows.inner_text().splitlines()
    assert lines[0].split() == ["epoch", "delivered", "unique", "ratio", "new", "samples", "coverage", "seed",
                                "divergence", "workers", "produced"]  # fmt: skip
    assert [line.split()[0] for line in lines[1:]] == [f"{number:,}" for number in range(10_000)]
    assert len({len(line) for line in lines}) == 1
    rows.focus()
    page.keyboard.press("End")
    box = "document.querySelector('pre.rows')"
    wait_until(page, f"{box}.scrollTop + {box}.clientHeight > {box}.scrollHeight - 2")


def test_searching_finds_an_epoch_that_is_folded_away(saved, open_page):
    page = open_page(saved["10,000 epochs"].url + "#:~:text=7%2C654")
    wait_until(page, "document.querySelector('details').open && scrollY > 0")


def test_five_hundred_epochs_are_a_table(saved, open_page):
    page = open_page(saved["500 epochs"].url)
    page.locator("summary", has_text="All 500 epochs").first.click()
    table = page.get_by_role("table", name="all epochs of fork:4").or_(
        page.get_by_role("table", name="all epochs of serial")
    )
    assert table.first.locator("tbody tr").count() == 500
    assert table.first.locator("tbody tr").last.is_visible()
