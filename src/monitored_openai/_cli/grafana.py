"""Functions of Grafana's API that dashboards and rules share: folders, and the outcome of a push."""

from __future__ import annotations

from typing import Literal
from zlib import crc32

from monitored_openai._cli.query.http_api import HttpApi

Outcome = Literal["created", "updated", "unchanged", "deleted"]


def find_or_create_folder(grafana: HttpApi, title: str) -> str:
    """Return the uid of the folder; create the folder if it is missing."""
    for folder in grafana.get("/api/folders") or ():
        if folder["title"] == title:
            return str(folder["uid"])
    created = grafana.post_json(
        "/api/folders", {"title": title, "uid": f"monitored-openai-{crc32(title.encode()):08x}"}
    )
    return str(created["uid"])
