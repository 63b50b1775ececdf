"""A real program that stores metrics and answers PromQL, run for a test on a free loopback port.

The test finds it through an environment variable, in the ``PATH``, or where a script of the project installs it.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import pytest

_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 15.0
_QUERY_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Where a program is looked for."""

    name: str
    variable: str
    """The environment variable that may hold its path."""

    @property
    def script(self) -> str:
        """What installs it, as a path in the project."""
        return f"scripts/install-{self.name}"

    @property
    def installed(self) -> Path:
        """Where the script puts it."""
        return Path(__file__).parents[3] / ".cache" / self.name / "usr" / "bin" / self.name

    def find(self) -> Path | None:
        """The program, or None."""
        named = os.environ.get(self.variable) or shutil.which(self.name)
        if named:
            return Path(named)
        return self.installed if self.installed.exists() else None

    def require(self) -> Path:
        """The program; skips the test when there is none, but fails it under ``CI=true``."""
        found = self.find()
        if found is not None and found.exists():
            return found
        reason = f"no {self.name} at {found or self.installed}: run {self.script}, or name one in {self.variable}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)


class ProgramError(Exception):
    """The program did not start, or refused a query."""


class RunningProgram:
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

    def arguments(self, data: Path) -> list[str]:
        """What it is started with, its data in this new directory and its port being `port`."""
        raise NotImplementedError

    @property
    def ready_path(self) -> str:
        """What answers 200 once it is ready."""
        raise NotImplementedError

    def query(self, promql: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series of an instant query, at ``at`` seconds since the epoch or now."""
        given = {"query": promql} if at is None else {"query": promql, "time": repr(at)}
        data = self._ask("/api/v1/query", given)
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(series["metric"], float(series["value"][1])) for series in data["result"]]

    def value(self, promql: str, at: float | None = None) -> float | None:
        """The one value of a query; None when it is empty, ``ProgramError`` when there are several."""
        found = self.query(promql, at)
        if len(found) > 1:
            raise ProgramError(f"{len(found)} series answer {promql}")
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
        log = (self._directory / "log").read_text(errors="replace")
        raise ProgramError(f"{self._program} ended at its start: {log[-2000:]}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop()

    def _launch(self, data: Path) -> subprocess.Popen[bytes]:
        data.mkdir(parents=True)
        with (self._directory / "log").open("ab") as log:
            return subprocess.Popen(
                [str(self._program), *self.arguments(data)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=data
            )

    def _ready(self) -> bool:
        """Wait until it answers; False when it ended instead, as it does when the port was taken meanwhile."""
        assert self._process is not None
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            try:
                if self._fetch("GET", self.ready_path, None, 2.0)[0] == 200:
                    return True
            except OSError:
                time.sleep(0.05)
        raise ProgramError(f"{self._program} was not ready within {_START_TIMEOUT} s")

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
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        status, raw = self._fetch("POST", path, urlencode(given), _QUERY_TIMEOUT, form)
        reply = json.loads(raw)
        if reply["status"] != "success":
            raise ProgramError(f"{status} {reply.get('error')}: {given}")
        return reply["data"]

    def _fetch(
        self,
        method: str,
        path: str,
        body: str | bytes | None,
        timeout: float,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
