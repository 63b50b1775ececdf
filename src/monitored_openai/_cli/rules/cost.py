"""Rules on cost. They use exact totals, because `rate` is unreliable for processes that live for seconds."""

from __future__ import annotations

from collections.abc import Iterator

from monitored_openai._cli.query import promql
from monitored_openai._cli.query.promql import CALLS, COST, LONGEST_OUTAGE, TOKENS
from monitored_openai._cli.rules.rule import Alert, Budget, Group, Limits, Recording

COST_1H, CALLS_1H, TOKENS_1H = (f"gen_ai_client:{what}:sum1h" for what in ("cost_usd", "calls", "tokens"))
_FAST_SHARE, _SLOW_SHARE = 0.02, 0.1
"""Shares of a month's budget in an hour and in a day: 14 and 3 times the pace of the budget."""


def hourly() -> Group:
    """Recordings of every series' increase in the last hour, over all processes, for sums over weeks.

    The interval divides an hour, so that the hours join, and is below Prometheus's lookback of 5 minutes.
    """
    recorded = ((COST_1H, COST), (CALLS_1H, CALLS), (TOKENS_1H, TOKENS))
    rules = (
        Recording(record=name, expr=f"sum without (instance) ({promql.growth(metric, '1h', look_back=LONGEST_OUTAGE)})")
        for name, metric in recorded
    )
    return Group(name="monitored-openai-hourly", interval="4m", rules=tuple(rules))


def budgets(limits: Limits) -> Group:
    """Alerts on budgets."""
    rules = (alert for budget in limits.budgets for alert in _alerts(budget, limits.budgets))
    return Group(name="monitored-openai-budgets", interval="5m", rules=tuple(rules))


def _alerts(budget: Budget, others: tuple[Budget, ...]) -> Iterator[Alert]:
    chosen, by = _matchers(budget, others), (budget.label,)
    cost = promql.selector(COST, chosen)
    subject = f"{budget.label} {{{{ $labels.{budget.label} }}}}"
    allowed = f"{budget.usd:g} USD a month"
    yield Alert(
        name="OpenAIBudgetBurnsFast",
        expr=f"{promql.total(cost, '1h', by, look_back=LONGEST_OUTAGE)} > {budget.usd * _FAST_SHARE:g}",
        severity="critical",
        summary=f"{subject} spent {_FAST_SHARE:.0%} of a month's budget within an hour",
        description=f"{{{{ $value | humanize }}}} USD in the last hour; the budget is {allowed}.",
        budget=budget.scope,
    )
    yield Alert(
        name="OpenAIBudgetBurnsSlowly",
        expr=f"{promql.total(cost, '1d', by, look_back=LONGEST_OUTAGE)} > {budget.usd * _SLOW_SHARE:g}",
        severity="warning",
        summary=f"{subject} spent {_SLOW_SHARE:.0%} of a month's budget within a day",
        description=f"{{{{ $value | humanize }}}} USD in the last day; the budget is {allowed}.",
        budget=budget.scope,
    )
    month = f"sum_over_time({promql.selector(COST_1H, chosen)}[30d:1h])"
    yield Alert(
        name="OpenAIBudgetSpent",
        expr=f"sum by ({budget.label}) ({month}) > {budget.usd:g}",
        severity="critical",
        summary=f"{subject} spent a month's budget within 30 days",
        description=f"{{{{ $value | humanize }}}} USD in the last 30 days; the budget is {allowed}.",
        budget=budget.scope,
    )


def _matchers(budget: Budget, others: tuple[Budget, ...]) -> list[str]:
    """The budget's series; a budget for each value excludes the values with a budget of their own."""
    if budget.value is not None:
        return promql.equal({budget.label: budget.value})
    own = [other.value for other in others if other.label == budget.label and other.value is not None]
    return [f'{budget.label}!=""', *(f"{budget.label}!={promql.quoted(value)}" for value in own)]
