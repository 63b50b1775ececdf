"""The alerting part of ``FakeGrafana``: the provisioning API of alert rules, with the refusals of Grafana 11.0 to 11.5.1."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ._steps import Request

_RULES = "/api/v1/provisioning/alert-rules"
_GROUP = re.compile(r"/api/v1/provisioning/folder/([^/]+)/rule-groups/([^/]+)")
_UID = re.compile(r"[a-zA-Z0-9_-]{1,40}")
_DURATION = re.compile(r"(?:[0-9]+[smhdw])+")
_STATES = {"noDataState": {"OK", "NoData", "Alerting"}, "execErrState": {"OK", "Error", "Alerting"}}
_BASE_SECONDS = 10
"""Each interval is a multiple of the scheduler's."""

Told = tuple[int, Any]


class AlertRules:
    """``stored`` rules by uid; ``writes`` counts requests that changed something."""

    def __init__(self, folders: Mapping[str, str]) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.intervals: dict[tuple[str, str], int] = {}
        self.writes = 0
        self._folders = folders

    def told(self, request: Request) -> Told | None:
        """The reply; ``None`` if the request is not about alert rules."""
        provenance = "" if "x-disable-provenance" in request.headers else "api"
        if group := _GROUP.fullmatch(request.path):
            return self._group(request, group[1], group[2], provenance)
        if not request.path.startswith(_RULES):
            return None
        uid = request.path.removeprefix(_RULES).lstrip("/")
        there = self.stored.get(uid)
        if request.method == "POST" and not uid:
            return self._create(json.loads(request.body), provenance)
        if there is None:
            return 404, {"message": "Not found"}
        if request.method == "GET":
            return 200, there
        if there["provenance"] not in ("", provenance):
            return 403, {"message": f"cannot change provenance from '{there['provenance']}' to '{provenance}'"}
        self.writes += 1
        if request.method == "DELETE":
            del self.stored[uid]
            return 204, None
        given = {**json.loads(request.body), "uid": uid}
        return self._refused(given, old=uid) or self._keep(given, 200, provenance)

    def _create(self, given: dict[str, Any], provenance: str) -> Told:
        if given.get("uid") in self.stored:
            return 409, {"message": "a rule with this uid exists"}
        return self._refused(given) or self._keep(given, 201, provenance)

    def _keep(self, given: dict[str, Any], status: int, provenance: str) -> Told:
        """Store a rule with Grafana's own fields: an id, defaults of the queries, the duration in its own form."""
        data = [
            {"queryType": "", **one, "model": {"intervalMs": 1000, "maxDataPoints": 43200, **one["model"]}}
            for one in given["data"]
        ]
        pending = "0s" if given["for"] == "0m" else given["for"]
        stored = {"id": len(self.stored) + 1, "orgID": 1, **given, "data": data, "for": pending}
        self.stored[given["uid"]] = {**stored, "provenance": provenance, "isPaused": False}
        self.intervals.setdefault((given["folderUID"], given["ruleGroup"]), 60)
        self.writes += status == 201
        return status, self.stored[given["uid"]]

    def _refused(self, given: dict[str, Any], old: str = "") -> Told | None:
        wrong = next(self._faults(given), None)
        if wrong is not None:
            return 400, {"message": f"invalid alert rule: {wrong}"}
        same = [
            uid
            for uid, rule in self.stored.items()
            if (rule["folderUID"], rule["title"]) == (given["folderUID"], given["title"]) and uid != old
        ]
        if same:
            return 409, {"message": "rule title under the same organisation and folder should be unique"}
        return None

    def _faults(self, given: dict[str, Any]) -> Any:
        if not 0 < len(given.get("title", "")) <= 190:
            yield "title is empty or too long"
        if not 0 < len(given.get("ruleGroup", "")) <= 190:
            yield "rule group is empty or too long"
        if given.get("folderUID") not in self._folders:
            yield "folder does not exist"
        if not _UID.fullmatch(given.get("uid", "")):
            yield "uid is not valid"
        letters = [one["refId"] for one in given.get("data", [])]
        if not letters or given.get("condition") not in letters or len(set(letters)) < len(letters):
            yield "condition is not the refId of a query"
        for one in given.get("data", []):
            if (
                not one.get("datasourceUid")
                or not one["relativeTimeRange"]["from"] > one["relativeTimeRange"]["to"] >= 0
            ):
                yield "a query has no data source or no time range"
        if not _DURATION.fullmatch(given.get("for", "")):
            yield "for is not a duration"
        for name, states in _STATES.items():
            if given.get(name) not in states:
                yield f"{name} is not valid"
        texts = {**given.get("labels", {}), **given.get("annotations", {})}
        if not all(isinstance(text, str) for text in texts.values()):
            yield "a label or annotation is not a text"
        if ("__dashboardUid__" in texts) != ("__panelId__" in texts) or not texts.get("__panelId__", "0").isdecimal():
            yield "both __dashboardUid__ and __panelId__ must be set"

    def _group(self, request: Request, folder: str, name: str, provenance: str) -> Told:
        rules = [rule for rule in self.stored.values() if (rule["folderUID"], rule["ruleGroup"]) == (folder, name)]
        if request.method == "GET":
            if not rules:
                return 404, {"message": "rule group not found"}
            return 200, {"title": name, "folderUid": folder, "interval": self.intervals[folder, name], "rules": rules}
        given = json.loads(request.body)
        if given["interval"] % _BASE_SECONDS or not given["interval"]:
            return 400, {"message": "interval should be a multiple of 10 seconds"}
        if any(rule["uid"] not in self.stored for rule in given.get("rules", [])):
            return 500, {"message": "Internal Server Error"}  # before 11.5.2
        if "rules" in given:
            for gone in {rule["uid"] for rule in rules} - {rule["uid"] for rule in given["rules"]}:
                del self.stored[gone]
            for rule in given["rules"]:
                self._keep({**self.stored[rule["uid"]], **rule}, 200, provenance)
        self.intervals[folder, name] = given["interval"]
        self.writes += 1
        return 200, given
