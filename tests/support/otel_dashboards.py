"""The queries of published dashboards that read OpenTelemetry's GenAI metrics, restated with the meaning of each.

`AI_OBSERVABILITY`: `mixin/genai-mixin/dashboards/genai-observability.json` of github.com/grafana/grafana-aio11y-app at
ca5a1e1; OpenLIT's documentation names it as the dashboard to import. `LITELLM`: the folder `dashboard_genai_otel` below
`cookbook/litellm_proxy_server/grafana_dashboard` of github.com/BerriAI/litellm at 4ec82d2.
"""

from __future__ import annotations

from dataclasses import dataclass

RANGE, RATE_INTERVAL, HOUR = 600, 300, 3600
"""Seconds of `$__range`, of `$__rate_interval` and of one hour."""

_OPENLIT = 'telemetry_sdk_name="openlit"'
_CHOSEN = f'{_OPENLIT}, service_name=~"$service_name", deployment_environment=~"$deployment_environment"'
_LITELLM = 'service_name=~"$service", gen_ai_request_model=~"$model"'
_COST = f"gen_ai_usage_cost_USD_sum{{{_CHOSEN}}}"
_SECONDS = f"gen_ai_client_operation_duration_seconds_bucket{{{_CHOSEN}}}"
_FIRST = f"gen_ai_server_time_to_first_token_seconds_bucket{{{_CHOSEN}}}"
_TOKENS = f"gen_ai_client_token_usage_bucket{{{_CHOSEN}"
_SYSTEM, _MODEL = "gen_ai_system", "gen_ai_request_model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A query of a panel."""

    title: str
    expr: str
    shows: str
    """The true value: a number of `Truth`, or a quantile as `p95 duration`."""
    by: tuple[str, ...] = ()
    per: float = 1.0
    """The panel shows the true value divided by this."""

    def __str__(self) -> str:
        return f"{self.title} by {','.join(self.by) or 'nothing'}: {self.expr.partition('(')[0]}"


def _requests(title: str, expr: str, *by: str, per: float = 1.0) -> Panel:
    return Panel(title=title, expr=expr, shows="calls", by=by, per=per)


def _cost(title: str, expr: str, *by: str, per: float) -> Panel:
    return Panel(title=title, expr=expr, shows="cost", by=by, per=per)


def _quantile(title: str, series: str, *by: str, function: str = "rate", window: str = "$__rate_interval") -> Panel:
    shows = "p95 first token" if series is _FIRST else "p95 duration"
    of = ", ".join(("le", *by))
    return Panel(
        title=title,
        expr=f"histogram_quantile(0.95, sum by ({of}) ({function}({series}[{window}])))",
        shows=shows,
        by=by,
    )


