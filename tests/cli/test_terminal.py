"""Progress and live views on a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.command import COMMAND, TOKEN
from tests.support.servers._http import HttpServer
from tests.support.servers._steps import Reply, Request, whole
from tests.support.servers.grafana import FakeGrafana

pytestmark = pytest.mark.usefixtures("wide")


class Holding(HttpServer):
    """Answers every query with nothing, and not before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()

    async def respond(self, request: Request) -> Reply:
        """Wait, and answer."""
        await asyncio.to_thread(self.may_answer.wait, 60)
        empty = {"status": "success", "data": {"resultType": "vector", "result": []}}
        return Reply([whole(200, json.dumps(empty).encode())])


class Screen:
    """A terminal, and what has been written to it."""

    def __init__(self) -> None:
        self._master, self.end = pty.openpty()
        self.shown = ""

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Read until it is there."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert self._read(deadline), f"{text!r} is not in {self.shown!r}"

    def close(self) -> None:
        """Read the rest."""
        os.close(self.end)
        while self._read(time.monotonic() + 60):
            pass
        os.close(self._master)

    def left_behind(self) -> list[str]:
        """The lines that stay, as a terminal shows them that is wide enough."""
        lines, row = [""], 0
        for part in re.findall(r"\x1b\[[?\d;]*[a-zA-Z]|\r|\n|[^\x1b\r\n]+", self.shown):
            if part == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif part.endswith("A") and part.startswith("\x1b"):
                row -= int(part[2:-1] or 1)
            elif part == "\x1b[2K":
                lines[row] = ""
            elif not part.startswith("\x1b") and part != "\r":
                lines[row] += part
        return [line for line in lines if line.strip()]

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
        try:
            found = os.read(self._master, 65536) if ready else b""
        except OSError:  # nobody has the terminal open any more
            found = b""
        self.shown += found.decode()
        return bool(found)


@contextmanager
def on_a_terminal(*arguments: str, screen: Screen, out: int, term: str = "xterm") -> Iterator[subprocess.Popen[str]]:
    """The command with its standard error on a terminal."""
    running = subprocess.Popen(
        [COMMAND, *arguments],
        stdin=subprocess.DEVNULL, stdout=out, stderr=screen.end, env={**os.environ, "TERM": term}, text=True,
    )  # fmt: skip
    try:
        yield running
    finally:
        running.kill()
        running.communicate(timeout=60)


@pytest.mark.timeout(180)
def test_a_report_says_on_a_terminal_that_it_waits_and_nothing_of_that_stays() -> None:
    screen = Screen()
    with Holding() as prometheus:
        asking = ("report", "--url", prometheus.url)
        with on_a_terminal(*asking, screen=screen, out=subprocess.PIPE) as running:
            screen.wait_for("asking Prometheus")
            prometheus.may_answer.set()
            told, _ = running.communicate(timeout=60)
        screen.close()

    assert running.returncode == 0
    assert told.startswith("24h until")
    assert screen.left_behind() == []


@pytest.mark.timeout(180)
def test_top_on_a_terminal_goes_on_until_it_is_interrupted_and_leaves_nothing() -> None:
    screen = Screen()
    with Holding() as prometheus:
        prometheus.may_answer.set()
        asking = ("top", "--every", "0.5", "--url", prometheus.url)
        with on_a_terminal(*asking, screen=screen, out=screen.end) as running:
            screen.wait_for("5m until")
            screen.shown = ""
            screen.wait_for("5m until")
            running.send_signal(signal.SIGINT)
            screen.wait_for("\x1b[?1049l")  # back on the screen that was there before
            assert running.wait(timeout=60) == 0
        screen.close()


@pytest.mark.timeout(180)
def test_a_push_shows_how_far_it_is_and_its_results_go_where_they_belong(
    grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    push = ("dashboards", "push", "--grafana-url", grafana.url)
    outside, both = Screen(), Screen()
    with on_a_terminal(*push, screen=outside, out=subprocess.PIPE) as running:
        told, _ = running.communicate(timeout=60)
    outside.close()
    with on_a_terminal(*push, screen=both, out=both.end) as again:
        assert again.wait(timeout=60) == 0
    both.close()

    assert running.returncode == 0
    assert [line.split()[0] for line in told.splitlines()] == ["created"] * 5
    assert ("pushing" in outside.shown, "100%" in outside.shown, outside.left_behind()) == (True, True, [])
    assert ("pushing" in both.shown, "100%" in both.shown) == (True, True)
    assert [line.split()[0] for line in both.left_behind()] == ["unchanged"] * 5


@pytest.mark.timeout(180)
def test_a_terminal_that_can_draw_nothing_anew_gets_no_progress(
    grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    screen = Screen()
    push = ("dashboards", "push", "--grafana-url", grafana.url)
    with on_a_terminal(*push, screen=screen, out=subprocess.PIPE, term="dumb") as running:
        running.communicate(timeout=60)
    screen.close()

    assert (running.returncode, screen.shown) == (0, "")
