"""The public handle: its repr, and correct results of a flush."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from monitored_openai import Monitoring, MonitoringSettings
from tests.support.handles import MANUAL, ask, handle, in_process
from tests.support.servers._http import wait_until
from tests.support.servers.loki import FakeLoki
from tests.support.servers.remote_write import RemoteWriteProxy


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, "<Monitoring in memory only>"),
        ({"logs_url": "https://logs.example:3100"}, "<Monitoring logs=https://logs.example:3100>"),
        (
            {
                "metrics_url": "https://someone:pa55word@prom.example/t0ken/api/v1/write",
                "logs_url": "http://127.0.0.1:3100",
                "access_token": "t0ken",
            },
            "<Monitoring metrics=https://prom.example logs=http://127.0.0.1:3100>",
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


def test_a_flush_after_the_end_repeats_the_result_of_the_last_one() -> None:
    with handle(metrics_url="http://127.0.0.1:9/api/v1/write") as monitoring:
        unused = monitoring.flush(20)
        with in_process(monitoring) as client:
            ask(client)
        monitoring.flush(0.2)
        monitoring.close(0.2)
        late = monitoring.flush(20)

    assert (unused.complete, unused.pushed) == (True, False)
    assert (late.complete, late.pushed) == (False, False)


def test_a_purge_after_the_death_of_the_exporters_thread_empties_the_spool(tmp_path: Path) -> None:
    with FakeLoki() as loki, handle(logs_url=loki.push_url, spool_dir=str(tmp_path / "spool"), **MANUAL) as monitoring:
        loki.refuse()
        with in_process(monitoring) as client:
            ask(client)
        loki.wait_until(lambda: monitoring.stats().spooled == 1)
        thread = monitoring._runner._thread
        assert thread is not None
        thread.call(thread._loop.stop)
        wait_until(lambda: not thread.is_alive)
        monitoring.purge()

        assert (monitoring.stats().spooled, monitoring.stats().dropped) == (0, {"purged": 1})


def test_a_purge_does_nothing_on_a_system_without_support_for_a_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The import fails, as on a system without SQLite.
    monkeypatch.setitem(sys.modules, "monitored_openai._exporter.spool.spool", None)

    with handle(logs_url="http://127.0.0.1:9", spool_dir=str(tmp_path / "spool"), **MANUAL) as monitoring:
        monitoring.purge()

    assert not (tmp_path / "spool").exists()
