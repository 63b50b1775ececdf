"""Runs an example against the loopback API, and returns Loki's entries for the framework's calls."""

from __future__ import annotations

import json
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from monitored_openai import Monitoring, attributes
from tests.integration.test_docs import LOOPBACK_ONLY
from tests.support.servers.loki import FakeLoki
from tests.support.servers.openai_api import OpenAIServer

EXAMPLES = Path(__file__).parents[3] / "examples"
QUESTION = "Which city is the capital of Peru?"
_QUIET = {
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "LANGSMITH_TRACING": "false",
}
"""What keeps the frameworks from talking to anybody but the API; they read it when they are imported."""
_AROUND = {"feature": "search"}


class City(BaseModel):
    """A structured answer."""

    name: str


class Stage:
    """The API that the examples talk to, and the log of what they do."""

    def __init__(self, server: OpenAIServer, loki: FakeLoki, folder: Path) -> None:
        self._server = server
        self._loki = loki
        self._folder = folder

    def run(self, framework: str) -> dict[str, Any]:
        """Run the example of this framework as it is, then load it; the names that it makes."""
        example = EXAMPLES / f"with_{framework}.py"
        (self._folder / "sitecustomize.py").write_text(LOOPBACK_ONLY)
        ended = subprocess.run(
            [sys.executable, example],
            env={**os.environ, "PYTHONPATH": str(self._folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.strip(), "it shows the answer"
        return runpy.run_path(str(example))

    def seen(self, monitoring: Monitoring) -> list[str]:
        """Operation, and whether it was streamed, of each call, all of which are as the API served them."""
        assert monitoring.flush(20).complete
        lines = [json.loads(entry.line) for entry in self._loki.entries]
        truth = self._server.truth
        assert truth.calls_by_outcome() == {"ok": len(lines)}, "every call that was served is in the log, once"
        assert not any("error_type" in line or "usage_unknown" in line for line in lines)
        assert all(line["response"] and QUESTION in json.dumps(line["request"]) for line in lines)
        assert all(line["attributes"] == _AROUND for line in lines), "they reach into the framework"
        served = truth.tokens_by_kind()
        for kind in ("input", "output"):
            assert sum(line["usage"][f"{kind}_tokens"] for line in lines) == served[kind]
        return [f"{line['operation']}{' streamed' if 'chunks' in line else ''}" for line in lines]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    """A stage that refuses to look up any host but this one: frameworks like to report home."""
    foreign: list[object] = []
    look_up = socket.getaddrinfo

    def refusing(host: Any, *arguments: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in (None, "localhost", "127.0.0.1", "::1"):
            foreign.append(name)
            raise socket.gaierror(f"{name} is not this machine")
        return look_up(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", refusing)
    with OpenAIServer() as server, FakeLoki() as loki, attributes(**_AROUND):
        ours = {"OPENAI_BASE_URL": server.base_url, "MONITORED_OPENAI_LOGS_URL": loki.push_url}
        for name, value in {**_QUIET, **ours, "OPENAI_API_KEY": "sk-test"}.items():
            monkeypatch.setenv(name, value)
        yield Stage(server, loki, tmp_path)
    assert foreign == []
