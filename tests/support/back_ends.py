"""Servers of one test: an OpenAI-compatible server and a strict back end of each kind, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.servers.loki import FakeLoki
from tests.support.servers.openai_api import OpenAIServer
from tests.support.servers.remote_write import RemoteWriteProxy


class Reality:
    """The API and the back ends, until `close`."""

    def __init__(self) -> None:
        with ExitStack() as servers:
            self.api = servers.enter_context(OpenAIServer(keep_requests=True))
            self.loki = servers.enter_context(FakeLoki())
            self.prometheus = servers.enter_context(RemoteWriteProxy())
            self.close = servers.pop_all().close


@pytest.fixture
def api() -> Iterator[OpenAIServer]:
    """Serve the API and know the truth about each call."""
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def proxy() -> Iterator[RemoteWriteProxy]:
    """Take remote writes as strictly as Prometheus."""
    with RemoteWriteProxy() as running:
        yield running


@pytest.fixture
def loki() -> Iterator[FakeLoki]:
    """Take logs as strictly as Loki."""
    with FakeLoki() as running:
        yield running
