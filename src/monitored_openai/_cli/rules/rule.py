"""What rules are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from monitored_openai._cli.query import promql
from monitored_openai._metrics.names import SECONDS

Severity = Literal["critical", "warning", "info"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A series that is computed ahead of time."""

    record: str
    expr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that somebody should look at."""

    name: str
    expr: str
    """Yields a series for each thing that is wrong; its value is never negative."""
    severity: Severity
    summary: str
    description: str
    lasting: str = "0m"
    """How long it must have been so."""
    budget: str = ""
    """What the budget is for, where there may be several of the same alert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rules that are evaluated together."""

    name: str
    interval: str
    rules: tuple[Recording | Alert, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """US dollars a month for each value of a label, or for one value of it."""

    usd: float
    label: str = "environment"
    value: str | None = None

    @classmethod
    def parsed(cls, text: str) -> Budget:
        """Read `500`, `production=500` (an environment) or `feature=search:50`.

        Raises:
            ValueError: with what would be right.
        """
        whose, _, amount = text.rpartition(":") if ":" in text else text.rpartition("=")
        label, _, value = whose.partition("=") if ":" in text else ("environment", "", whose)
        label = promql.SHORT.get(label, label)
        try:
            usd = float(amount)
        except ValueError:
            usd = 0.0
        readable = text.isprintable() and (":" in text or "=" not in value)
        named = bool(promql.LABEL.fullmatch(label)) and (bool(value) or amount == text)
        if not (readable and named and 0 < usd < float("inf")):
            raise ValueError(f"{text!r} is no budget: write 500, production=500 or feature=search:50 (USD a month)")
        return cls(usd=usd, label=label, value=value or None)

    @property
    def whose(self) -> str:
        """What it is for, in words."""
        return f"each {self.label}" if self.value is None else f"{self.label} {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the alerts are to be about; without budgets there are none on cost."""

    budgets: tuple[Budget, ...] = ()
    error_objective: float = 0.99
    """The share of calls that are to end without a failure of the service."""
    first_chunk_seconds: float = 2.56
    """By when a streamed answer is to have begun; one of the histogram's bounds, so that the share is exact."""
    first_chunk_objective: float = 0.95
    headroom: float = 0.1
    """The share of a rate limit that is to be left."""
    unknown_share: float = 0.05
    """The share of calls whose price or usage may be unknown."""
    runaway_factor: float = 4.0
    """By how much answers may become longer than they were the day before."""

    def __post_init__(self) -> None:
        """Refuse what no rule could be made of."""
        whose = [budget.whose for budget in self.budgets]
        if twice := next((one for one in whose if whose.count(one) > 1), None):
            raise ValueError(f"there are two budgets for {twice}: give one")
        if self.first_chunk_seconds not in SECONDS:
            bounds = ", ".join(f"{bound:g}" for bound in SECONDS)
            raise ValueError(f"first chunk: {self.first_chunk_seconds:g} s is no bound of the histogram; take {bounds}")
        for name in ("error_objective", "first_chunk_objective", "headroom", "unknown_share"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name.replace('_', ' ')}: {getattr(self, name):g} is not between 0 and 1")
        if not 1 < self.runaway_factor < float("inf"):
            raise ValueError(f"runaway factor: {self.runaway_factor:g} is not above 1")
