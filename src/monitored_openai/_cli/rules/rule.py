"""The parts of rules: recordings, alerts, groups, budgets and limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from monitored_openai._cli.query import promql
from monitored_openai._metrics.metric_set import LEAN_SECONDS

Severity = Literal["critical", "warning"]
SERVICE = ("environment", "service_name")
"""The labels of one service."""
SERVICE_TEXT = "{{ $labels.environment }} {{ $labels.service_name }}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recording rule."""

    record: str
    expr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert."""

    name: str
    expr: str
    """Returns a series for each problem; its value is never negative."""
    summary: str
    description: str
    severity: Severity = "warning"
    pending: str = "0m"
    """How long `expr` must return a series before the alert fires."""
    budget: str = ""
    """The scope of the budget; distinguishes alerts of the same name."""
    panel: tuple[str, str]
    """The dashboard's uid and the title of the panel that show the problem."""
    labels: tuple[str, ...] = SERVICE
    """Labels of the series that `expr` returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rules that are evaluated together."""

    name: str
    interval: str
    rules: tuple[Recording | Alert, ...]

    @property
    def records_only(self) -> bool:
        """True if all rules are recording rules."""
        return all(isinstance(rule, Recording) for rule in self.rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """US dollars a month for each value of a label, or for one value of it."""

    usd: float
    label: str = "environment"
    value: str | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `500`, `production=500` (an environment) or `feature=search:50`.

        Raises:
            ValueError: the text is not a budget; the message shows the valid forms.
        """
        scope, _, amount = text.rpartition(":") if ":" in text else text.rpartition("=")
        label, _, value = scope.partition("=") if ":" in text else ("environment", "", scope)
        label = promql.LABEL_ALIASES.get(label, label)
        try:
            usd = float(amount)
        except ValueError:
            usd = 0.0
        unambiguous = text.isprintable() and (":" in text or "=" not in value)
        named = bool(promql.LABEL.fullmatch(label)) and (bool(value) or amount == text)
        if not (unambiguous and named and 0 < usd < float("inf")):
            raise ValueError(f"{text!r} is not a budget: write 500, production=500 or feature=search:50 (USD a month)")
        return cls(usd=usd, label=label, value=value or None)

    @property
    def scope(self) -> str:
        """The label and value of the budget, in words."""
        return f"each {self.label}" if self.value is None else f"{self.label} {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The thresholds of the alerts; alerts on cost need budgets."""

    budgets: tuple[Budget, ...] = ()
    error_objective: float = 0.99
    """The target share of calls without a failure of the service."""
    first_chunk_seconds: float = 2.56
    """The target time to the first chunk in seconds; a bound of the histogram, so that the share is exact."""
    first_chunk_objective: float = 0.95
    headroom: float = 0.1
    """The share of a rate limit below which the alert fires."""
    unknown_share: float = 0.05
    """The share of calls whose price or usage may be unknown."""
    prices_days: float = 180.0
    """The maximum age in days of a provider's newest price; the table does not show if an old price still applies."""
    runaway_factor: float = 4.0
    """The maximum ratio of the answers' length to that of the day before."""

    def __post_init__(self) -> None:
        """Refuse limits that no rule can use."""
        scopes = [budget.scope for budget in self.budgets]
        if duplicate := next((scope for scope in scopes if scopes.count(scope) > 1), None):
            raise ValueError(f"two budgets for {duplicate}: give one")
        if self.first_chunk_seconds not in LEAN_SECONDS:
            bounds = ", ".join(f"{bound:g}" for bound in LEAN_SECONDS)
            raise ValueError(
                f"first chunk: {self.first_chunk_seconds:g} s is not a bound of the histogram; use one of {bounds}"
            )
        for name in ("error_objective", "first_chunk_objective", "headroom", "unknown_share"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name.replace('_', ' ')}: {getattr(self, name):g} is not between 0 and 1")
        if not 0 < self.prices_days < float("inf"):
            raise ValueError(f"prices days: {self.prices_days:g} is not above 0")
        if not 1 < self.runaway_factor < float("inf"):
            raise ValueError(f"runaway factor: {self.runaway_factor:g} is not above 1")
