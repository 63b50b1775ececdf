"""`monitored-openai rules export`: the rules as files for Prometheus and for Grafana's provisioning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.export import write
from monitored_openai._cli.query import promql
from monitored_openai._cli.rules import cost, service, telemetry
from monitored_openai._cli.rules.formats import grafana_file, prometheus_file
from monitored_openai._cli.rules.links import Links
from monitored_openai._cli.rules.rule import Budget, Group, Limits


def export(folder: Path, groups: Iterable[Group], links: Links, *, data_source: str) -> Iterator[Path]:
    """Write the files; yield their paths.

    Raises:
        UserError: a file cannot be written.
    """
    return write(folder, texts(groups, links, data_source=data_source))


def check_data_source(data_source: str) -> None:
    """Check the uid of a data source.

    Raises:
        UserError: it is empty or has characters that cannot be printed.
    """
    if not data_source or not data_source.isprintable():
        raise UserError(
            f"--data-source {data_source!r} is not the uid of a data source: write the uid of Prometheus in Grafana, or "
            "leave the option out"
        )


def parse_limits(budgets: Iterable[str], **objectives: float) -> Limits:
    """Return the limits; `objectives` are fields of `Limits`.

    Raises:
        UserError: a budget or an objective is invalid.
    """
    try:
        return Limits(budgets=tuple(map(Budget.parse, budgets)), **objectives)
    except ValueError as error:
        raise UserError(str(error)) from error


def groups_of(limits: Limits, *, scraped: bool = False) -> list[Group]:
    """Return all groups; some may have no rules. For `scraped` series, totals are estimates."""
    found = (cost.hourly(), cost.budgets(limits), service.service(limits), telemetry.telemetry(limits))
    return [_for_scraped_series(group) if scraped else group for group in found]


def texts(groups: Iterable[Group], links: Links, *, data_source: str = "prometheus") -> Mapping[str, str]:
    """Return each file's text by its name; `data_source` is the uid of Prometheus in Grafana."""
    chosen = list(groups)
    return {
        "monitored-openai.rules.yml": prometheus_file(chosen, links),
        "monitored-openai.grafana.yml": grafana_file(chosen, links, data_source),
    }


def _for_scraped_series(group: Group) -> Group:
    return replace(group, rules=tuple(replace(rule, expr=promql.for_scraped_series(rule.expr)) for rule in group.rules))
