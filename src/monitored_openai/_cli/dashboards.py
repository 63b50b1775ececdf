"""`monitored-openai dashboards`: write the package's dashboards to files or push them to Grafana."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from monitored_openai._cli.export import write
from monitored_openai._cli.query.http_api import HttpApi, authorization, check_url

_SOURCE = files("monitored_openai").joinpath("dashboards")
NAMES = sorted(file.name for file in _SOURCE.iterdir() if file.name.endswith(".json"))
Outcome = Literal["created", "updated", "unchanged"]


def texts() -> dict[str, str]:
    """Return each dashboard's JSON by its file name."""
    return {name: _SOURCE.joinpath(name).read_text(encoding="utf-8") for name in NAMES}


def export(folder: Path) -> Iterator[Path]:
    """Write the files; yield their paths."""
    return write(folder, texts())


def push(url: str, token: str, folder: str) -> Iterator[tuple[str, Outcome]]:
    """Create or update the dashboards in Grafana; yield the title and the outcome of each.

    Raises:
        UserError: Grafana refuses, or the server is not Grafana.
    """
    with HttpApi(check_url(url), authorization(None, token)) as grafana, grafana.expecting("Grafana"):
        uid = _folder(grafana, folder)
        for text in texts().values():
            dashboard = json.loads(text)
            yield dashboard["title"], _put(grafana, dashboard, uid)


def _folder(grafana: HttpApi, title: str) -> str:
    """Return the uid of the folder; create the folder if it is missing."""
    for folder in grafana.get("/api/folders") or ():
        if folder["title"] == title:
            return str(folder["uid"])
    created = grafana.post_json(
        "/api/folders", {"title": title, "uid": f"monitored-openai-{crc32(title.encode()):08x}"}
    )
    return str(created["uid"])


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
