"""Makes the pictures of the README and the documentation out of real audits.

`python docs/pictures/make.py [NAME ...]` writes `NAME.png` beside this file; without a name, all of
them. Requires the extra `demo`; `page` also Playwright and a Chromium.
"""

import importlib
import io
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

import loaders
import matplotlib
import matplotlib.pyplot as plt
from PIL import Image

import batchaudit as ba

HERE = Path(__file__).resolve().parent
MOST_BYTES = 150_000
MOST_HEIGHT, GAP = 3.2, 24  # inches of one of two, dots between them
STRATEGY = "fork:4"
REPLICAS = (loaders.a_generator, STRATEGY), (loaders.Digits, STRATEGY)
CLONES = (loaders.Noise, STRATEGY), (loaders.Noise, f"{STRATEGY},seed=fresh")
SICK, HEALTHY = "#B34000", "#00674B"  # vermillion and green, dark enough for text on white
INK = {
    "text.color": "#222222",
    "axes.labelcolor": "#222222",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}


@cache
def audited(source, *strategies, advise=False):
    """The report of one loader."""
    return ba.audit(source, strategies, epochs=3, steps_per_epoch=loaders.BATCHES, advise=advise)


def verdict(report, short=False):
    """What was found in a report's first run, in words for a picture, and their colour."""
    run = report.runs[0]
    epoch = report.epochs_of(run).iloc[0]
    many = f"{int(epoch['unique'])} of {int(epoch['delivered'])} batches are different in each epoch"
    found = ", ".join(finding.cause for finding in run.findings)
    if short:
        many = f"{int(epoch['unique'])} of {int(epoch['delivered'])}"
    return (f"✗ {many}: {found}", SICK) if found else (f"✓ {many}: nothing wrong was found", HEALTHY)


def drawn(figure):
    """A figure as a picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, facecolor="white")
    plt.close(figure)
    return Image.open(buffer).convert("RGB")


def beside(kind, sick, healthy, across=False):
    """One kind of plot for a sick loader and for the repaired one: (loader, strategy) of each."""
    parts = []
    for source, strategy in (sick, healthy):
        report = audited(source, strategy)
        words, colour = verdict(report, short=across)
        figure = report.plot(kind).figure
        figure.set_figheight(figure.get_figheight() + 0.4 if across else MOST_HEIGHT)
        figure.suptitle(words, x=0.01, ha="left", color=colour, fontweight="bold", fontsize=12)
        parts.append(drawn(figure))
    widths, heights = zip(*(part.size for part in parts), strict=True)
    size = (sum(widths), max(heights)) if across else (max(widths), sum(heights) + GAP)
    whole = Image.new("RGB", size, "white")
    whole.paste(parts[0], (0, 0))
    whole.paste(parts[1], (widths[0], 0) if across else (0, heights[0] + GAP))
    return whole


def report_png():
    """For the README: what a generator becomes under four worker processes, and the repair."""
    return beside("lanes", *REPLICAS)


def unique_png():
    """How many batches of each epoch were different."""
    strategies = ("serial", "threads:4", STRATEGY)
    return drawn(audited(loaders.a_generator, *strategies).plot("unique").figure)


def overlap_png():
    """Which batches two workers have in common."""
    return beside("overlap", *REPLICAS, across=True)


def coverage_png():
    """How often each sample was seen."""
    return beside("coverage", *REPLICAS)


def streams_png():
    """The random states that batches were made from."""
    return beside("streams", *CLONES)


def tutorial_png():
    """What the tutorial's loader shows, in its own words."""
    page = (HERE.parent / "tutorial.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tutorial_loaders.py"
        path.write_text(page.partition("```python\n")[2].partition("```")[0], encoding="utf-8")
        sys.path.insert(0, folder)
        make_loader = importlib.import_module("tutorial_loaders").make_loader
        report = ba.audit(make_loader, advise=False)
        sys.path.remove(folder)
    return drawn(report.plot("streams").figure)


def timing_png():
    """How long a batch takes to make and to wait for."""
    report = audited(loaders.Digits, "serial", "threads:4", STRATEGY, advise=None)
    return drawn(report.plot("timing").figure)


def page_png():
    """The top of the page that `Report.save` writes, as a browser shows it."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        audited(loaders.a_generator, "serial", STRATEGY).save(Path(folder) / "report.html")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 980, "height": 1250})
        tab.goto((Path(folder) / "report.html").as_uri())
        picture = Image.open(io.BytesIO(tab.screenshot()))
        browser.close()
    return picture


PICTURES = {
    "report": report_png,
    "unique": unique_png,
    "overlap": overlap_png,
    "coverage": coverage_png,
    "streams": streams_png,
    "timing": timing_png,
    "tutorial": tutorial_png,
    "page": page_png,
}


def main(*names):
    """Makes some of the pictures, or all."""
    matplotlib.use("agg")
    plt.rcParams.update(INK)
    for name in names or PICTURES:
        path = HERE / f"{name}.png"
        picture = PICTURES[name]().convert("RGB")
        picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
        size = path.stat().st_size
        print(f"{path.name}: {picture.width} x {picture.height}, {size:,} bytes")
        if size > MOST_BYTES:
            raise SystemExit(f"{path.name} is larger than {MOST_BYTES:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
