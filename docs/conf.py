"""Settings of Sphinx, which builds these pages with warnings as errors (`make docs`), without a network."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "monitored-openai"
author = "the monitored-openai authors"
copyright = author
release = version = installed(project)

extensions = ["myst_parser", "sphinx.ext.autodoc", "api_links"]
exclude_patterns = ["_build"]
nitpicky = True
default_role = "code"  # single backticks, as in the docstrings
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
html_theme = "furo"
html_title = f"{project} {release}"
