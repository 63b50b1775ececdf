"""A back end's refusal in plain words, and how to fix it: a table over status and answer, without I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from monitored_openai._exporter.delivery.retry import Reply
    from monitored_openai._settings.urls import Signal

NAMES = {"metrics": "Prometheus", "logs": "Loki"}

_BAD_REQUEST = 400
_CREDENTIALS = (401, 403, 407)
_NO_TENANT = "set tenant_id to your tenant; {name} has multi-tenancy enabled and refuses a push without one"
_OR_TENANT = (
    "check access_token (or {lane}_token) and {lane}_username; on Grafana Cloud the token needs the scope {lane}:write, "
    "and the user name is the instance ID of {name}"
)
_PATHS = {
    "metrics": "check the path in metrics_url; Prometheus itself needs --web.enable-remote-write-receiver",
    "logs": "check the path in logs_url; Loki takes logs at /loki/api/v1/push",
}
_CLOCK = "set this machine's clock by NTP; {name} takes only timestamps near its own time"


class _Rule(NamedTuple):
    """What an answer with this text means."""

    pattern: re.Pattern[str]
    says: str
    advice: str


def _rule(pattern: str, says: str, advice: str) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), says, advice)


_TENANT_RULES = (
    _rule(r"no org ?id|no tenant|missing tenant|x-scope-orgid", "{name} refuses a push without a tenant", _NO_TENANT),
    _rule(
        r"tenant|org ?id",
        "{name} refuses the tenant",
        "check tenant_id: the tenant must exist, and the token must be allowed to write to it",
    ),
)
_LIMIT_RULES = (
    _rule(
        r"per.stream rate",
        "{name} limits the bytes of each stream",
        "raise log_shards, or Loki's per_stream_rate_limit",
    ),
    _rule(
        r"(active )?streams? limit|max(imum)?[ _]streams",
        "{name} limits the number of streams",
        "use fewer values of extra_labels and a smaller log_shards, or raise Loki's max_global_streams_per_user",
    ),
    _rule(
        r"max[ -](global[ -])?series|per-(user|metric) series limit|series limit",
        "{name} limits the number of series",
        "use fewer label_names and a smaller max_label_sets, or raise the series limit of the tenant",
    ),
    _rule(
        r"ingestion[ -]rate|rate[ -]limit|too many requests",
        "{name} limits the rate of pushes",
        "pushes are repeated until they pass; raise the ingestion rate of the tenant, or push less: {less}",
    ),
    _rule(
        r"label names?|label.value|labels? (name|value)?.*(limit|too long)|max[ -]label",
        "{name} limits labels",
        "use fewer or shorter extra_labels{names}, or raise the label limits of the tenant",
    ),
    _rule(
        r"larger than max|too large|entry size|exceeds? .*(size|length)|body size",
        "{name} limits the size of what it takes",
        "{smaller}",
    ),
)
_TIME_RULES = (
    _rule(
        r"too old|too new|too far|out of bounds|in the future|out of order|behind",
        "{name} refuses the timestamp",
        _CLOCK,
    ),
)
_BY_STATUS = {
    413: ("{name} limits the size of what it takes", "{smaller}"),
    415: ("{name} does not take this protocol", "check metrics_protocol and the path in {lane}_url"),
    429: (
        "{name} takes nothing now",
        "pushes are repeated until they pass; raise the limits of the tenant, or push less: {less}",
    ),
}
_OVERLOADED = ("{name} takes nothing now", "pushes are repeated until they pass; look into the log of {name}")
_REFUSED = ("{name} refuses the push", "check the labels and metrics_protocol against the answer")
_OF_LANE = {
    "metrics": {
        "less": "a longer push_interval, fewer label_names",
        "names": " and label_names",
        "smaller": "raise the limit of a request's size in the back end or in the proxy before it",
    },
    "logs": {
        "less": "a lower log_sample_ratio, a smaller max_content_bytes, or capture_content=False",
        "names": "",
        "smaller": "lower max_content_bytes, or raise Loki's max_line_size and the proxy's limit of a request's size",
    },
}


def refusal(lane: Signal, reply: Reply) -> tuple[str, str]:
    """What a refusal means, and how to fix it."""
    says, advice = _meaning(lane, reply)
    names = {"name": NAMES[lane], "lane": lane, **_OF_LANE[lane]}
    return f"{says.format(**names)}: {reply}", advice.format(**names)


def _meaning(lane: Signal, reply: Reply) -> tuple[str, str]:
    status, text = reply.status, reply.excerpt
    if status in _CREDENTIALS or (status == _BAD_REQUEST and _matching(_TENANT_RULES, text)):
        return _refused_access(status, text)
    if status in (404, 405) or 300 <= status < 400:
        return f"nothing takes {lane} at this address", _PATHS[lane]
    if rule := _matching((*_TIME_RULES, *_LIMIT_RULES), text):
        return rule.says, rule.advice
    return _BY_STATUS.get(status, _OVERLOADED if status >= 500 else _REFUSED)


def _refused_access(status: int, text: str) -> tuple[str, str]:
    if rule := _matching(_TENANT_RULES, text):
        return rule.says, rule.advice
    if status == 403:
        return (
            "{name}, or a gateway before it, forbids the push",
            _OR_TENANT + "; behind a gateway, check also that the token may write to the tenant in tenant_id",
        )
    return "{name} refuses the credentials", _OR_TENANT


def _matching(rules: Sequence[_Rule], text: str) -> _Rule | None:
    return next((rule for rule in rules if rule.pattern.search(text)), None)
