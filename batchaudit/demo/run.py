"""`run_demo()`: plays the chapters one after the other and says what is seen."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from batchaudit.demo import requirements

if TYPE_CHECKING:
    from batchaudit.demo.model import Case, Chapter, Section
    from batchaudit.report.model import Report

EPOCHS = 3
IMAGES = 1024
_SEED = 7  # of the global streams, so that two runs of the demo draw alike

INTRO = (
    "batchaudit demo: what workers do to batches, on real pipelines over {count:,} images (handwritten",
    "digits, read from PNG files), {epochs} epochs of {steps} batches each. 'different' counts batches that",
    "are no copies of one another; 'coverage' is how much of the source's images an epoch held.",
)

NEXT = (
    "Now your own pipeline: batchaudit audit your_module:make_source --strategy fork:4",
    "(a source: a generator, a Keras Sequence or PyDataset, a tf.data.Dataset; batchaudit audit --help)",
)

Line = Callable[[str], None]
Progress = Callable[[str, int, int], None]


def run_demo(
    *,
    out: str | os.PathLike[str] | None = None,
    on_line: Line = print,
    on_progress: Progress | None = None,
    chapters: Sequence[Chapter] | None = None,
    images: int = IMAGES,
) -> list[Section]:
    """Plays the demo: real pipelines under real strategies, in about a minute.

    Args:
        out: a folder for the images and the logs; by default neither is kept.
        on_line: given each line of text, as soon as it is known.
        on_progress: told (what is driven, epoch, step) of every delivered batch.
        chapters: what to play; by default all.
        images: how many images; a multiple of the batch size.

    Returns:
        What came of each chapter.

    Raises:
        UsageError: a package that the demo needs is not installed; `out` cannot be written.
    """
    requirements.check()
    began = time.monotonic()
    with requirements.quiet_imports():
        from batchaudit.capture.restore import preserved_streams
        from batchaudit.demo import sections as played
        from batchaudit.demo.images import BATCH_SIZE, write_images
        from batchaudit.demo.table import section_lines

    steps = images // BATCH_SIZE
    for line in INTRO:
        on_line(line.format(count=images, epochs=EPOCHS, steps=steps))
    on_line("")
    found: list[Section] = []
    with _folder(out) as folder, preserved_streams(_SEED):
        pictures = write_images(folder / "images", images)
        for chapter in played.CHAPTERS if chapters is None else chapters:
            found.append(_play(chapter, pictures, steps, folder if out is not None else None, on_progress))
            for line in section_lines(found[-1]):
                on_line(line)
    for line in _summary(found, time.monotonic() - began):
        on_line(line)
    return found


def _play(
    chapter: Chapter, pictures: Path, steps: int, kept: Path | None, on_progress: Progress | None
) -> Section:
    from batchaudit.demo.figures import figures
    from batchaudit.demo.model import Section
    from batchaudit.report.combine import combine

    letter = chapter.title[:3]
    reports = []
    for number, case in enumerate(chapter.cases):
        name = f"{letter.strip('()')}{number + 1}"
        log = kept / "logs" / name if kept is not None else None
        reports.append((name, _audit(case, letter, pictures, steps, log, on_progress)))
    report = combine(reports)
    seen = chapter.tell(lambda source, strategy: figures(report, source, strategy))
    sources = tuple(case.source for case in chapter.cases)
    return Section(chapter.title, sources, report, chapter.claim, tuple(filter(None, seen)))


def _audit(
    case: Case, letter: str, pictures: Path, steps: int, log: Path | None, on_progress: Progress | None
) -> Report:
    from batchaudit.auditing import audit

    def tell(strategy: str, epoch: int, step: int) -> None:
        if on_progress is not None:
            on_progress(f"{letter} {case.source}, {strategy}", epoch, step)

    return audit(
        partial(case.make, pictures),
        list(case.strategies),
        epochs=EPOCHS,
        steps_per_epoch=steps if case.endless else None,
        key=case.key,
        name=case.source,
        out=log,
        probes=False,
        advise=False,  # the chapters are about what the strategies show, and the whole takes two minutes
        on_progress=tell,
    )


@contextmanager
def _folder(out: str | os.PathLike[str] | None) -> Iterator[Path]:
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory(prefix="batchaudit-demo-") as folder:
        yield Path(folder)


def _summary(sections: Sequence[Section], seconds: float) -> list[str]:
    """At most three lines of figures, and where to go next."""
    from batchaudit.demo.table import paragraph

    runs = [run for section in sections for run in section.report.runs]
    sick = [run for run in runs if run.findings]
    causes = Counter(finding.cause for run in runs for finding in run.findings)
    counted = ", ".join(f"{cause} in {count}" for cause, count in causes.most_common()) or "nothing"
    failed = sum(run.error is not None for run in runs)
    lines = paragraph(
        f"{len(runs)} runs in {seconds:.0f} s: {len(sick)} with findings, {len(runs) - len(sick)} without; "
        f"{failed} ended early."
    )
    return [*lines, *paragraph(f"Found: {counted}."), *NEXT]
