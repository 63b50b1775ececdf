"""A real Prometheus for a test: on a free loopback port, with the remote-write receiver on and nothing scraped.

It is strict: no out-of-order window, so a sample older than its series' last one loses the whole request.
The program is looked for in ``MONITORED_OPENAI_PROMETHEUS``, the ``PATH``, and where ``scripts/install-prometheus``
puts it.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import pytest

VARIABLE = "MONITORED_OPENAI_PROMETHEUS"
INSTALLED = Path(__file__).parents[2] / ".cache" / "prometheus" / "usr" / "bin" / "prometheus"

_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 15.0
_QUERY_TIMEOUT = 30.0


def find_prometheus() -> Path | None:
    """The program, or None."""
    named = os.environ.get(VARIABLE) or shutil.which("prometheus")
    if named:
        return Path(named)
    return INSTALLED if INSTALLED.exists() else None


def require_prometheus() -> Path:
    """The program; skips the test when there is none, but fails it under ``CI=true``."""
    found = find_prometheus()
    if found is not None and found.exists():
        return found
    reason = f"no Prometheus at {found or INSTALLED}: run scripts/install-prometheus, or name one in {VARIABLE}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class PrometheusError(Exception):
    """The program did not start, or refused a query."""


class Prometheus:
    """The running program, from entering the context until leaving it; ``directory`` keeps its data and its log."""

    def __init__(self, program: Path, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The address, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def write_url(self) -> str:
        """Where remote write goes."""
        return f"{self.url}/api/v1/write"

    @property
    def promtool(self) -> Path:
        """The tool that comes with the program."""
        return self._program.with_name("promtool")

    def query(self, promql: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series of an instant query, at ``at`` seconds since the epoch or now."""
        given = {"query": promql} if at is None else {"query": promql, "time": repr(at)}
        data = self._ask("/api/v1/query", given)
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(series["metric"], float(series["value"][1])) for series in data["result"]]

    def value(self, promql: str, at: float | None = None) -> float | None:
        """The one value of a query; None when it is empty, ``PrometheusError`` when there are several."""
        found = self.query(promql, at)
        if len(found) > 1:
            raise PrometheusError(f"{len(found)} series answer {promql}")
        return found[0][1] if found else None

    def query_range(
        self, promql: str, start: float, end: float, step: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """Labels and points (time, value) of each series between two times, in seconds since the epoch."""
        given = {"query": promql, "start": repr(start), "end": repr(end), "step": repr(step)}
        data = self._ask("/api/v1/query_range", given)
        return [(s["metric"], [(float(at), float(value)) for at, value in s["values"]]) for s in data["result"]]

    def __enter__(self) -> Self:
        for attempt in range(3):
            self.port = _free_port()
            self._process = self._launch(self._directory / f"run-{attempt}")
            try:
                if self._ready():
                    return self
            except BaseException:
                self._stop()
                raise
        log = (self._directory / "prometheus.log").read_text(errors="replace")
        raise PrometheusError(f"{self._program} ended at its start: {log[-2000:]}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop()

    def _launch(self, data: Path) -> subprocess.Popen[bytes]:
        data.mkdir(parents=True)
        config = data / "prometheus.yml"
        config.write_text("global: {scrape_interval: 1h}\n")
        arguments = [
            f"--config.file={config}",
            f"--storage.tsdb.path={data / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-remote-write-receiver",
            "--log.level=warn",
        ]
        with (self._directory / "prometheus.log").open("ab") as log:
            return subprocess.Popen(
                [str(self._program), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=data
            )

    def _ready(self) -> bool:
        """Wait until it answers; False when it ended instead, as it does when the port was taken meanwhile."""
        assert self._process is not None
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            try:
                if self._fetch("GET", "/-/ready", None, 2.0)[0] == 200:
                    return True
            except OSError:
                time.sleep(0.05)
        raise PrometheusError(f"{self._program} was not ready within {_START_TIMEOUT} s")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_TIMEOUT)

    def _ask(self, path: str, given: dict[str, str]) -> Any:
        status, raw = self._fetch("POST", path, urlencode(given), _QUERY_TIMEOUT)
        reply = json.loads(raw)
        if reply["status"] != "success":
            raise PrometheusError(f"{status} {reply.get('error')}: {given}")
        return reply["data"]

    def _fetch(self, method: str, path: str, body: str | None, timeout: float) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = {} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
