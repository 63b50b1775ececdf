"""Alerts on the telemetry itself: unknown prices and usage, drops, failed pushes and silence."""

from __future__ import annotations

from collections.abc import Iterator

from monitored_openai._cli.query import promql
from monitored_openai._cli.query.promql import CALLS, COST_INCOMPLETE, LONGEST_OUTAGE, UNPRICED, USAGE_UNKNOWN
from monitored_openai._cli.rules.rule import SERVICE, SERVICE_TEXT, Alert, Group, Limits
from monitored_openai._metrics.names import DROPPED, LAST_SUCCESS, PRICES_DATE, PRODUCED, QUEUED

_COST, _HEALTH = "monitored-openai-cost", "monitored-openai-health"
_NOT_REPORTED = ('reason=~"not_reported|invalid_body|not_read|unreadable"', 'gen_ai_request_model!~"dall-e-.*"')
"""Successful calls whose usage is missing; failed calls have no usage, and the dall-e models never report it."""
_NOT_PRICED_YET = "usage_unknown|background"
"""Reasons of calls without known usage; a background response is priced once its usage is known."""
_NEW_FOR, _KNOWN_FOR = "1d", "7d"
"""A model is new for a day; a process that called it within the 7 days before makes it known."""
_SILENT_AFTER, _REPORTED_FOR = "10m", "110m"
_ACTIVE_FOR, _ACTIVE_SAMPLES = "2h", 24
"""The number of samples in 2 h with a sample every 5 minutes; short-lived jobs have fewer."""


def telemetry(limits: Limits) -> Group:
    """Return the group of alerts on the telemetry."""
    return Group(
        name="monitored-openai-telemetry",
        interval="1m",
        rules=(*_unknown(limits), _new_model(), _old_prices(limits), _dropped(), _failing(), _silent()),
    )


def _unknown(limits: Limits) -> Iterator[Alert]:
    calls = promql.total(CALLS, "1h", SERVICE)
    for name, panel, calls_without, problem, description in (
        (
            "OpenAICallsUnpriced",
            (_COST, "Unpriced calls by reason"),
            promql.selector(UNPRICED, [f'reason!~"{_NOT_PRICED_YET}"']),
            "have no price",
            "Their tokens are known but their cost is not, so the cost shown is too low.",
        ),
        (
            "OpenAICostIncomplete",
            (_COST, "Incomplete costs by reason"),
            COST_INCOMPLETE,
            "have a part without a price",
            "They may cost more than shown, for example by the fee of a tool, so the cost shown may be too low.",
        ),
        (
            "OpenAIUsageUnknown",
            ("monitored-openai-reliability", "Calls without usage, by reason"),
            promql.selector(USAGE_UNKNOWN, _NOT_REPORTED),
            "report no usage",
            "They succeeded but did not report their tokens, so tokens and cost are too low.",
        ),
    ):
        yield Alert(
            name=name,
            expr=f"{promql.total(calls_without, '1h', SERVICE)} / {calls} > {limits.unknown_share:g}",
            pending="15m",
            panel=panel,
            summary="{{ $value | humanizePercentage }} of the calls of " + f"{SERVICE_TEXT} {problem}",
            description=description,
        )


def _new_model() -> Alert:
    series = promql.selector(UNPRICED, ['reason="unknown_model"'])
    by = (*SERVICE, "gen_ai_provider_name", "gen_ai_request_model")
    earlier = f"sum by ({', '.join(by)}) (last_over_time({series}[{_KNOWN_FOR}] offset {_NEW_FOR}))"
    return Alert(
        name="OpenAIModelUnpriced",
        expr=f"{promql.total(series, _NEW_FOR, by, look_back=LONGEST_OUTAGE)} > 0 unless {earlier} > 0",
        pending="5m",
        panel=(_COST, "Unpriced calls by reason"),
        labels=by,
        summary=f"{SERVICE_TEXT} calls a model without a price: {{{{ $labels.gen_ai_request_model }}}}",
        description="The model's first unpriced call was in the last day. {{ $value | humanize }} calls have no cost.",
    )


def _old_prices(limits: Limits) -> Alert:
    by = ", ".join((*SERVICE, "gen_ai_provider_name"))
    return Alert(
        name="OpenAIPricesOld",
        expr=f"(time() - min by ({by}) ({PRICES_DATE.name})) / 86400 > {limits.prices_days:g}",
        pending="1h",
        panel=(_HEALTH, "Age of the price table"),
        summary=f"The prices of {{{{ $labels.gen_ai_provider_name }}}} in {SERVICE_TEXT} are old",
        description="Their newest price is {{ $value | humanize }} days old. The provider may have newer prices.",
    )


def _dropped() -> Alert:
    dropped = promql.selector(DROPPED.name, ['reason!="sampled"'])
    by = (*SERVICE, "signal", "reason")
    return Alert(
        name="OpenAITelemetryDropped",
        expr=f"{promql.total(dropped, '15m', by, look_back=LONGEST_OUTAGE)} > 0",
        panel=(_HEALTH, "Dropped by reason"),
        summary="{{ $value | humanize }} dropped ({{ $labels.signal }}) in " + SERVICE_TEXT + ": {{ $labels.reason }}",
        description="The clients dropped them within the last 15 minutes and will not send them again.",
    )


def _failing() -> Alert:
    waiting = f'{QUEUED.name}{{signal="logs"}} > 0'
    recent = f'time() - {LAST_SUCCESS.name}{{signal="logs"}} < 300'
    return Alert(
        name="OpenAITelemetryFailing",
        expr=f"count by (environment, service_name) (({waiting}) unless ({recent}))",
        pending="5m",
        panel=(_HEALTH, "Since the last success"),
        summary="{{ $value }} processes of " + SERVICE_TEXT + " deliver no log entries to Loki",
        description="Entries wait, and Loki has accepted none for 5 minutes. Once the queue is full, entries are dropped.",
    )


def _silent() -> Alert:
    produced = f'{PRODUCED.name}{{signal="metrics"}}'
    count = f"count by ({', '.join(SERVICE)})"
    active = f"count_over_time({count} ({produced})[{_ACTIVE_FOR}:5m]) >= {_ACTIVE_SAMPLES}"
    return Alert(
        name="OpenAITelemetrySilent",
        expr=f"max_over_time(({active})[{_REPORTED_FOR}:5m]) unless {count} (last_over_time({produced}[{_SILENT_AFTER}]))",
        pending="5m",
        panel=(_HEALTH, "Each process"),
        summary=SERVICE_TEXT + " no longer reports",
        description=f"Its processes pushed for {_ACTIVE_FOR}, but none has pushed for {_SILENT_AFTER}. "
        "A process with a client pushes even without calls.",
    )
