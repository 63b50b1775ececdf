"""The forms of rules: Prometheus's and Mimir's rule groups, Grafana's provisioning file, and Grafana's API."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import yaml

from monitored_openai._cli.rules.links import Links
from monitored_openai._cli.rules.rule import Alert, Group, Recording

FOLDER = "monitored-openai"
_MAX_UID_CHARACTERS, _UID_TAIL_CHARACTERS = 40, 10
_MAX_TITLE_CHARACTERS = 190
"""Grafana's limit; it refuses a rule with a longer title."""
_RANGE_SECONDS = 600
_MAX_GROUP_RULES = 18
"""Mimir's default limit is 20; with 18, the three alerts of a budget stay in one group."""


def prometheus_file(groups: Iterable[Group], links: Links) -> str:
    """Return the text of a rule file of Prometheus."""
    return dump({"groups": prometheus_groups(groups, links)})


def grafana_file(groups: Iterable[Group], links: Links, data_source: str) -> str:
    """Return the text of a file for Grafana's provisioning, with the alerts of the groups."""
    alerting = [_grafana_group(group, links, data_source) for group in groups if alerts(group)]
    return dump({"apiVersion": 1, "groups": alerting})


def alerts(group: Group) -> list[Alert]:
    """Return the alerts of a group."""
    return [rule for rule in group.rules if isinstance(rule, Alert)]


def prometheus_groups(groups: Iterable[Group], links: Links) -> list[dict[str, Any]]:
    """Return the groups as Prometheus and Mimir read them; divide a group of more than `_MAX_GROUP_RULES` rules."""
    parts = []
    for group in groups:
        rules = [_prometheus_rule(rule, links) for rule in group.rules]
        for start in range(0, len(rules), _MAX_GROUP_RULES):
            number = start // _MAX_GROUP_RULES + 1
            name = group.name if number == 1 else f"{group.name}-{number}"
            part = rules[start : start + _MAX_GROUP_RULES]
            parts.append({"name": name, "interval": group.interval, "rules": part})
    return parts


def _prometheus_rule(rule: Alert | Recording, links: Links) -> dict[str, Any]:
    if isinstance(rule, Recording):
        return {"record": rule.record, "expr": rule.expr}
    return {
        "alert": rule.name,
        "expr": rule.expr,
        "for": rule.pending,
        "labels": _labels(rule),
        "annotations": _annotations(rule, links),
    }


def _grafana_group(group: Group, links: Links, data_source: str) -> dict[str, Any]:
    rules = [_provisioned(grafana_rule(alert, links, data_source)) for alert in alerts(group)]
    return {"orgId": 1, "name": group.name, "folder": FOLDER, "interval": group.interval, "rules": rules}


def grafana_rule(alert: Alert, links: Links, data_source: str) -> dict[str, Any]:
    """Return the alert as Grafana's API reads it.

    It fires for each series that the query returns; no data means no problem.
    """
    query = {"refId": "A", "expr": alert.expr, "instant": True, "range": False}
    condition = {"refId": "B", "type": "threshold", "expression": "A"}
    always = {"evaluator": {"type": "gt", "params": [-1]}}
    span = {"from": _RANGE_SECONDS, "to": 0}
    annotations = {**_annotations(alert, links), **links.panel(alert)}
    return {
        "uid": uid_of(alert),
        "title": _title(alert),
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
        "for": alert.pending,
        "labels": _labels(alert),
        "annotations": {name: text.replace("$value", "$values.A.Value") for name, text in annotations.items()},
    }


def _title(alert: Alert) -> str:
    """Return a title that no other alert has; Grafana accepts each only once in a folder."""
    title = f"{alert.name} ({alert.budget})" if alert.budget else alert.name
    if len(title.encode(errors="surrogateescape")) <= _MAX_TITLE_CHARACTERS:
        return title
    end = f"... {uid_of(alert)[-_UID_TAIL_CHARACTERS:]})"
    start = title.encode(errors="surrogateescape")[: _MAX_TITLE_CHARACTERS - len(end)]
    return start.decode(errors="ignore") + end


def _provisioned(rule: dict[str, Any]) -> dict[str, Any]:
    """Escape `$` in a rule, because Grafana expands environment variables in a file, except in annotations."""
    query, condition = rule["data"]
    query = {**query, "model": {**query["model"], "expr": _escape_variables(query["model"]["expr"])}}
    return {
        **rule,
        "title": _escape_variables(rule["title"]),
        "data": [query, condition],
        "labels": {name: _escape_variables(value) for name, value in rule["labels"].items()},
    }


def _labels(alert: Alert) -> dict[str, str]:
    return {"severity": alert.severity} | ({"budget": _escape_template(alert.budget)} if alert.budget else {})


def _annotations(alert: Alert, links: Links) -> dict[str, str]:
    return {"summary": alert.summary, "description": alert.description, **links.annotations(alert)}


def _escape_template(text: str) -> str:
    """Return the text with escaped braces, which Prometheus and Grafana would expand as a template."""
    return text.replace("{{", '{{"{{"}}')


def _escape_variables(text: str) -> str:
    return text.replace("$", "$$")


def uid_of(alert: Alert) -> str:
    """Return a unique id of the alert that is stable between exports."""
    if not alert.budget:
        return alert.name.lower()
    words = re.sub(r"[^a-z0-9]+", "-", f"{alert.name} {alert.budget}".lower())
    tail = sha256(alert.budget.encode(errors="surrogateescape")).hexdigest()[:_UID_TAIL_CHARACTERS]
    return f"{words[: _MAX_UID_CHARACTERS - _UID_TAIL_CHARACTERS - 1].rstrip('-')}-{tail}"


class _Dumper(yaml.SafeDumper):
    """Writes repeated values in full instead of as aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # of the base class
        """Return true for each value."""
        return True


def dump(document: Any) -> str:
    """Return the document as YAML."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
