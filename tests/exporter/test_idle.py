"""Handles without clients stop pushing and close their connections, and lose nothing when a client returns."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from monitored_openai import MonitoredOpenAI, Monitoring, MonitoringSettings, _logging, monitor
from monitored_openai._exporter import handle as handle_module
from monitored_openai._exporter import idle
from monitored_openai._exporter.clients import Clients
from monitored_openai._exporter.delivery import http as sending
from monitored_openai._exporter.delivery.retry import Reply
from tests.support.handles import ask, flush_until, handle, imbalance, in_process
from tests.support.servers._http import wait_until
from tests.support.servers.loki import FakeLoki
from tests.support.servers.remote_write import RemoteWriteProxy, Series

CALLS = "gen_ai_client_operation_duration_seconds_count"


def open_connections(server: RemoteWriteProxy | FakeLoki) -> int:
    return len(server._transports)


@pytest.fixture
def loki() -> Iterator[FakeLoki]:
    with FakeLoki() as server:
        yield server


def calls_in(push: list[Series]) -> float:
    """The number of calls that a push reports, as the newest sample of each series has it."""
    return sum(series.samples[-1][1] for series in push if dict(series.labels)["__name__"] == CALLS)


def make_calls(monitoring: Monitoring, number: int) -> None:
    with in_process(monitoring) as client:
        for _ in range(number):
            ask(client)


def test_a_handle_rests_without_connections_when_its_clients_are_gone_and_goes_on_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "_KEPT_SECONDS", 0.5)
    with (
        RemoteWriteProxy() as proxy,
        FakeLoki() as loki,
        handle(metrics_url=proxy.write_url, logs_url=loki.push_url, push_interval=0.05) as monitoring,
    ):
        make_calls(monitoring, 2)
        assert monitoring.flush().complete
        gc.collect()
        # A push every 0.05 s keeps its connection: it is closed only after the pushes have ended.
        wait_until(lambda: open_connections(proxy) == open_connections(loki) == 0, 60)
        pushes = len(proxy.received)
        assert calls_in(proxy.received[-1]) == 2

        with in_process(monitoring) as client:
            wait_until(lambda: len(proxy.received) > pushes)
            assert calls_in(proxy.received[pushes]) == 2, "the first push after the rest has the old totals"
            ask(client)
            wait_until(lambda: calls_in(proxy.received[-1]) == 3 and len(loki.entries) == 3)

        assert monitoring.flush().complete
        assert imbalance(monitoring.stats()) == (0, 0)
        assert proxy.violations == []


def test_unchanged_totals_are_pushed_for_as_long_as_a_client_lives() -> None:
    with (
        RemoteWriteProxy() as proxy,
        handle(metrics_url=proxy.write_url, push_interval=0.05) as monitoring,
        in_process(monitoring) as client,
    ):
        ask(client)
        assert monitoring.flush().complete
        copy = client.with_options(timeout=1)
        del client
        pushes = len(proxy.received)
        wait_until(lambda: len(proxy.received) > pushes + 3 * idle.PUSHES_BEFORE_REST, 60)
        assert copy.monitoring is monitoring


def test_a_handle_does_not_rest_while_an_entry_waits(loki: FakeLoki) -> None:
    loki.refuse()
    with (
        RemoteWriteProxy() as proxy,
        handle(metrics_url=proxy.write_url, logs_url=loki.push_url, push_interval=0.05) as monitoring,
    ):
        make_calls(monitoring, 1)
        gc.collect()
        wait_until(lambda: calls_in(proxy.received[-1]) == 1 if proxy.received else False)
        pushes = len(proxy.received)
        wait_until(lambda: len(proxy.received) > pushes + 2 * idle.PUSHES_BEFORE_REST, 60)
        loki.listen()
        flush_until(monitoring, lambda: len(loki.entries) == 1)
        wait_until(lambda: open_connections(proxy) == 0, 60)


def test_a_flush_of_a_resting_handle_pushes_and_a_close_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_KEPT_SECONDS", 0.5)
    with RemoteWriteProxy() as proxy, handle(metrics_url=proxy.write_url, push_interval=0.05) as monitoring:
        make_calls(monitoring, 1)
        gc.collect()
        wait_until(lambda: bool(proxy.received) and open_connections(proxy) == 0, 60)
        pushes = len(proxy.received)

        assert monitoring.flush().complete
        assert len(proxy.received) == pushes + 1
        assert monitoring.close().complete
        wait_until(lambda: open_connections(proxy) == 0)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda client: client, id="client"),
        pytest.param(lambda client: client.with_options(timeout=1), id="copy"),
        pytest.param(lambda client: monitor(client, client.monitoring), id="twin"),
    ],
)
def test_a_client_keeps_its_handle_awake_until_it_is_gone(made: Callable[[Any], Any]) -> None:
    with handle() as monitoring:
        with in_process(monitoring) as client:
            kept = made(client)
        del client
        gc.collect()
        assert monitoring._runner.clients.any
        del kept
        gc.collect()
        assert not monitoring._runner.clients.any


def test_first_clients_on_many_threads_share_one_token() -> None:
    for _ in range(50):
        returned: list[None] = []
        clients = Clients(lambda returned=returned: returned.append(None))  # type: ignore[misc]
        start = threading.Barrier(4)
        tokens: list[object] = []

        def join(clients: Clients = clients, start: threading.Barrier = start, tokens: list[object] = tokens) -> None:
            start.wait()
            tokens.append(clients.token())

        threads = [threading.Thread(target=join) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(map(id, tokens))) == len(returned) == 1


@pytest.mark.parametrize("has_client", [True, False])
def test_an_idle_connection_is_closed_and_the_next_request_opens_another(
    loki: FakeLoki, has_client: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_client:
        monkeypatch.setattr(sending, "_KEPT_SECONDS", 0.3)
        monkeypatch.setattr(sending, "_KEPT_SECONDS_WITHOUT_CLIENTS", 600.0)
    else:
        monkeypatch.setattr(sending, "_KEPT_SECONDS_WITHOUT_CLIENTS", 0.3)

    async def post_twice() -> list[Reply | Any]:
        clients = Clients(lambda: None)
        token = clients.token() if has_client else None
        one = sending.Sender(loki.push_url, "logs", MonitoringSettings(logs_url=loki.push_url), clients)
        replies = []
        for _ in range(2):
            replies.append(await one.post(b'{"streams":[]}', {"content-type": "application/json"}))
            await asyncio.to_thread(wait_until, lambda: open_connections(loki) == 0)
        await one.aclose()
        del token
        return replies

    assert all(isinstance(reply, Reply) for reply in asyncio.run(post_twice()))
    assert loki.connections == 2


def test_many_senders_keep_no_more_than_a_few_dozen_connections_and_all_of_them_go_on(loki: FakeLoki) -> None:
    number = sending._MAX_IDLE + 20

    async def post_twice_each() -> list[Reply | Any]:
        settings = MonitoringSettings(logs_url=loki.push_url)
        senders = [sending.Sender(loki.push_url, "logs", settings) for _ in range(number)]
        replies: list[Reply | Any] = []
        for _ in range(2):
            replies += [await one.post(b'{"streams":[]}', {"content-type": "application/json"}) for one in senders]
            await asyncio.to_thread(wait_until, lambda: open_connections(loki) == sending._MAX_IDLE)
        for one in senders:
            await one.aclose()
        return replies

    replies = asyncio.run(post_twice_each())
    assert all(isinstance(reply, Reply) for reply in replies)
    assert len(replies) == 2 * number
    wait_until(lambda: open_connections(loki) == 0)


def test_settings_that_need_no_certificates_of_their_own_share_them() -> None:
    one, other = (MonitoringSettings(logs_url="https://loki.example", extra_labels={"n": n}) for n in "12")
    with_own = MonitoringSettings(logs_url="https://loki.example", verify=False)
    url = httpx.URL("https://loki.example")
    assert sending.ssl_context(url, one) is sending.ssl_context(url, other)
    assert sending.ssl_context(url, with_own) is not sending.ssl_context(url, one)
    assert sending.ssl_context(url, one).verify_mode is ssl.CERT_REQUIRED
    assert sending.ssl_context(url, one).check_hostname


def test_more_settings_than_a_few_dozen_are_warned_of_once_with_their_number(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_logging, "_said", {})
    monkeypatch.setattr(handle_module, "_shared", {})
    with ExitStack() as handles, caplog.at_level(logging.WARNING, "monitored_openai"):
        for number in range(handle_module._MANY_HANDLES):
            handles.enter_context(handle(extra_labels={"tenant": str(number)}))
        assert caplog.messages == []
        for number in range(3):
            handles.enter_context(handle(extra_labels={"tenant": f"more {number}"}))
        (message,) = caplog.messages
    assert message.startswith("33 different settings objects")


def test_a_client_made_anew_for_each_request_keeps_one_handle() -> None:
    settings = MonitoringSettings(extra_labels={"tenant": "one"})
    handles = {
        id(MonitoredOpenAI(api_key="sk-test", base_url="http://api.test", monitoring=settings).monitoring)
        for _ in range(3)
    }
    assert len(handles) == 1
    MonitoredOpenAI(api_key="sk-test", base_url="http://api.test", monitoring=settings).monitoring.close()
