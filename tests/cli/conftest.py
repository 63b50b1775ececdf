"""Fixtures of the command: functions that run it, and the servers that it queries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.command import TOKEN, Asked, LokiQueries
from tests.support.servers.grafana import FakeGrafana


@pytest.fixture
def queries() -> Iterator[LokiQueries]:
    with LokiQueries() as running:
        yield running


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    with FakeGrafana(token=TOKEN) as running:
        yield running


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("GRAFANA_URL", raising=False)
    monkeypatch.delenv("GRAFANA_TOKEN", raising=False)


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Asked:
    return Asked(capsys)
