"""A real Prometheus for a test: with the remote-write receiver on and nothing scraped.

It is strict: it has no out-of-order window, so it refuses a whole request for one sample older than its series' last.
"""

from __future__ import annotations

from pathlib import Path

from ._program import Program, RunningProgram
from ._program import ProgramError as PrometheusError

__all__ = ["Prometheus", "PrometheusError", "require_prometheus"]

PROGRAM = Program(name="prometheus", variable="MONITORED_OPENAI_PROMETHEUS")


def require_prometheus() -> Path:
    """The program; skips the test when there is none, but fails it under ``CI=true``."""
    return PROGRAM.require()


class Prometheus(RunningProgram):
    """The running program, from entering the context until leaving it; ``directory`` keeps its data and its log."""

    ready_path = "/-/ready"

    @property
    def promtool(self) -> Path:
        """The tool that comes with the program."""
        return self._program.with_name("promtool")

    def arguments(self, data: Path) -> list[str]:
        config = data / "prometheus.yml"
        config.write_text("global: {scrape_interval: 1h}\n")
        return [
            f"--config.file={config}",
            f"--storage.tsdb.path={data / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-remote-write-receiver",
            "--log.level=warn",
        ]
