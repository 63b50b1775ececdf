"""``FakeRuler``: the configuration API of a ruler, as Mimir has it, with its tenants and its checks of rules."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from ._http import HttpServer
from ._steps import Reply, Request, whole
from .prometheus import require_prometheus

_PREFIX = "/prometheus/config/v1/rules/"
_EXCEEDED = "per-user {} limit (limit: {} actual: {}) exceeded, contact your service administrator to raise it"
_YAML = {"Content-Type": "application/yaml"}


class FakeRuler(HttpServer):
    """``namespaces``: the groups by namespace and name; ``writes`` counts accepted changes.

    promtool checks each group, so an expression that Mimir refuses is refused.
    """

    def __init__(self, directory: Path, *, authorization: str, tenant: str | None = None) -> None:
        super().__init__()
        self.namespaces: dict[str, dict[str, dict[str, Any]]] = {}
        self.writes = 0
        self.rules_per_group, self.groups = 20, 70
        """Limits of a tenant; these are Mimir's defaults."""
        self._directory = directory
        self._authorization, self._tenant = authorization, tenant

    async def respond(self, request: Request) -> Reply:
        """Answer."""
        status, text = self._told(request)
        return Reply([whole(status, text.encode(), _YAML)])

    def _told(self, request: Request) -> tuple[int, str]:
        if request.headers.get("authorization") != self._authorization:
            return 401, "authentication error: invalid token"
        if request.headers.get("x-scope-orgid") != self._tenant:
            return 401, "no org id"
        path = urlsplit(request.target).path
        if not path.startswith(_PREFIX):
            return 404, "404 page not found"
        namespace, _, name = (unquote(part) for part in path.removeprefix(_PREFIX).partition("/"))
        groups = self.namespaces.get(namespace, {})
        if request.method == "GET":
            return (
                (200, yaml.safe_dump({namespace: list(groups.values())})) if groups else (404, "no rule groups found")
            )
        if request.method == "DELETE":
            if name not in groups:
                return 404, "group does not exist"
            del groups[name]
            self.writes += 1
            return 202, '{"status":"success"}'
        return self._keep(namespace, request)

    def _keep(self, namespace: str, request: Request) -> tuple[int, str]:
        if request.headers.get("content-type") != "application/yaml":
            return 400, "unable to decode rule group"
        try:
            group = yaml.safe_load(request.body)
            name, rules = group["name"], group["rules"]
        except (yaml.YAMLError, KeyError, TypeError):
            return 400, "unable to decode rule group"
        if not name or not rules:
            return 400, "invalid rules configuration: rule group must have a name and rules"
        if len(rules) > self.rules_per_group:
            return 400, _EXCEEDED.format("rules per rule group", self.rules_per_group, len(rules))
        number = len({*self.namespaces.get(namespace, {}), name})
        if number > self.groups:
            return 400, _EXCEEDED.format("rule groups", self.groups, number)
        file = self._directory / "group.yml"
        file.write_text(yaml.safe_dump({"groups": [group]}))
        checked = subprocess.run(
            [require_prometheus().with_name("promtool"), "check", "rules", file],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if checked.returncode:
            return 400, f"invalid rules configuration: {checked.stderr}"
        self.namespaces.setdefault(namespace, {})[name] = _stored(group)
        self.writes += 1
        return 202, '{"status":"success"}'


def _stored(group: dict[str, Any]) -> dict[str, Any]:
    """The group as the ruler returns it: durations in their shortest form, and none for a rule without a delay."""
    rules = []
    for rule in group["rules"]:
        pending = {"60m": "1h", "0m": None}.get(rule.get("for"), rule.get("for"))
        rules.append(
            {**{key: value for key, value in rule.items() if key != "for"}, **({"for": pending} if pending else {})}
        )
    return {**group, "rules": rules}
