"""Sphinx: `python -m sphinx -W -b html docs OUT`, with the extra `docs` installed."""

import doctest
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import batchaudit

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parent / "notebooks"

project = "batchaudit"
author = "the batchaudit authors"
release = version = batchaudit.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.doctest", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"batchaudit {version}"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# The notebooks are committed with their outputs; CI runs them by themselves.
nb_execution_mode = "off"
nb_merge_streams = True

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_use_ivar = True
# Docstrings put code in single backquotes, as Markdown does.
default_role = "code"

# `-b doctest` runs what is {testcode}; tests/test_guides.py follows the guides, block by block.
doctest_default_flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# `-b linkcheck` needs the internet; -W and tests/test_links.py check links to files and headings without it.
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_ignore = [r"https?://(localhost|127\.0\.0\.1)"]
# Line numbers in GitHub's pages, and what is there only with JavaScript.
linkcheck_anchors_ignore = [r"L\d+(-L\d+)?", r"issuecomment-\d+", r"discussion_r\d+"]


def copy_notebooks(app, config):
    """Brings the notebooks into the source folder, out of which Sphinx takes nothing.

    Their links are right where they are committed; in here the documentation is beside them.
    """
    target = HERE / "notebooks"
    target.mkdir(exist_ok=True)
    wanted = {path.name: path for path in NOTEBOOKS.glob("*.ipynb")}
    for path in target.glob("*.ipynb"):
        if path.name not in wanted:
            path.unlink()
    for name, path in wanted.items():
        text = re.sub(r"\]\(\.\./docs/", "](../", path.read_text(encoding="utf-8"))
        copy = target / name
        if not copy.exists() or copy.read_text(encoding="utf-8") != text:
            copy.write_text(text, encoding="utf-8")


def setup(app):
    """Called by Sphinx."""
    app.connect("config-inited", copy_notebooks)
