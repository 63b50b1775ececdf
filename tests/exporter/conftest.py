"""Back ends and handles for the tests of the exporter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitored_openai import Monitoring
from tests.support.handles import MANUAL, handle
from tests.support.servers.loki import FakeLoki
from tests.support.servers.remote_write import RemoteWriteProxy


@pytest.fixture
def proxy() -> Iterator[RemoteWriteProxy]:
    with RemoteWriteProxy() as running:
        yield running


@pytest.fixture
def loki() -> Iterator[FakeLoki]:
    with FakeLoki() as running:
        yield running


@pytest.fixture
def metrics(proxy: RemoteWriteProxy) -> Iterator[Monitoring]:
    with handle(metrics_url=proxy.write_url, **MANUAL) as made:
        yield made


@pytest.fixture
def logs(loki: FakeLoki) -> Iterator[Monitoring]:
    with handle(logs_url=loki.push_url, **MANUAL) as made:
        yield made


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"
