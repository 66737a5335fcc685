"""A real browser, one a process; what each page asks for, says and shows is watched by every test.

The browser is the package's and not the session's: Playwright keeps an event loop running in this thread, in
which other people's tests could not start one of their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batchaudit.report.model import Report
from tests.browser import reports

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Saved:
    report: Report
    path: Path

    @property
    def url(self) -> str:
        return self.path.as_uri()


@pytest.fixture(scope="package")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Saved]:
    """All reports as pages, in a folder with a name that a URL must escape."""
    folder = tmp_path_factory.mktemp("pages with spaces & #")
    made = {
        "sick": reports.sick(),
        "healthy": reports.healthy(),
        "advised": reports.advised(),
        "live": reports.live(folder / "run"),
        "hostile": reports.hostile(),
        "500 epochs": reports.long(500),
        "10,000 epochs": reports.long(10_000),
    }
    pages = {name: Saved(report, folder / f"{name}.html") for name, report in made.items()}
    for page in pages.values():
        page.report.save(page.path)
    return pages


@pytest.fixture(scope="package")
def browser(saved: dict[str, Saved]) -> Iterator[Any]:
    # After the audits: they fork, and a process with a browser should not.
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.fail(
            "no browser for the tests of the HTML page: run .ci/chromium, or apt-get install chromium"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


_WATCH_POLICY = """
window.refused = [];
document.addEventListener("securitypolicyviolation", event => window.refused.push(event.blockedURI));
"""

Opener = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Opener]:
    """Opens an address: `open_page(url, width=1280, **options of the browser's context)`.

    Afterwards no page may have said, asked for or refused anything.
    """
    opened, said, asked = [], [], set()

    def open_it(url: str, width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        context.add_init_script(_WATCH_POLICY)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: asked.add(request.url.partition("#")[0]))
        page.goto(url)
        opened.append((page, url.partition("#")[0], options))
        return page

    yield open_it
    for page, _, options in opened:
        if options.get("java_script_enabled", True):
            assert page.evaluate("window.refused") == []
        page.context.close()
    assert said == []
    assert asked == {url for _, url, _ in opened}
