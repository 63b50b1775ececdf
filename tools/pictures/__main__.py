"""Draw the dashboards into docs/pictures, with a layout of each beside it for the tests.

A real Prometheus answers its queries, and the tests' evaluator of LogQL those to Loki. @grafana/ui draws the panels in a
real Chromium. First run `scripts/install-chromium`, `scripts/install-prometheus` and, in tools/pictures/page, `npm ci`. Then:

    .venv/bin/python -m tools.pictures [FOLDER]
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from tests.support.chromium import Chromium, program
from tests.support.servers.prometheus import Prometheus, require_prometheus
from tools.pictures import day
from tools.pictures.answers import CHOSEN, BackEnds

PAGE = Path(__file__).parent / "page"
FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
WIDTH = 1280
UNITS = {"h": 3600, "d": 86400}


def main(folder: Path) -> int:
    """Draw all; return the exit status."""
    chromium = program()
    if chromium is None or not (PAGE / "node_modules").is_dir():
        sys.stderr.write("run scripts/install-chromium, and npm ci in tools/pictures/page\n")
        return 1
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        subprocess.run(["node", "build.mjs", str(place / "page.js")], cwd=PAGE, check=True)  # noqa: S603, S607 - node is on PATH
        now = time.time()
        made = day.calls(now - day.SECONDS)
        with Prometheus(require_prometheus(), place / "prometheus") as prometheus, Chromium(chromium) as browser:
            day.push(made, now - day.SECONDS, prometheus.write_url)
            back_ends = BackEnds(prometheus=prometheus.url, entries=day.entries(made), now=now)
            for file in files("monitored_openai").joinpath("dashboards").iterdir():
                board = json.loads(file.read_text(encoding="utf-8"))
                draw(browser, board, back_ends, place, folder / board["uid"].replace("monitored-openai", "grafana"))
    return 0


def draw(browser: Chromium, board: dict[str, Any], back_ends: BackEnds, place: Path, to: Path) -> None:
    """Write the picture of a dashboard and its layout."""
    since = board["time"]["from"].removeprefix("now-")
    seconds = int(since[:-1]) * UNITS[since[-1]]
    answers = {panel["id"]: back_ends.answers(panel, seconds) for panel in board["panels"] if panel["type"] != "row"}
    values = {**CHOSEN, **dict.fromkeys(("environment", "service", "model", "error"), "All"), "metrics": "Prometheus"}
    drawn = {"board": board, "answers": answers, "values": values | {"logs": "Loki", "traces": "Tempo"}, "width": WIDTH}
    drawn["seconds"] = [back_ends.now - seconds, back_ends.now]
    page = place / f"{board['uid']}.html"
    text = json.dumps(drawn).replace("<", "\\u003c")
    sheets = (PAGE / "node_modules" / "uplot" / "dist" / "uPlot.min.css", PAGE / "page.css")
    css = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    page.write_text(
        f'<!doctype html><meta charset="utf-8"><style>{css}</style><body><script>window.DRAWN = {text}</script>'
        '<script src="page.js"></script>',
        encoding="utf-8",
    )
    with browser.tab(page.as_uri(), width=WIDTH, height=900) as tab:
        tab.wait_for("document.querySelectorAll('.panel').length > 0")
        tab.resize(WIDTH, tab.ask("Math.ceil(document.querySelector('main').getBoundingClientRect().bottom + 16)"))
        tab.ask("new Promise(done => setTimeout(done, 1500))")
        layout = tab.ask((PAGE / "layout.js").read_text(encoding="utf-8"))
        taken = tab.send("Page.captureScreenshot", {"format": "webp", "quality": 80})
        to.with_suffix(".webp").write_bytes(base64.b64decode(taken["data"]))
        to.with_suffix(".json").write_text(json.dumps(layout, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for complaint in tab.complaints():
            sys.stderr.write(f"{board['uid']}: {complaint[:400]}\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
