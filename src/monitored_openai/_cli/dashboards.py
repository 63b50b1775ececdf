"""The dashboards of the package: into a folder, or into a Grafana."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.export import write
from monitored_openai._cli.query.http_api import Backend, authorization, checked

_SOURCE = files("monitored_openai").joinpath("dashboards")
NAMES = sorted(file.name for file in _SOURCE.iterdir() if file.name.endswith(".json"))
Outcome = Literal["created", "updated", "unchanged"]


def texts() -> dict[str, str]:
    """Each dashboard's JSON by the name of its file."""
    return {name: _SOURCE.joinpath(name).read_text(encoding="utf-8") for name in NAMES}


def export(folder: Path) -> Iterator[Path]:
    """Write the files; their paths."""
    return write(folder, texts())


def push(url: str, token: str, folder: str) -> Iterator[tuple[str, Outcome]]:
    """Bring a Grafana up to date; the title of each dashboard, and what became of it.

    Raises:
        Mistake: it refuses, or is none.
    """
    with Backend(checked(url), authorization(None, token)) as grafana:
        try:
            uid = _folder(grafana, folder)
            for text in texts().values():
                dashboard = json.loads(text)
                yield dashboard["title"], _put(grafana, dashboard, uid)
        except (AttributeError, KeyError, TypeError) as error:
            raise UserError(f"{grafana.url} answers, but not as Grafana does: is the address right?") from error


def _folder(grafana: Backend, title: str) -> str:
    """The uid of the folder, which is made if it is not there."""
    there = grafana.get("/api/folders") or ()
    for one in there:
        if one["title"] == title:
            return str(one["uid"])
    made = grafana.post("/api/folders", {"title": title, "uid": f"monitored-openai-{crc32(title.encode()):08x}"})
    return str(made["uid"])


def _put(grafana: Backend, dashboard: Mapping[str, Any], folder: str) -> Outcome:
    there = grafana.get(f"/api/dashboards/uid/{dashboard['uid']}")
    if there is not None:
        same = _content(there["dashboard"]) == _content(dashboard)
        if same and there.get("meta", {}).get("folderUid") == folder:
            return "unchanged"
    sent = {"dashboard": {**dashboard, "id": None}, "folderUid": folder, "overwrite": True}
    grafana.post("/api/dashboards/db", {**sent, "message": "monitored-openai dashboards push"})
    return "created" if there is None else "updated"


def _content(dashboard: Mapping[str, Any]) -> dict[str, Any]:
    """What Grafana does not number itself."""
    return {name: value for name, value in dashboard.items() if name not in ("id", "version")}
