"""Alerts on the telemetry itself: what it does not know, loses, or no longer says."""

from __future__ import annotations

from monitored_openai._cli.query import promql
from monitored_openai._cli.query.promql import CALLS, LONGEST_OUTAGE, UNPRICED, USAGE_UNKNOWN
from monitored_openai._cli.rules.rule import Alert, Group, Limits
from monitored_openai._metrics.names import DROPPED, LAST_SUCCESS, PRODUCED, QUEUED

_WHO = ("environment", "service_name")
_WHO_TEXT = "{{ $labels.environment }} {{ $labels.service_name }}"
_NOT_TOLD = ('reason=~"not_reported|invalid_body|not_read|unreadable"', 'gen_ai_request_model!~"dall-e-.*"')
"""Calls that ended well and could have told their usage; those that failed have none, and that model never has."""
_NOT_PRICED_YET = "usage_unknown|background"
"""Why a call has no price that has no known usage either; what is made in the background is priced when a look tells it."""
_SILENT_AFTER, _TOLD_FOR = "10m", "110m"
_AT_WORK, _LOOKS_AT_WORK = "2h", 24
"""Every 5 minutes, as many as there are in that time: jobs that come and go have fewer."""


def telemetry(limits: Limits) -> Group:
    """All of them."""
    return Group(
        name="monitored-openai-telemetry",
        interval="1m",
        rules=(*_unknown(limits), _dropped(), _failing(), _silent()),
    )


def _unknown(limits: Limits) -> tuple[Alert, Alert]:
    calls = promql.total(CALLS, "1h", _WHO)
    unpriced = promql.total(promql.selector(UNPRICED, [f'reason!~"{_NOT_PRICED_YET}"']), "1h", _WHO)
    without = promql.total(promql.selector(USAGE_UNKNOWN, _NOT_TOLD), "1h", _WHO)
    most = f"{limits.unknown_share:g}"
    return (
        Alert(
            name="OpenAICallsUnpriced",
            expr=f"{unpriced} / {calls} > {most}",
            severity="warning",
            lasting="15m",
            summary="{{ $value | humanizePercentage }} of the calls of " + _WHO_TEXT + " have no price",
            description="Their tokens are known and their cost is not, so the cost shown is too low.",
        ),
        Alert(
            name="OpenAIUsageUnknown",
            expr=f"{without} / {calls} > {most}",
            severity="warning",
            lasting="15m",
            summary="{{ $value | humanizePercentage }} of the calls of " + _WHO_TEXT + " report no usage",
            description="They ended well and did not say how many tokens they used, so tokens and cost are too low.",
        ),
    )


def _dropped() -> Alert:
    dropped = promql.selector(DROPPED.name, ['reason!="sampled"'])
    by = (*_WHO, "signal", "reason")
    return Alert(
        name="OpenAITelemetryDropped",
        expr=f"{promql.total(dropped, '15m', by, look_back=LONGEST_OUTAGE)} > 0",
        severity="warning",
        summary="{{ $value | humanize }} of {{ $labels.signal }} dropped in " + _WHO_TEXT + ": {{ $labels.reason }}",
        description="Given up for good within the last 15 minutes.",
    )


def _failing() -> Alert:
    waiting = f'{QUEUED.name}{{signal="logs"}} > 0'
    lately = f'time() - {LAST_SUCCESS.name}{{signal="logs"}} < 300'
    return Alert(
        name="OpenAITelemetryFailing",
        expr=f"count by (environment, service_name) (({waiting}) unless ({lately}))",
        severity="warning",
        lasting="5m",
        summary="{{ $value }} processes of " + _WHO_TEXT + " get no log entry to Loki",
        description="Entries wait and none has been taken for 5 minutes; the memory that holds them is bounded.",
    )


def _silent() -> Alert:
    produced = f'{PRODUCED.name}{{signal="metrics"}}'
    count = f"count by ({', '.join(_WHO)})"
    at_work = f"count_over_time({count} ({produced})[{_AT_WORK}:5m]) >= {_LOOKS_AT_WORK}"
    return Alert(
        name="OpenAITelemetrySilent",
        expr=f"max_over_time(({at_work})[{_TOLD_FOR}:5m]) unless {count} (last_over_time({produced}[{_SILENT_AFTER}]))",
        severity="warning",
        lasting="5m",
        summary=_WHO_TEXT + " reports nothing any more",
        description=f"For hours there were processes, and for {_SILENT_AFTER} none has pushed, at rest or not.",
    )
