"""The links of an alert: to its section of the runbook, and to the panel that shows the problem."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import metadata
from typing import Any

from monitored_openai._cli import dashboards
from monitored_openai._cli.rules.rule import Alert

_DISTRIBUTION, _DOCUMENTATION = "monitored-openai", "Documentation"
_PAGE = "alerts.md"
_VARIABLES = {"environment": "environment", "service_name": "service", "gen_ai_request_model": "model"}
"""Variables of the dashboards by the label that they choose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The addresses in the annotations of alerts."""

    runbook: str
    """The page that has a section for each alert."""
    grafana: str | None = None
    """Grafana's address; without it, alerts have no link to a dashboard."""
    suffix: str = ""
    """The end of the dashboards' uids."""

    def annotations(self, alert: Alert) -> dict[str, str]:
        """Return the annotations with the links."""
        found = {"runbook_url": f"{self.runbook}#{alert.name.lower()}"}
        if self.grafana is not None:
            found["dashboard_url"] = self._dashboard(alert)
        return found

    def panel(self, alert: Alert) -> dict[str, str]:
        """Return the annotations by which Grafana links a rule to a panel."""
        uid, title = alert.panel
        return {"__dashboardUid__": f"{uid}{self.suffix}", "__panelId__": str(_panels(uid)[title])}

    def _dashboard(self, alert: Alert) -> str:
        """Return the dashboard's address with the values of the alert's labels, which a template fills in."""
        chosen = [
            f"&var-{variable}={{{{ $labels.{label} | urlquery }}}}"
            for label, variable in _VARIABLES.items()
            if label in alert.labels
        ]
        return f"{self.grafana}/d/{alert.panel[0]}{self.suffix}?from=now-6h&to=now{''.join(chosen)}"


def published_runbook() -> str:
    """Return the address of the runbook in the documentation of this version, from the package's metadata."""
    urls = (line.partition(", ") for line in metadata(_DISTRIBUTION).get_all("Project-URL") or ())
    page = next((url for name, _, url in urls if name == _DOCUMENTATION), _PAGE)
    return f"{page.rpartition('/')[0]}/{_PAGE}".lstrip("/")


@cache
def _panels(uid: str) -> dict[str, int]:
    """Return the id of each panel of a dashboard by its title."""
    board = json.loads(dashboards.texts()[f"{uid}.json"])
    return {panel["title"]: panel["id"] for panel in _nested(board["panels"])}


def _nested(panels: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the panels, and those inside collapsed rows."""
    for panel in panels:
        yield panel
        yield from _nested(panel.get("panels") or [])