AI_OBSERVABILITY = (
    _requests("Request Rate", f"sum(rate(gen_ai_requests_total{{{_OPENLIT}}}[$__rate_interval]))", per=RATE_INTERVAL),
    Panel(title="Total Usage Tokens", expr=f"sum(gen_ai_client_token_usage_sum{{{_CHOSEN}}})", shows="tokens"),
    Panel(
        title="Avg Usage Cost",
        expr=f"(sum(increase({_COST}[$__range])) / sum(increase({_COST.replace('_sum', '_count')}[$__range]))) / 10000",
        shows="mean cost",
        per=10_000,
    ),
    _cost("Total Usage Cost", f"sum(increase({_COST}[$__range])) / 10000", per=10_000),
    _requests(
        "Request Volume by Platform",
        f"sum(rate(gen_ai_requests_total{{{_CHOSEN}}}[$__rate_interval])) by ({_SYSTEM})",
        _SYSTEM,
        per=RATE_INTERVAL,
    ),
    _cost("Cost Trend Analysis", f"increase({_COST}[1h]) / 1000", _MODEL, per=1_000),
    _requests(
        "Request Success Rate", f"sum(rate(gen_ai_requests_total{{{_CHOSEN}}}[$__rate_interval]))", per=RATE_INTERVAL
    ),
    _quantile("Time to First Token", _FIRST, _SYSTEM),
    *(
        Panel(
            title=f"Response Time Distribution by Token Size Ranges: {below + 1}-{to} tokens",
            expr=f"histogram_quantile(0.50, sum(rate({_SECONDS}[$__rate_interval])) by (le)) * on() ("
            f'sum(rate({_TOKENS}, le="{to}"}}[$__rate_interval]))'
            f' - sum(rate({_TOKENS}, le="{below}"}}[$__rate_interval])) > 0)',
            shows=f"median duration times calls of {below + 1}-{to} tokens",
            per=RATE_INTERVAL,
        )
        for below, to in ((4, 16), (16, 64), (64, 256), (256, 1024), (1024, 4096))
    ),
    _requests(
        "Request Rate by Model",
        f"sum(rate(gen_ai_requests_total{{{_CHOSEN}}}[$__rate_interval]) ) by ({_MODEL})",
        _MODEL,
        per=RATE_INTERVAL,
    ),
    _requests("Top GenAI Models by Usage", f"topk(5, sum by({_MODEL}) (gen_ai_requests_total{{{_CHOSEN}}}))", _MODEL),
    Panel(title="Prompt Tokens", expr=f"avg(gen_ai_usage_input_tokens_total{{{_CHOSEN}}})", shows="mean input series"),
    Panel(
        title="Completion Tokens",
        expr=f"avg(gen_ai_usage_output_tokens_total{{{_CHOSEN}}})",
        shows="mean output series",
    ),
    _cost("Total Cost", f"sum(increase({_COST}[$__rate_interval])) / 1000", per=1_000),
    _cost("Total Cost By System", f"sum(increase({_COST}[$__rate_interval])) by({_SYSTEM}) / 1000", _SYSTEM, per=1_000),
    _cost("Total Cost By Model", f"sum(increase({_COST}[$__rate_interval])) by({_MODEL}) / 1000", _MODEL, per=1_000),
    _cost("Total Cost By System, bars", f"sum(increase({_COST}[$__range])) by({_SYSTEM}) / 10000", _SYSTEM, per=10_000),
    _cost("Total Cost By Model, bars", f"sum(increase({_COST}[$__range])) by({_MODEL}) / 10000", _MODEL, per=10_000),
    *(
        _requests(f"GenAI Requests by {title}", f"sum by({label}) (gen_ai_requests_total{{{_CHOSEN}}})", label)
        for title, label in (
            ("Environment", "deployment_environment"),
            ("Platform", _SYSTEM),
            ("Type", "gen_ai_operation_name"),
        )
    ),
    _quantile("Latency Distribution", _SECONDS, _SYSTEM),
    _quantile("Latency Distribution", _SECONDS, _MODEL),
    *(
        _quantile(title, _SECONDS, *by, function="increase", window="$__range")
        for title, by in (
            ("Token Generation time by token count", ("token_count_group", _SYSTEM)),
            ("Token Generation time by token count", ("token_count_group", _MODEL, _SYSTEM)),
            ("Tokens Generation Duration (P95)", (_SYSTEM,)),
            ("Tokens Generation Duration (P95)", (_MODEL,)),
        )
    ),
    _quantile("Time to first token", _FIRST, _MODEL),
)
USAGE_COST_BARS = f"avg(gen_ai_usage_cost_USD_bucket{{{_CHOSEN}}})"
"""The third query of `Average Token Consumption vs. Average Usage Cost Comparison`: a mean of bucket counts, no USD."""

LITELLM = (
    _requests("Requests", f"sum(increase(gen_ai_client_operation_duration_seconds_count{{{_LITELLM}}}[$__range]))"),
    _cost("Spend", f"sum(increase(gen_ai_usage_cost_USD_sum{{{_LITELLM}}}[$__range]))", per=1),
    Panel(title="Tokens", expr=f"sum(increase(gen_ai_client_token_usage_sum{{{_LITELLM}}}[$__range]))", shows="tokens"),
    Panel(
        title="p95 request duration",
        expr="histogram_quantile(0.95, sum by (le) "
        f"(rate(gen_ai_client_operation_duration_seconds_bucket{{{_LITELLM}}}[$__range])))",
        shows="p95 duration",
    ),
    _requests(
        "Request rate by model",
        f"sum by ({_MODEL}) "
        f"(rate(gen_ai_client_operation_duration_seconds_count{{{_LITELLM}}}[$__rate_interval])) * 60",
        _MODEL,
        per=RATE_INTERVAL / 60,
    ),
    _cost(
        "Spend rate by model",
        f"sum by ({_MODEL}) (rate(gen_ai_usage_cost_USD_sum{{{_LITELLM}}}[$__rate_interval])) * 3600",
        _MODEL,
        per=RATE_INTERVAL / HOUR,
    ),
    Panel(
        title="Tokens per minute by model and type",
        expr=f"sum by ({_MODEL}, gen_ai_token_type) "
        f"(rate(gen_ai_client_token_usage_sum{{{_LITELLM}}}[$__rate_interval])) * 60",
        shows="tokens",
        by=(_MODEL, "gen_ai_token_type"),
        per=RATE_INTERVAL / 60,
    ),
    Panel(
        title="p95 time to first token (streaming)",
        expr=f"histogram_quantile(0.95, sum by (le, {_MODEL}) "
        f"(rate(gen_ai_server_time_to_first_token_seconds_bucket{{{_LITELLM}}}[$__rate_interval])))",
        shows="p95 first token",
        by=(_MODEL,),
    ),
)
