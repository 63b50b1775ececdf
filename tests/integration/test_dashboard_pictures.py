"""The committed pictures of the dashboards, and the layout of each as it was drawn."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
BOARDS = ("overview", "cost", "reliability", "calls", "health")
MOST_BYTES = 260_000
pytestmark = pytest.mark.once


def drawn(board: str) -> list[dict[str, Any]]:
    """The panels of a picture."""
    found: list[dict[str, Any]] = json.loads((PICTURES / f"grafana-{board}.json").read_text(encoding="utf-8"))
    return found


def size(board: str) -> tuple[int, int]:
    """Width and height of a picture in pixels."""
    data = (PICTURES / f"grafana-{board}.webp").read_bytes()
    assert data[:4] + data[8:16] == b"RIFFWEBPVP8X"
    return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1


@pytest.mark.parametrize("board", BOARDS)
def test_a_picture_shows_every_panel_of_the_dashboard_in_its_place(board: str) -> None:
    text = files("monitored_openai").joinpath("dashboards", f"monitored-openai-{board}.json").read_text("utf-8")
    panels = [panel for panel in json.loads(text)["panels"] if panel["type"] != "row"]
    titles = [re.sub(r"\$attribute", "feature", panel["title"]) for panel in panels]
    assert [(panel["title"], panel["type"]) for panel in drawn(board)] == [
        (title, panel["type"]) for title, panel in zip(titles, panels, strict=True)
    ]
    width, height = size(board)
    column = (width - 32 + 8) / 24
    for panel, there in zip(panels, drawn(board), strict=True):
        left, top, across, down = there["box"]
        assert (left, across) == pytest.approx(
            (16 + panel["gridPos"]["x"] * column, panel["gridPos"]["w"] * column - 8), abs=2
        )
        assert top + down <= height


@pytest.mark.parametrize("board", BOARDS)
def test_no_panel_of_a_picture_is_empty(board: str) -> None:
    for panel in drawn(board):
        marks = panel["colored"] if panel["type"] == "timeseries" else panel["cells"]
        if panel["type"] in ("timeseries", "heatmap", "table"):
            assert marks > 1, panel["title"]
        assert panel["text"], panel["title"]
        assert not re.search("no data", panel["text"], re.IGNORECASE), panel["title"]


@pytest.mark.parametrize("board", BOARDS)
def test_no_panels_overlap_and_no_text_leaves_its_panel(board: str) -> None:
    panels = drawn(board)
    for one, other in combinations(panels, 2):
        (x, y, w, h), (left, top, across, down) = one["box"], other["box"]
        apart = x + w <= left or left + across <= x or y + h <= top or top + down <= y
        assert apart, (one["title"], other["title"])
    assert {panel["title"]: panel["outside"] for panel in panels if panel["outside"]} == {}


@pytest.mark.parametrize("board", BOARDS)
def test_a_picture_is_small_and_stands_in_the_docs(board: str) -> None:
    file = PICTURES / f"grafana-{board}.webp"
    assert file.stat().st_size <= MOST_BYTES
    assert f"(pictures/{file.name})" in (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
