"""A real Prometheus scrapes a process that restarts: the dashboards for scraped series show its totals."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitored_openai._cli import dashboards
from tests.support.grafana import filled
from tests.support.servers.openai_api import OpenAIServer
from tests.support.servers.prometheus import Prometheus, require_prometheus

pytestmark = pytest.mark.once

PROGRAM = "tests.support.programs.scraped"
CALLS = (60, 100)
"""Calls of each start of the process."""
COUNT = "sum(gen_ai_client_operation_duration_seconds_count)"
SERVED = """
scrape_configs:
- job_name: app
  scrape_interval: 500ms
  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Scraping(Prometheus):
    """A Prometheus that scrapes one port."""

    scraped_port = 0

    def arguments(self, data: Path) -> list[str]:
        given = super().arguments(data)
        (data / "prometheus.yml").write_text(SERVED.format(port=self.scraped_port))
        return given


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraping]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        Scraping.scraped_port = free.getsockname()[1]
    with Scraping(require_prometheus(), tmp_path_factory.mktemp("prometheus")) as running:
        yield running


def wait_until_counted(prometheus: Prometheus, number: int, last: str = "sum(up)") -> None:
    deadline = time.monotonic() + 60
    while prometheus.query(f"{COUNT} and on() {last} == 1", at=time.time()) != [({}, float(number))]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def run_process(prometheus: Scraping, api: OpenAIServer, number: int) -> None:
    command = [sys.executable, "-m", PROGRAM, str(prometheus.scraped_port), str(number)]
    env = {**os.environ, "OPENAI_BASE_URL": f"{api.url}/v1", "OPENAI_API_KEY": "none"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=env, text=True) as process:
        assert process.stdin is not None
        try:
            for calls in (1, number):
                wait_until_counted(prometheus, calls)
                process.stdin.write("\n")
                process.stdin.flush()
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_totals_of_a_scraped_process_follow_its_restart(prometheus: Scraping) -> None:
    began = time.time()
    with OpenAIServer() as api:
        for number in CALLS:
            run_process(prometheus, api, number)
        truth = api.truth
    seconds = int(time.time() - began) + 2
    values = {"environment": ".*", "service": ".*", "model": ".*", "__range": f"{seconds}s", "__range_s": str(seconds)}

    board = json.loads(dashboards.texts(scraped=True)["monitored-openai-overview-scraped.json"])
    shown = {
        panel["title"]: prometheus.query(filled(panel["targets"][0]["expr"], values), at=time.time())
        for panel in board["panels"]
        if panel["title"] in ("Calls", "Tokens")
    }

    totals = {title: found[0][1] for title, found in shown.items()}
    tokens = truth.tokens_by_kind()
    right = {"Calls": float(sum(CALLS)), "Tokens": tokens["input"] + tokens["output"]}
    # `increase` misses the first call of each start; it extrapolates, and the pause between the starts lengthens that
    for title, total in right.items():
        assert 0.9 * total < totals[title] < 1.5 * total, title
