"""Settings of Sphinx, which builds these pages with warnings as errors (`make docs`)."""

from __future__ import annotations

from importlib.metadata import version as installed

project = "monitored-openai"
author = "the monitored-openai authors"
copyright = author
release = version = installed(project)

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
nitpicky = True
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"{project} {release}"
