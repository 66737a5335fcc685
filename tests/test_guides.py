"""The tutorial and the guides, followed block by block, as `tests.guides` says."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import batchaudit
from tests import guides

DOCS = guides.ROOT / "docs"
PAGES = [guides.ROOT / "README.md", DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]
WHAT_A_READER_HAS = (
    "accelerate",
    "datasets",
    "grain",
    "keras",
    "lightning",
    "sklearn",
    "tensorflow",
    "tf_keras",
    "torch",
    "webdataset",
)


def follow(page, folder):
    package = Path(batchaudit.__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-m", "tests.guides", str(page)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (package, guides.ROOT)))},
        capture_output=True,
        text=True,
        timeout=570,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_guide_can_be_followed_as_it_stands(page, tmp_path):
    missing = [name for name in WHAT_A_READER_HAS if find_spec(name) is None]
    if missing:
        pytest.skip(f"the guides need {', '.join(missing)}")
    done = follow(page, tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_a_page_that_says_what_is_not_so_is_told(tmp_path):
    page = tmp_path / "page.md"
    right = "# A page\n\n```python\nprint(1 + 1)\n'three'\n```\n\n```text\n2\n...ee\n```\n"
    page.write_text(right)
    assert follow(page, tmp_path).returncode == 0
    (tmp_path / "again").mkdir()
    page.write_text(right.replace("2\n", "3\n"))
    done = follow(page, tmp_path / "again")
    assert done.returncode == 1 and "page.md:8: expected" in done.stdout


def test_what_a_page_says_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: it is long -->\n\n```bash\nsleep 9\n```\n\n```python\n# a/file.py\nx = 1\n```\n"
    )
    assert [(one.language, one.run) for one in guides.blocks(page)] == [("bash", False), ("python", True)]
