"""Explains a back end's refusal of metrics or logs and how to fix it, from its status and cause. Does no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitored_openai._exporter.delivery.causes import Cause

if TYPE_CHECKING:
    from monitored_openai._exporter.delivery.retry import Reply
    from monitored_openai._settings.urls import Signal

NAMES = {"metrics": "Prometheus", "logs": "Loki"}

_CREDENTIALS = (401, 403, 407)
_MAX_EXCERPT_CHARACTERS = 300
_MEANINGS = {
    Cause.NO_TENANT: "{name} refuses a push without a tenant",
    Cause.TENANT: "{name} refuses the tenant",
    Cause.TIME: "{name} refuses the timestamp",
    Cause.METADATA_OFF: "{name} does not allow structured metadata",
    Cause.METADATA: "{name} limits structured metadata",
    Cause.STREAM_RATE: "{name} limits the bytes of each stream",
    Cause.STREAMS: "{name} limits the number of streams",
    Cause.SERIES: "{name} limits the number of series",
    Cause.RATE: "{name} limits the rate of pushes",
    Cause.LABELS: "{name} limits labels",
    Cause.SIZE: "{name} limits the size of a push",
    Cause.RECEIVER: "no remote write receiver is enabled at this address",
}
_SHARED_ADVICE = {
    Cause.NO_TENANT: "set tenant_id to your tenant; {name} has multi-tenancy enabled and refuses a push without one",
    Cause.TENANT: "check tenant_id: the tenant must exist, and the token must be allowed to write to it",
    Cause.TIME: "set this machine's clock by NTP; {name} accepts only timestamps near its own time",
}
_REPEATED = "the library retries the push; "
_LESS: dict[Signal, str] = {
    "metrics": "push less: a longer push_interval, fewer label_names",
    "logs": "push less: a lower log_sample_ratio, a smaller max_content_bytes, or capture_content=False",
}
_METRICS_PATH = "check the path in metrics_url; Prometheus itself needs --web.enable-remote-write-receiver"
_ADVICE: dict[Signal, dict[Cause, str]] = {
    "metrics": {
        **_SHARED_ADVICE,
        Cause.SERIES: "use fewer label_names and a smaller max_label_sets, or raise the series limit of the tenant",
        Cause.RATE: f"{_REPEATED}raise the ingestion rate of the tenant, or {_LESS['metrics']}",
        Cause.LABELS: "use fewer or shorter extra_labels and label_names, or raise the label limits of the tenant",
        Cause.SIZE: "raise the size limit for requests in the back end or in the proxy before it",
        Cause.RECEIVER: _METRICS_PATH,
    },
    "logs": {
        **_SHARED_ADVICE,
        Cause.METADATA_OFF: "entries arrive without it and count as cut; set allow_structured_metadata in Loki's "
        "limits_config",
        Cause.METADATA: "entries arrive without it and count as cut; raise max_structured_metadata_size and "
        "max_structured_metadata_entries_count in Loki's limits_config",
        Cause.STREAM_RATE: "raise log_shards, or Loki's per_stream_rate_limit",
        Cause.STREAMS: "use fewer values of extra_labels and a smaller log_shards, or raise Loki's "
        "max_global_streams_per_user",
        Cause.RATE: f"{_REPEATED}raise the ingestion rate of the tenant, or {_LESS['logs']}",
        Cause.LABELS: "use fewer or shorter extra_labels, or raise the label limits of the tenant",
        Cause.SIZE: "lower max_content_bytes, or raise Loki's max_line_size and the proxy's size limit for requests",
    },
}
_PATHS: dict[Signal, str] = {
    "metrics": "check metrics_protocol and the path in metrics_url; Prometheus itself needs --web.enable-remote-write-receiver",
    "logs": "check the path in logs_url; Loki accepts logs at /loki/api/v1/push",
}
_PROTOCOLS: dict[Signal, str] = {
    "metrics": "check metrics_protocol and the path in metrics_url",
    "logs": _PATHS["logs"],
}
_UNKNOWN: dict[Signal, str] = {
    "metrics": "check label_names, extra_labels and metrics_protocol against the reply",
    "logs": "check extra_labels and the path in logs_url against the reply",
}
_ACCESS = (
    "{check} access_token (or {signal}_token) and {signal}_username; on Grafana Cloud the token needs the scope "
    "{signal}:write, and the user name is the instance ID of {name}"
)


def refusal(signal: Signal, reply: Reply, *, has_credentials: bool) -> tuple[str, str]:
    """Return the meaning of a refusal, with the reply's own text, and how to fix it.

    `has_credentials` is true if the request had a header `Authorization`. The text may quote the request: call this only
    for a request without content.
    """
    meaning, advice = _meaning(signal, reply)
    names = {"name": NAMES[signal], "signal": signal, "check": "check" if has_credentials else "set"}
    quoted = f"HTTP {reply.status} {reply.text[:_MAX_EXCERPT_CHARACTERS]}".rstrip()
    return f"{meaning.format(**names)}: {quoted}", advice.format(**names)


def _meaning(signal: Signal, reply: Reply) -> tuple[str, str]:
    cause, status = reply.cause, reply.status
    if status in (404, 405) or 300 <= status < 400:
        return f"no service accepts {signal} at this address", _PATHS[signal]
    if cause is not None and cause in _ADVICE[signal]:
        return _MEANINGS[cause], _ADVICE[signal][cause]
    if status in _CREDENTIALS:
        return _forbidden() if status == 403 else ("{name} refuses the credentials", _ACCESS)
    if status == 413:
        return _MEANINGS[Cause.SIZE], _ADVICE[signal][Cause.SIZE]
    if status == 415:
        return "{name} does not accept this protocol", _PROTOCOLS[signal]
    return _unknown(signal, status)


def _forbidden() -> tuple[str, str]:
    return (
        "{name}, or a gateway before it, forbids the push",
        _ACCESS + "; behind a gateway, check also that the token may write to the tenant in tenant_id",
    )


def _unknown(signal: Signal, status: int) -> tuple[str, str]:
    if status == 429:
        return "{name} accepts nothing now", f"{_REPEATED}raise the limits of the tenant, or {_LESS[signal]}"
    if status >= 500:
        return "{name} accepts nothing now", _REPEATED + "check the log of {name}"
    return "{name} refuses the push", _UNKNOWN[signal]
