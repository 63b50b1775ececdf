"""Alerts on the service: failures, slow streams, rate limits and growing answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from monitored_openai._cli.query import promql
from monitored_openai._cli.query.promql import CALLS, FAILURES, FIRST_CHUNK, REFUSALS, TOKENS, rate
from monitored_openai._cli.rules.rule import SERVICE, SERVICE_TEXT, Alert, Group, Limits, Severity
from monitored_openai._metrics.names import LIMIT, REMAINING, RESET
from monitored_openai._metrics.series import bound_text

_FEWEST_CALLS = 20
"""Minimum number of calls in the window; a share of fewer is not significant."""
_FEWEST_REFUSALS = 5
"""Minimum number of refused calls in the window; a single one may be a trial."""
_LONGEST_PUSH_INTERVAL = 60
"""Seconds; the maximum of `push_interval`. A pushed value stays until the next push, even if its limit resets earlier."""
_RELIABILITY = "monitored-openai-reliability"
_RUNAWAY_BY = (*SERVICE, "gen_ai_request_model")


def service(limits: Limits) -> Group:
    """Return the group of alerts on the service."""
    alerts = (*_errors(limits), _refusals(), *_first_chunk(limits), _headroom(limits), _runaway(limits))
    return Group(name="monitored-openai-service", interval="1m", rules=alerts)


def _errors(limits: Limits) -> Iterator[Alert]:
    failed, calls = promql.selector(CALLS, [f'error_type=~"{FAILURES}"']), CALLS
    yield from _burn_rate(
        "OpenAIErrors",
        lambda over: f"{rate(failed, over, SERVICE)} / {rate(calls, over, SERVICE)}",
        calls,
        allowed=1 - limits.error_objective,
        panel=(_RELIABILITY, "Errors by type"),
        summary="{{ $value | humanizePercentage }} of the calls of " + SERVICE_TEXT + " fail",
        description="Rate limits, exhausted credit, server errors, timeouts and lost connections, after the SDK's retries.",
    )


def _refusals() -> Alert:
    by = (*SERVICE, "gen_ai_provider_name", "error_type")
    refused = rate(promql.selector(CALLS, [f'error_type=~"{REFUSALS}"']), "15m", by)
    return Alert(
        name="OpenAICallsRefused",
        expr=f"{refused} * 900 >= {_FEWEST_REFUSALS}",
        severity="critical",
        panel=(_RELIABILITY, "Errors by type"),
        summary="{{ $labels.gen_ai_provider_name }} refuses calls of " + SERVICE_TEXT + ": {{ $labels.error_type }}",
        description="The account has no credit left, the API key is invalid, or the model does not exist. "
        "No retry fixes it. The value is the number of such calls in 15 minutes.",
    )


def _first_chunk(limits: Limits) -> Iterator[Alert]:
    seconds = limits.first_chunk_seconds
    in_time = promql.selector(f"{FIRST_CHUNK}_bucket", [f'le="{bound_text(seconds)}"'])
    streams = f"{FIRST_CHUNK}_count"
    yield from _burn_rate(
        "OpenAIFirstChunk",
        lambda over: f"1 - {rate(in_time, over, SERVICE)} / {rate(streams, over, SERVICE)}",
        streams,
        allowed=1 - limits.first_chunk_objective,
        panel=(_RELIABILITY, "Time to first chunk by model, p95"),
        summary="{{ $value | humanizePercentage }} of the streamed answers of "
        + SERVICE_TEXT
        + f" begin after {seconds:g} s",
        description=f"The target is that {limits.first_chunk_objective:.4g} of the streams begin within {seconds:g} s.",
    )


def _burn_rate(
    name: str,
    bad: Callable[[str], str],
    all_calls: str,
    *,
    allowed: float,
    panel: tuple[str, str],
    summary: str,
    description: str,
) -> Iterator[Alert]:
    """Yield two alerts on a share of bad calls, each with a second, short window so that it resolves soon.

    The factors are those of Google's SRE workbook: they spend 2 % of 30 days' allowance in 1 h, and 5 % in 6 h.
    """
    windows: tuple[tuple[str, int, str, float, Severity], ...] = (
        ("Fast", 1, "5m", 14.4, "critical"),
        ("Slowly", 6, "30m", 6, "warning"),
    )
    for pace, hours, short, factor, severity in windows:
        long, most = f"{hours}h", min(allowed * factor, 0.9)
        enough = f"{rate(all_calls, long, SERVICE)} * {hours * 3600} >= {_FEWEST_CALLS}"
        yield Alert(
            name=f"{name}{pace}",
            expr=f"({bad(long)}) > {most:g} and ({bad(short)}) > {most:g} and {enough}",
            severity=severity,
            panel=panel,
            summary=summary,
            description=f"{description} The share of bad calls was above {most:.3g} over both {long} and {short}.",
        )


def _headroom(limits: Limits) -> Alert:
    by = ("environment", "gen_ai_request_model", "resource")
    recent = f"{RESET.name} > time() - {_LONGEST_PUSH_INTERVAL}"
    left = f"{REMAINING.name} / {LIMIT.name} and {recent}"
    return Alert(
        name="OpenAIRateLimitNear",
        expr=f"min by ({', '.join(by)}) ({left}) < {limits.headroom:g}",
        pending="5m",
        panel=(_RELIABILITY, "Rate-limit headroom"),
        labels=by,
        summary="{{ $value | humanizePercentage }} of the {{ $labels.resource }} limit of "
        "{{ $labels.gen_ai_request_model }} is left",
        description="From the headers of the provider's replies. The provider refuses calls once nothing is left.",
    )


def _runaway(limits: Limits) -> Alert:
    total = promql.selector(TOKENS, ['gen_ai_token_type="output"'])
    number = promql.selector(CALLS, ['error_type=""'])

    def per_call(over: str, offset: str = "") -> str:
        moved = f" offset {offset}" if offset else ""
        sums = (f"sum by ({', '.join(_RUNAWAY_BY)}) (rate({series}[{over}]{moved}))" for series in (total, number))
        return " / ".join(sums)

    enough = f"{rate(number, '15m', _RUNAWAY_BY)} * 900 >= {_FEWEST_CALLS}"
    return Alert(
        name="OpenAIOutputRunsAway",
        expr=f"{per_call('15m')} > {limits.runaway_factor:g} * ({per_call('1d', '15m')}) and {enough}",
        pending="5m",
        panel=("monitored-openai-overview", "Tokens by type"),
        labels=_RUNAWAY_BY,
        summary="Answers of {{ $labels.gen_ai_request_model }} have grown to {{ $value | humanize }} tokens",
        description=f"More than {limits.runaway_factor:g} times the mean per successful call of the day before, in "
        + SERVICE_TEXT
        + ".",
    )
