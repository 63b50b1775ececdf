"""Rules about money. They use the exact form of totals: `rate` is wild on processes that live for seconds."""

from __future__ import annotations

from collections.abc import Iterator

from monitored_openai._cli.query import promql
from monitored_openai._cli.query.promql import CALLS, COST, LONGEST_OUTAGE, TOKENS
from monitored_openai._cli.rules.rule import Alert, Budget, Group, Limits, Recording

COST_1H, CALLS_1H, TOKENS_1H = (f"gen_ai_client:{what}:sum1h" for what in ("cost_usd", "calls", "tokens"))
_FAST_SHARE, _SLOW_SHARE = 0.02, 0.1
"""Of a month's budget, in an hour and in a day: 14 and 3 times what it allows."""


def hourly() -> Group:
    """What every series grew by in the last hour, without the processes: of it, sums over weeks take one an hour.

    The interval is a part of an hour, so that the hours join, and below the 5 minutes that Prometheus looks back.
    """
    recorded = ((COST_1H, COST), (CALLS_1H, CALLS), (TOKENS_1H, TOKENS))
    rules = (
        Recording(record=name, expr=f"sum without (instance) ({promql.growth(metric, '1h', look_back=LONGEST_OUTAGE)})")
        for name, metric in recorded
    )
    return Group(name="monitored-openai-hourly", interval="4m", rules=tuple(rules))


def budgets(limits: Limits) -> Group:
    """Alerts on spending too much."""
    rules = (alert for budget in limits.budgets for alert in _of(budget, limits.budgets))
    return Group(name="monitored-openai-budgets", interval="5m", rules=tuple(rules))


def _of(budget: Budget, others: tuple[Budget, ...]) -> Iterator[Alert]:
    chosen, by = _matchers(budget, others), (budget.label,)
    cost = promql.selector(COST, chosen)
    who = f"{budget.label} {{{{ $labels.{budget.label} }}}}"
    allowed = f"{budget.usd:g} USD a month"
    yield Alert(
        name="OpenAIBudgetBurnsFast",
        expr=f"{promql.total(cost, '1h', by, look_back=LONGEST_OUTAGE)} > {budget.usd * _FAST_SHARE:g}",
        severity="critical",
        summary=f"{who} spent {_FAST_SHARE:.0%} of a month's budget within an hour",
        description=f"{{{{ $value | humanize }}}} USD in the last hour; the budget is {allowed}.",
        budget=budget.whose,
    )
    yield Alert(
        name="OpenAIBudgetBurnsSlowly",
        expr=f"{promql.total(cost, '1d', by, look_back=LONGEST_OUTAGE)} > {budget.usd * _SLOW_SHARE:g}",
        severity="warning",
        summary=f"{who} spent {_SLOW_SHARE:.0%} of a month's budget within a day",
        description=f"{{{{ $value | humanize }}}} USD in the last day; the budget is {allowed}.",
        budget=budget.whose,
    )
    month = f"sum_over_time({promql.selector(COST_1H, chosen)}[30d:1h])"
    yield Alert(
        name="OpenAIBudgetSpent",
        expr=f"sum by ({budget.label}) ({month}) > {budget.usd:g}",
        severity="critical",
        summary=f"{who} spent a month's budget within 30 days",
        description=f"{{{{ $value | humanize }}}} USD in the last 30 days; the budget is {allowed}.",
        budget=budget.whose,
    )


def _matchers(budget: Budget, others: tuple[Budget, ...]) -> list[str]:
    """A budget for each value leaves out those that have one of their own."""
    if budget.value is not None:
        return promql.equal({budget.label: budget.value})
    own = [other.value for other in others if other.label == budget.label and other.value is not None]
    return [f'{budget.label}!=""', *(f"{budget.label}!={promql.quoted(value)}" for value in own)]
