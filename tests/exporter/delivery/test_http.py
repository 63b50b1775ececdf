"""The sender alone: the request that it sends, its reading of a reply, and its state after an interrupted request."""

from __future__ import annotations

import asyncio
import email.utils
import time
import types
from collections.abc import Coroutine, Generator
from typing import Any

import httpx
import pytest
import respx

from monitored_openai._exporter.delivery.http import Sender
from monitored_openai._exporter.delivery.retry import Failure, Reply
from monitored_openai._settings.model import MonitoringSettings
from tests.support.servers.loki import FakeLoki


@types.coroutine
def cancelled_at(number: int, work: Coroutine[Any, Any, object]) -> Generator[Any, Any, bool]:
    """Run it in the present task, which is cancelled when it waits for the n-th time; whether it waited so often."""
    resume: Any = work.send
    value: object = None
    waited = 0
    while True:
        try:
            waits_for = resume(value)
        except StopIteration:
            return waited >= number
        waited += 1
        if waited == number:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        try:
            value, resume = (yield waits_for), work.send
        except BaseException as error:
            value, resume = error, work.throw


def test_a_request_broken_off_at_any_point_takes_no_connection_with_it() -> None:
    async def broken_off(sender: Sender, number: int) -> bool:
        try:
            return await asyncio.create_task(_drive(cancelled_at(number, sender.post(b"{}", {}))))
        except asyncio.CancelledError:
            return True

    async def breaks_off(number: int) -> bool:
        sender = Sender(loki.push_url, "logs", MonitoringSettings(logs_url=loki.push_url))
        broken = [await broken_off(sender, number) for _ in range(3)]
        await answered(sender)
        await sender.aclose()
        return broken[0]

    with FakeLoki() as loki:
        number = 1
        while asyncio.run(breaks_off(number)):
            number += 1
    assert number > 5


async def answered(sender: Sender) -> None:
    outcome = await asyncio.wait_for(sender.post(b"{}", {}), 60)
    assert isinstance(outcome, Reply), (outcome, sender.trouble)


async def _drive(work: Any) -> bool:
    return bool(await work)


# One answer of a back end; tests of sockets, time limits and TLS are in test_hostile_replies.py

URL = "http://loki.test:3100/loki/api/v1/push"


def posted(
    answer: httpx.Response | Exception, body: bytes = b"{}", extra: dict[str, str] | None = None, **settings: Any
) -> tuple[Reply | Failure, Sender, httpx.Request]:
    """The outcome of one request that is answered so, with its sender and the request as it was sent."""

    async def post() -> tuple[Reply | Failure, Sender]:
        sender = Sender(URL, "logs", MonitoringSettings(logs_url=URL, allow_insecure=True, **settings))
        try:
            return await sender.post(body, extra or {}), sender
        finally:
            await sender.aclose()

    with respx.mock(using="httpcore") as back_end:
        route = back_end.post(URL).mock(side_effect=[answer])
        outcome, sender = asyncio.run(post())
        assert len(back_end.calls) == 1, "one request, and none to elsewhere"
        return outcome, sender, route.calls.last.request


def reply_to(answer: httpx.Response, **settings: Any) -> Reply:
    outcome, _, _ = posted(answer, **settings)
    assert isinstance(outcome, Reply)
    return outcome


@pytest.mark.parametrize(
    ("status", "is_success"),
    [(200, True), (204, True), (299, True), (304, False), (400, False), (401, False), (429, False), (500, False)],
)
def test_a_reply_has_its_status_and_only_2xx_is_a_success(status: int, is_success: bool) -> None:
    outcome, sender, _ = posted(httpx.Response(status, text="said"))

    assert isinstance(outcome, Reply)
    assert (outcome.status, outcome.is_success) == (status, is_success)
    assert ("not all sent" if is_success else f"HTTP {status}") in sender.failure
    assert "said" not in sender.failure


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_takes_no_credentials_elsewhere(status: int) -> None:
    location = {"Location": "http://elsewhere.test/loki/api/v1/push"}

    reply = reply_to(httpx.Response(status, headers=location), access_token="secret", tenant_id="tenant")

    assert reply.status == status


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0", 0.0), ("86400", 300.0), ("-1", None), ("soon", None), ("", None)]
)
def test_retry_after_is_read_as_a_bounded_number_of_seconds(header: str, seconds: float | None) -> None:
    assert reply_to(httpx.Response(429, headers={"Retry-After": header})).retry_after == seconds


def test_a_reply_without_headers_has_no_retry_after_and_no_time() -> None:
    reply = reply_to(httpx.Response(503))

    assert (reply.retry_after, reply.server_time) == (None, None)


def test_a_date_as_retry_after_and_the_time_of_the_server_are_read() -> None:
    now = time.time()
    headers = {"Retry-After": email.utils.formatdate(now + 60, usegmt=True), "Date": email.utils.formatdate(now - 300)}

    reply = reply_to(httpx.Response(503, headers=headers))

    assert reply.retry_after is not None
    assert 20 < reply.retry_after <= 60
    assert reply.server_time == int(now) - 300


def test_a_request_carries_its_body_credentials_tenant_and_headers() -> None:
    _, _, request = posted(
        httpx.Response(204),
        b"body",
        {"Content-Type": "application/json"},
        access_token="secret",
        tenant_id="tenant",
        headers={"X-Own": "1"},
    )

    assert (request.method, str(request.url), request.content) == ("POST", URL, b"body")
    sent = request.headers
    assert (sent["authorization"], sent["x-scope-orgid"], sent["x-own"]) == ("Bearer secret", "tenant", "1")
    assert (sent["host"], sent["content-type"]) == ("loki.test:3100", "application/json")
    assert sent["user-agent"].startswith("monitored-openai/")
    assert "accept-encoding" not in sent


def test_the_text_of_a_reply_repeats_no_secret_and_no_control_character() -> None:
    text = "tenant\r\nuses glc_planted-s3cret\x1b[31m"

    reply = reply_to(httpx.Response(401, text=text), access_token="glc_planted-s3cret")

    assert "s3cret" not in reply.text
    assert reply.text.startswith("tenant uses")
    assert reply.text.isprintable()


def test_a_packed_reply_is_not_unpacked() -> None:
    reply = reply_to(httpx.Response(400, content=b"packed", headers={"Content-Encoding": "br"}))

    assert (reply.status, reply.text) == (400, "")


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (httpx.ConnectError("refused"), Failure.CONNECT),
        (httpx.ConnectTimeout("slow"), Failure.CONNECT),
        (httpx.ReadError("reset"), Failure.LOST),
        (httpx.ReadTimeout("silent"), Failure.LOST),
        (httpx.RemoteProtocolError("no HTTP"), Failure.LOST),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_says_whether_the_request_may_have_arrived(error: Exception, failure: Failure) -> None:
    outcome, sender, _ = posted(error)

    assert outcome is failure
    is_from_the_server = isinstance(error, httpx.RemoteProtocolError)  # its text may quote the reply
    assert sender.trouble == type(error).__name__ + ("" if is_from_the_server else f": {error}")
