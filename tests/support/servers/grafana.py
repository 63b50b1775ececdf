"""``FakeGrafana``: folders, dashboards and alert rules as Grafana 11's HTTP API keeps them."""

from __future__ import annotations

import copy
import json
from typing import Any

from ._http import HttpServer
from ._steps import Reply, Request, whole
from .grafana_rules import AlertRules

_JSON = {"Content-Type": "application/json; charset=UTF-8"}


class FakeGrafana(HttpServer):
    """The server: ``folders`` by uid with their titles, ``dashboards`` by uid with what is stored, ``saved`` counts.

    Every save makes a new version, wanted or not; a title may be in the list of folders once; a dashboard that is
    there is replaced only with ``overwrite`` or with its version.
    """

    def __init__(self, *, token: str) -> None:
        super().__init__()
        self.folders: dict[str, str] = {}
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.saved = 0
        self.rules = AlertRules(self.folders)
        self.data_sources: set[str] | None = {"prometheus"}
        """The uids of the data sources, or `None` for a token that may not read them, as that of an Editor."""
        self.writes_allowed = True
        """False for a token with the role Viewer."""
        self._token = token

    async def respond(self, request: Request) -> Reply:
        """Answer."""
        status, body = self._told(request)
        return Reply([whole(status, json.dumps(body).encode(), _JSON)])

    def _told(self, request: Request) -> tuple[int, Any]:
        if request.headers.get("authorization") != f"Bearer {self._token}":
            return 401, {"message": "Invalid API key"}
        if request.method != "GET" and not self.writes_allowed:
            needed = "folders:create" if request.path == "/api/folders" else "alert.rules:write"
            return 403, {"message": f"You'll need additional permissions. Permissions needed: {needed}"}
        asked = (request.method, request.path)
        if asked == ("GET", "/api/folders"):
            return 200, [
                {"id": n, "uid": uid, "title": title} for n, (uid, title) in enumerate(self.folders.items(), 1)
            ]
        if asked == ("POST", "/api/folders"):
            return self._make_folder(json.loads(request.body))
        if asked == ("POST", "/api/dashboards/db"):
            return self._save(json.loads(request.body))
        if request.method == "GET" and request.path.startswith("/api/dashboards/uid/"):
            stored = self.dashboards.get(request.path.rpartition("/")[2])
            return (200, stored) if stored else (404, {"message": "Dashboard not found"})
        if request.method == "GET" and request.path.startswith("/api/datasources/uid/"):
            uid = request.path.rpartition("/")[2]
            if self.data_sources is None:
                return 403, {"message": "You'll need additional permissions. Permissions needed: datasources:read"}
            return (200, {"uid": uid}) if uid in self.data_sources else (404, {"message": "Data source not found"})
        return self.rules.told(request) or (404, {"message": "Not found"})

    def _make_folder(self, given: dict[str, Any]) -> tuple[int, Any]:
        if given["title"] in self.folders.values() or given.get("uid") in self.folders:
            return 409, {"message": "a folder with the same name already exists in the current location"}
        self.folders[given["uid"]] = given["title"]
        return 200, {"id": len(self.folders), **given}

    def _save(self, given: dict[str, Any]) -> tuple[int, Any]:
        dashboard = copy.deepcopy(given["dashboard"])
        if given.get("folderUid") not in self.folders:
            return 400, {"message": "folder not found"}
        there = self.dashboards.get(dashboard["uid"])
        version = there["dashboard"]["version"] if there else 0
        if there and not given.get("overwrite") and dashboard.get("version") != version:
            return 412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}
        dashboard |= {"id": there["dashboard"]["id"] if there else len(self.dashboards) + 1, "version": version + 1}
        self.dashboards[dashboard["uid"]] = {"dashboard": dashboard, "meta": {"folderUid": given["folderUid"]}}
        self.saved += 1
        return 200, {"status": "success", "uid": dashboard["uid"], "version": version + 1}
