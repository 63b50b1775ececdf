"""`monitored-openai rules export`: the rules as files for Prometheus and for Grafana's provisioning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.export import write
from monitored_openai._cli.rules import cost, service, telemetry
from monitored_openai._cli.rules.rule import Alert, Budget, Group, Limits, Recording

_FOLDER = "monitored-openai"
_MAX_UID_CHARACTERS, _UID_TAIL_CHARACTERS = 40, 10
_RANGE_SECONDS = 600


def export(folder: Path, *, budgets: Iterable[str], data_source: str, **objectives: float) -> Iterator[Path]:
    """Write the files; yield their paths; `objectives` are fields of `Limits`.

    Raises:
        UserError: a budget, an objective or the data source is invalid, or a file cannot be written.
    """
    if not data_source or not data_source.isprintable():
        raise UserError(
            f"--data-source {data_source!r} is not the uid of a data source: write the uid of Prometheus in Grafana, or "
            "leave the option out"
        )
    try:
        limits = Limits(budgets=tuple(map(Budget.parse, budgets)), **objectives)
    except ValueError as error:
        raise UserError(str(error)) from error
    return write(folder, texts(limits, data_source=data_source))


def groups(limits: Limits) -> list[Group]:
    """Return the groups that have rules."""
    all_groups = (cost.hourly(), cost.budgets(limits), service.service(limits), telemetry.telemetry(limits))
    return [group for group in all_groups if group.rules]


def texts(limits: Limits, *, data_source: str = "prometheus") -> Mapping[str, str]:
    """Return each file's text by its name; `data_source` is the uid of Prometheus in Grafana."""
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
        "for": rule.pending,
        "labels": _labels(rule),
        "annotations": _annotations(rule),
    }


def _grafana_group(group: Group, data_source: str) -> dict[str, Any]:
    rules = [_grafana_rule(alert, data_source) for alert in _alerts(group)]
    return {"orgId": 1, "name": group.name, "folder": _FOLDER, "interval": group.interval, "rules": rules}


def _grafana_rule(alert: Alert, data_source: str) -> dict[str, Any]:
    """Return the alert, which fires for each series that the query returns; no data means no problem."""
    query = {"refId": "A", "expr": _escape_variables(alert.expr), "instant": True, "range": False}
    condition = {"refId": "B", "type": "threshold", "expression": "A"}
    always = {"evaluator": {"type": "gt", "params": [-1]}}
    span = {"from": _RANGE_SECONDS, "to": 0}
    return {
        "uid": _uid(alert),
        "title": _escape_variables(f"{alert.name} ({alert.budget})" if alert.budget else alert.name),
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
        "labels": {name: _escape_variables(value) for name, value in _labels(alert).items()},
        "annotations": {name: text.replace("$value", "$values.A.Value") for name, text in _annotations(alert).items()},
    }


def _labels(alert: Alert) -> dict[str, str]:
    return {"severity": alert.severity} | ({"budget": _escape_template(alert.budget)} if alert.budget else {})


def _annotations(alert: Alert) -> dict[str, str]:
    runbook = f"docs/alerts.md#{alert.name.lower()}"
    return {"summary": alert.summary, "description": alert.description, "runbook": runbook}


def _escape_template(text: str) -> str:
    """Return the text with escaped braces, which Prometheus and Grafana would expand as a template."""
    return text.replace("{{", '{{"{{"}}')


def _escape_variables(text: str) -> str:
    """Return the text with escaped dollar signs: Grafana expands environment variables, except in annotations."""
    return text.replace("$", "$$")


def _uid(alert: Alert) -> str:
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


def _yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
