"""`monitored-openai rules push`: put the rules into Grafana's alerting, or into the ruler of Mimir and Grafana Cloud.

A push creates, updates and deletes only the package's own rules. It recognises a rule in Grafana by the rule's uid, and
a group in a ruler by the names of the group and of its rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import yaml

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.grafana import Outcome, find_or_create_folder
from monitored_openai._cli.query.http_api import HttpApi, Refused
from monitored_openai._cli.rules.formats import alerts, dump, grafana_rule, prometheus_groups
from monitored_openai._cli.rules.links import Links
from monitored_openai._cli.rules.rule import Group

_RULES = "/api/v1/provisioning/alert-rules"
_FORBIDDEN = 403
_RULER = "/config/v1/rules"
_OWN_GROUP = "monitored-openai-"
"""Prefix of the names of the package's groups."""
_OWN_RULE = re.compile(r"OpenAI[A-Za-z]+|gen_ai_client:[a-z_]+:sum1h")
"""The name of an alert or a recorded series of the package, of any version."""
_OWN_UID = re.compile(r"openai[a-z]+(?:-[a-z0-9-]+)?")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def to_grafana(
    grafana: HttpApi, groups: Iterable[Group], links: Links, *, folder: str, data_source: str
) -> Iterator[tuple[str, Outcome]]:
    """Create, update or delete alerts in a folder of Grafana; yield the title and the outcome of each.

    Recording rules of the groups are left out, because Grafana's own alerting does not evaluate them. A rule has the
    provenance `api`: Grafana shows it as provisioned, and its pages cannot change it.

    Raises:
        UserError: Grafana refuses, or the server is not Grafana.
    """
    with grafana.expecting("Grafana"):
        _check_data_source(grafana, data_source)
        uid = find_or_create_folder(grafana, folder)
        for group in groups:
            rules = [grafana_rule(alert, links, data_source) for alert in alerts(group)]
            yield from _delete_old_alerts(grafana, _group_path(uid, group), {rule["uid"] for rule in rules})
            for rule in rules:
                yield rule["title"], _put_alert(grafana, {**rule, "folderUID": uid, "ruleGroup": group.name})
            _put_interval(grafana, _group_path(uid, group), _seconds(group.interval))


def _check_data_source(grafana: HttpApi, uid: str) -> None:
    """Check that the data source exists, if the token may read it: Grafana itself accepts rules for a missing one."""
    try:
        found = grafana.get(f"/api/datasources/uid/{quote(uid, safe='')}")
    except Refused as refusal:
        if refusal.status != _FORBIDDEN:  # the role Editor may not read data sources
            raise
        return
    if found is None:
        raise UserError(f"Grafana has no data source with the uid {uid!r}: name one with --data-source")


def _group_path(folder: str, group: Group) -> str:
    return f"/api/v1/provisioning/folder/{quote(folder, safe='')}/rule-groups/{group.name}"


def _delete_old_alerts(grafana: HttpApi, path: str, wanted: set[str]) -> Iterator[tuple[str, Outcome]]:
    """Delete alerts of an earlier push that the package no longer has, or whose budget is gone."""
    for rule in (grafana.get(path) or {}).get("rules") or ():
        if _OWN_UID.fullmatch(rule["uid"]) and rule["uid"] not in wanted:
            grafana.delete(f"{_RULES}/{rule['uid']}")
            yield rule["title"], "deleted"


def _put_alert(grafana: HttpApi, rule: Mapping[str, Any]) -> Outcome:
    stored = grafana.get(f"{_RULES}/{rule['uid']}")
    if stored is None:
        grafana.post_json(_RULES, rule)
        return "created"
    if _contains(stored, {**rule, "for": _seconds(rule["for"])}):
        return "unchanged"
    grafana.put_json(f"{_RULES}/{rule['uid']}", rule)
    return "updated"


def _put_interval(grafana: HttpApi, path: str, seconds: int) -> None:
    """Set the interval of a group; Grafana gives a new group its own default."""
    stored = grafana.get(path)
    if stored is not None and stored["interval"] != seconds:
        grafana.put_json(path, {**stored, "interval": seconds})


def to_ruler(api: HttpApi, groups: Iterable[Group], links: Links, *, namespace: str) -> Iterator[tuple[str, Outcome]]:
    """Create, update or delete groups in a namespace of a ruler; yield the name and the outcome of each.

    Raises:
        UserError: the ruler refuses, or the server has no ruler's API.
    """
    path = f"{_RULER}/{quote(namespace, safe='')}"
    stored = _stored_groups(api, path, namespace)
    wanted = {str(group["name"]): group for group in prometheus_groups(groups, links)}
    for name, group in wanted.items():
        if name in stored and _comparable(stored[name]) == _comparable(group):
            yield name, "unchanged"
            continue
        api.post_yaml(path, dump(group))
        yield name, "updated" if name in stored else "created"
    for name in stored:  # last: if an update fails, the old alerts still exist
        if name not in wanted and _is_own(stored[name]):
            api.delete(f"{path}/{quote(name, safe='')}")
            yield name, "deleted"


def _stored_groups(api: HttpApi, path: str, namespace: str) -> dict[str, Mapping[str, Any]]:
    with api.expecting("the ruler of Mimir"):
        try:
            found = yaml.safe_load(api.get_text(path) or "")
        except yaml.YAMLError as error:
            raise ValueError("the reply is not YAML") from error
        return {str(group["name"]): group for group in (found or {}).get(namespace) or ()}


def _is_own(group: Mapping[str, Any]) -> bool:
    """Return true if an earlier push made the group: another program's group may begin with the same words."""
    names = [str(rule.get("alert") or rule.get("record")) for rule in group.get("rules") or ()]
    return str(group["name"]).startswith(_OWN_GROUP) and bool(names) and all(map(_OWN_RULE.fullmatch, names))


def _comparable(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return a group with durations in seconds, because the ruler writes them in its own form."""
    rules = [{**rule, "for": _seconds(rule.get("for", "0s"))} for rule in group["rules"]]
    return {"name": group["name"], "interval": _seconds(group.get("interval", "1m")), "rules": rules}


def _contains(stored: Any, wanted: Any) -> bool:
    """Return true if what Grafana stores has all the wanted values; it adds defaults of its own."""
    if isinstance(wanted, Mapping):
        return isinstance(stored, Mapping) and all(_contains(stored.get(name), part) for name, part in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(stored, list)
            and len(stored) == len(wanted)
            and all(_contains(*pair) for pair in zip(stored, wanted, strict=True))
        )
    if isinstance(wanted, int) and isinstance(stored, str):
        return _seconds(stored) == wanted
    return bool(stored == wanted)


def _seconds(duration: str) -> int:
    """Return a duration such as 5m or 1h30m in seconds."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([smhdw])", duration))
