"""`monitored-openai dashboards`: write the package's dashboards to files or push them to Grafana."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from monitored_openai._cli.export import write
from monitored_openai._cli.grafana import Outcome, find_or_create_folder
from monitored_openai._cli.query import promql
from monitored_openai._cli.query.http_api import HttpApi

_SOURCE = files("monitored_openai").joinpath("dashboards")
NAMES = sorted(file.name for file in _SOURCE.iterdir() if file.name.endswith(".json"))


_NAME = re.compile(rf"^monitored-openai$|\b(?:{'|'.join(name.removesuffix('.json') for name in NAMES)})\b")
"""Matches the uids of the dashboards, and their common tag."""
SCRAPED = "-scraped"
"""The end of the uids, tags and file names of the dashboards for scraped series."""


def texts(*, scraped: bool = False) -> dict[str, str]:
    """Return each dashboard's JSON by its file name; for `scraped` series, totals are estimates."""
    pushed = {name: _SOURCE.joinpath(name).read_text(encoding="utf-8") for name in NAMES}
    if not scraped:
        return pushed
    return {name.replace(".json", f"{SCRAPED}.json"): _for_scraped_series(text) for name, text in pushed.items()}


def _for_scraped_series(text: str) -> str:
    """Return a dashboard with estimated totals and with names of its own, so that both forms fit into one Grafana."""
    board = _converted(json.loads(text))
    board["title"] += " (scraped)"
    return json.dumps(board, indent=2, ensure_ascii=False) + "\n"


def _converted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _converted(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_converted(part) for part in value]
    if not isinstance(value, str):
        return value
    renamed = _NAME.sub(rf"\g<0>{SCRAPED}", value)
    return promql.for_scraped_series(renamed).replace("exact to one push", "estimated")


def export(folder: Path, *, scraped: bool) -> Iterator[Path]:
    """Write the files; yield their paths."""
    return write(folder, texts(scraped=scraped))


def push(grafana: HttpApi, folder: str, *, scraped: bool) -> Iterator[tuple[str, Outcome]]:
    """Create or update the dashboards in Grafana; yield the title and the outcome of each.

    Raises:
        UserError: Grafana refuses, or the server is not Grafana.
    """
    with grafana.expecting("Grafana"):
        uid = find_or_create_folder(grafana, folder)
        for text in texts(scraped=scraped).values():
            dashboard = json.loads(text)
            yield dashboard["title"], _put(grafana, dashboard, uid)


def _put(grafana: HttpApi, dashboard: Mapping[str, Any], folder: str) -> Outcome:
    stored = grafana.get(f"/api/dashboards/uid/{dashboard['uid']}")
    if stored is not None:
        same = _content(stored["dashboard"]) == _content(dashboard)
        if same and stored.get("meta", {}).get("folderUid") == folder:
            return "unchanged"
    request = {"dashboard": {**dashboard, "id": None}, "folderUid": folder, "overwrite": True}
    grafana.post_json("/api/dashboards/db", {**request, "message": "monitored-openai dashboards push"})
    return "created" if stored is None else "updated"


def _content(dashboard: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dashboard without the fields that Grafana numbers itself."""
    return {name: value for name, value in dashboard.items() if name not in ("id", "version")}
