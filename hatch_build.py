"""The build's metadata hook: derives every address of the project from the repository's, for the wheel and for PyPI."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(?P<before>(?P<picture>!?)\[[^\]]*\]\()(?P<path>(?![a-z]+:|#)[^)\s]+)(?=\))")


class AddressHook(MetadataHookInterface):
    """Sets `urls` and `readme`, so that the repository's address is in one place only."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add both fields; the links lead to the files at the tag of this version."""
        repository, tag = self.config["repository"], f"v{metadata['version']}"
        metadata["urls"] = {
            "Repository": repository,
            "Documentation": f"{repository}/blob/{tag}/docs/index.md",
            "Changelog": f"{repository}/blob/{tag}/CHANGELOG.md",
            "Issues": f"{repository}/issues",
        }
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": with_absolute_links(text, repository, tag)}


def with_absolute_links(markdown: str, repository: str, tag: str) -> str:
    """Return the text with relative links to pages and pictures made absolute, because PyPI hosts neither."""

    def absolute(link: re.Match[str]) -> str:
        return f"{link['before']}{repository}/{'raw' if link['picture'] else 'blob'}/{tag}/{link['path']}"

    return _LINK.sub(absolute, markdown)
