"""Rules on cost. They use exact totals, because `rate` is unreliable for processes that live for seconds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from monitored_openai._cli.query import promql
from monitored_openai._cli.query.promql import CALLS, COST, LONGEST_OUTAGE, TOKENS
from monitored_openai._cli.rules.rule import Alert, Budget, Group, Limits, Recording, Severity

COST_1H, CALLS_1H, TOKENS_1H = (f"gen_ai_client:{what}:sum1h" for what in ("cost_usd", "calls", "tokens"))
_FAST_SHARE, _SLOW_SHARE = 0.02, 0.1
"""Shares of a month's budget in an hour and in a day: 14 and 3 times the pace of the budget."""


def hourly() -> Group:
    """Return the rules that record each series' increase in an hour, summed over processes; queries add up weeks of them.

    The interval divides an hour, so that the hours join without a gap, and is below Prometheus's lookback of 5 minutes.
    """
    recorded = ((COST_1H, COST), (CALLS_1H, CALLS), (TOKENS_1H, TOKENS))
    rules = (
        Recording(record=name, expr=f"sum without (instance) ({promql.growth(metric, '1h', look_back=LONGEST_OUTAGE)})")
        for name, metric in recorded
    )
    return Group(name="monitored-openai-hourly", interval="4m", rules=tuple(rules))


def budgets(limits: Limits) -> Group:
    """Return the group of alerts on budgets."""
    rules = (alert for budget in limits.budgets for alert in _alerts(budget, limits.budgets))
    return Group(name="monitored-openai-budgets", interval="5m", rules=tuple(rules))


def _alerts(budget: Budget, others: tuple[Budget, ...]) -> Iterator[Alert]:
    chosen = _matchers(budget, others)
    exact = partial(promql.total, promql.selector(COST, chosen), by=(budget.label,), look_back=LONGEST_OUTAGE)
    month = f"sum by ({budget.label}) (sum_over_time({promql.selector(COST_1H, chosen)}[30d:1h]))"
    windows: tuple[tuple[str, str, float, str, str, Severity], ...] = (
        ("OpenAIBudgetBurnsFast", exact(over="1h"), _FAST_SHARE, "an hour", "hour", "critical"),
        ("OpenAIBudgetBurnsSlowly", exact(over="1d"), _SLOW_SHARE, "a day", "day", "warning"),
        ("OpenAIBudgetSpent", month, 1.0, "30 days", "30 days", "critical"),
    )
    for name, spent, share, within, last, severity in windows:
        part = f"{share:.0%} of " if share < 1 else ""
        yield Alert(
            name=name,
            expr=f"{spent} > {budget.usd * share:g}",
            severity=severity,
            summary=f"{budget.label} {{{{ $labels.{budget.label} }}}} spent {part}a month's budget within {within}",
            description=f"{{{{ $value | humanize }}}} USD in the last {last}; the budget is {budget.usd:g} USD a month.",
            budget=budget.scope,
            panel=("monitored-openai-cost", "Spend per hour by $attribute"),
            labels=(budget.label,),
        )


def _matchers(budget: Budget, others: tuple[Budget, ...]) -> list[str]:
    """Return the budget's matchers; a budget for each value excludes values that have their own budget."""
    if budget.value is not None:
        return promql.equal({budget.label: budget.value})
    own = [other.value for other in others if other.label == budget.label and other.value is not None]
    return [f'{budget.label}!=""', *(f"{budget.label}!={promql.quoted(value)}" for value in own)]
