"""The rules as files: Prometheus's own, and Grafana's for provisioning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import yaml

from monitored_openai._cli.rules import cost, service, telemetry
from monitored_openai._cli.rules.rule import Alert, Group, Limits, Recording

_FOLDER = "monitored-openai"
_MOST_UID_CHARACTERS, _UID_TAIL_CHARACTERS = 40, 10
_RANGE_SECONDS = 600


def groups(limits: Limits) -> list[Group]:
    """All rules; a group without any is left out."""
    found = (cost.hourly(), cost.budgets(limits), service.service(limits), telemetry.telemetry(limits))
    return [group for group in found if group.rules]


def texts(limits: Limits, *, data_source: str = "prometheus") -> Mapping[str, str]:
    """Each file's text by its name; `data_source` is the uid of Prometheus in Grafana."""
    chosen = groups(limits)
    alerting = [_grafana_group(group, data_source) for group in chosen if _alerts(group)]
    return {
        "monitored-openai.rules.yml": _yaml({"groups": [_prometheus_group(group) for group in chosen]}),
        "monitored-openai.grafana.yml": _yaml({"apiVersion": 1, "groups": alerting}),
    }


def _alerts(group: Group) -> list[Alert]:
    return [rule for rule in group.rules if isinstance(rule, Alert)]


def _prometheus_group(group: Group) -> dict[str, Any]:
    return {"name": group.name, "interval": group.interval, "rules": [_prometheus_rule(rule) for rule in group.rules]}


def _prometheus_rule(rule: Alert | Recording) -> dict[str, Any]:
    if isinstance(rule, Recording):
        return {"record": rule.record, "expr": rule.expr}
    return {
        "alert": rule.name,
        "expr": rule.expr,
        "for": rule.lasting,
        "labels": _labels(rule),
        "annotations": _annotations(rule),
    }


def _grafana_group(group: Group, data_source: str) -> dict[str, Any]:
    rules = [_grafana_rule(alert, data_source) for alert in _alerts(group)]
    return {"orgId": 1, "name": group.name, "folder": _FOLDER, "interval": group.interval, "rules": rules}


def _grafana_rule(alert: Alert, data_source: str) -> dict[str, Any]:
    """The query yields only what is wrong; so whatever it yields fires, and no data is good news."""
    query = {"refId": "A", "expr": _kept(alert.expr), "instant": True, "range": False}
    condition = {"refId": "B", "type": "threshold", "expression": "A"}
    always = {"evaluator": {"type": "gt", "params": [-1]}}
    span = {"from": _RANGE_SECONDS, "to": 0}
    return {
        "uid": _uid(alert),
        "title": _kept(f"{alert.name} ({alert.budget})" if alert.budget else alert.name),
        "condition": "B",
        "data": [
            {"refId": "A", "relativeTimeRange": span, "datasourceUid": data_source, "model": query},
            {
                "refId": "B",
                "relativeTimeRange": span,
                "datasourceUid": "__expr__",
                "model": {**condition, "conditions": [always]},
            },
        ],
        "noDataState": "OK",
        "execErrState": "Error",
        "for": alert.lasting,
        "labels": {name: _kept(value) for name, value in _labels(alert).items()},
        "annotations": {name: text.replace("$value", "$values.A.Value") for name, text in _annotations(alert).items()},
    }


def _labels(alert: Alert) -> dict[str, str]:
    return {"severity": alert.severity} | ({"budget": _untemplated(alert.budget)} if alert.budget else {})


def _annotations(alert: Alert) -> dict[str, str]:
    runbook = f"docs/alerts.md#{alert.name.lower()}"
    return {"summary": alert.summary, "description": alert.description, "runbook": runbook}


def _untemplated(text: str) -> str:
    """The text as it stands after Prometheus or Grafana has filled in what is in braces."""
    return text.replace("{{", '{{"{{"}}')


def _kept(text: str) -> str:
    """The text as it stands after Grafana has put environment variables in; annotations it leaves alone."""
    return text.replace("$", "$$")


def _uid(alert: Alert) -> str:
    """The alert's own, and the same whenever the rules are written."""
    if not alert.budget:
        return alert.name.lower()
    words = re.sub(r"[^a-z0-9]+", "-", f"{alert.name} {alert.budget}".lower())
    tail = sha256(alert.budget.encode(errors="surrogateescape")).hexdigest()[:_UID_TAIL_CHARACTERS]
    return f"{words[: _MOST_UID_CHARACTERS - _UID_TAIL_CHARACTERS - 1].rstrip('-')}-{tail}"


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # of the base class
        """Always."""
        return True


def _yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
