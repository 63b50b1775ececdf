"""The public handle: its repr, and the truth of a flush's result."""

from __future__ import annotations

from typing import Any

import pytest

from monitored_openai import Monitoring, MonitoringSettings
from tests.support.handles import ask, handle, in_process
from tests.support.servers.loki import FakeLoki
from tests.support.servers.remote_write import RemoteWriteProxy


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, "<Monitoring in memory only>"),
        ({"logs_url": "https://logs.example:3100"}, "<Monitoring logs=https://logs.example:3100/loki/api/v1/push>"),
        (
            {
                "metrics_url": "https://someone:pa55word@prom.example/api/v1/write",
                "logs_url": "http://127.0.0.1:3100",
                "access_token": "t0ken",
            },
            "<Monitoring metrics=https://prom.example/api/v1/write logs=http://127.0.0.1:3100/loki/api/v1/push>",
        ),
    ],
)
def test_repr_shows_the_back_ends_without_credentials(settings: dict[str, Any], shown: str) -> None:
    assert repr(Monitoring(MonitoringSettings(**settings))) == shown


def test_a_flush_without_metrics_url_has_pushed_nothing_and_is_complete() -> None:
    with FakeLoki() as loki, handle(logs_url=loki.push_url) as monitoring:
        before = monitoring.flush(20)
        with in_process(monitoring) as client:
            ask(client)
        after = monitoring.flush(20)

    assert (before.complete, before.pushed) == (True, False)
    assert (after.complete, after.pushed, after.delivered) == (True, False, 1)


def test_a_flush_with_metrics_url_has_pushed() -> None:
    with RemoteWriteProxy() as proxy, handle(metrics_url=proxy.write_url) as monitoring:
        with in_process(monitoring) as client:
            ask(client)
        result = monitoring.flush(20)

    assert (result.complete, result.pushed) == (True, True)
