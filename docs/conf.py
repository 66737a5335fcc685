"""Sphinx: `python -m sphinx -W -b html docs OUT`, with the extra `docs` installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import batchaudit

project = "batchaudit"
author = "the batchaudit authors"
release = version = batchaudit.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"batchaudit {version}"

myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_use_ivar = True
# Docstrings put code in single backquotes, as Markdown does.
default_role = "code"
