"""A real VictoriaMetrics for a test: it accepts Influx line protocol, remote write and many other protocols.

It replies 204 even if it ignores data, so tests must query it for the result.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlencode

from ._http import wait_until
from ._program import Program, ProgramError, RunningProgram

__all__ = ["ProgramError", "VictoriaMetrics", "require_victoria_metrics"]

PROGRAM = Program(name="victoria-metrics", variable="MONITORED_OPENAI_VICTORIA_METRICS")


def require_victoria_metrics() -> Path:
    """The program; skips the test when there is none, but fails it under ``CI=true``."""
    return PROGRAM.require()


class VictoriaMetrics(RunningProgram):
    """The running program, from entering the context until leaving it; ``directory`` keeps its data and its log."""

    ready_path = "/health"

    @property
    def influx_url(self) -> str:
        """Where Influx line protocol goes."""
        return f"{self.url}/write"

    def arguments(self, data: Path) -> list[str]:
        return [
            f"-storageDataPath={data}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-search.latencyOffset=0s",  # else it hides the points of the last 30 s
            "-search.disableCache",
            "-memory.allowedPercent=5",
            "-loggerLevel=ERROR",
        ]

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        """The status of a request with this body."""
        return self._fetch("POST", path, body, 10.0, headers)[0]

    def settle(self, match: str, points: int) -> None:
        """Wait until so many points are found; what was taken is found a second or two later."""

        def found() -> bool:
            self._fetch("GET", "/internal/force_flush", None, 10.0)
            return sum(len(each) for _, each in self.export(match)) >= points

        wait_until(found)

    def export(self, match: str) -> list[tuple[dict[str, str], list[tuple[int, float]]]]:
        """Labels and raw points (milliseconds, value) of each series, in the order of time and none left out."""
        _, raw = self._fetch("GET", f"/api/v1/export?{urlencode({'match[]': match})}", None, 30.0)
        series = [json.loads(line) for line in raw.splitlines()]
        return [
            (each["metric"], sorted(zip(each["timestamps"], each["values"], strict=True), key=lambda point: point[0]))
            for each in series
        ]
