"""Hostile replies of a back end or of an impostor: each request ends in time, uses bounded memory, and does not affect
the next one.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from monitored_openai import MonitoredOpenAI, MonitoringSettings
from monitored_openai._exporter.delivery import http as sending
from monitored_openai._exporter.delivery.http import Sender
from monitored_openai._exporter.delivery.retry import Failure, Reply
from tests.support.handles import ask, handle, http, in_process_transport, settled
from tests.support.servers import _steps
from tests.support.servers._http import HttpServer
from tests.support.servers._steps import End, Gate, Pause, Request, Step
from tests.support.servers.loki import FakeLoki

MIB = 2**20
CERTIFICATE = Path(__file__).parents[2] / "support" / "servers" / "localhost.pem"
"""Signed by itself, for `localhost` alone, with its key."""
TOTAL_SECONDS = 0.5
"""For a request in these tests; they allow many times as much, for a machine under load."""
MOST_SECONDS = 10.0
MOST_MEMORY = 8 * MIB


class Hostile(HttpServer):
    """Answers the first request with these steps, and all later ones well."""

    def __init__(self, steps: list[Step]) -> None:
        super().__init__(keep_requests=True)
        self._steps = steps

    async def respond(self, request: Request) -> _steps.Reply:
        steps, self._steps = self._steps, []
        return _steps.Reply(steps or [_steps.whole(204)])


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def pieces(piece: bytes, number: int, seconds: float = 0) -> list[Step]:
    """Written one after the other, each when the one before is on its way."""
    return [step for _ in range(number) for step in (piece, Pause(seconds))]


FORGED = b"fine\r\nERROR root \x1b[31mforged\x1b[0m\0\x7f\n\xc2\x85"
BOMB = gzip.compress(bytes(100 * MIB))
REPLIES: dict[str, tuple[list[Step], Reply | Failure]] = {
    "silence": ([Gate()], Failure.LOST),
    "a drip": ([head("Content-Length: 1000"), *pieces(b"x", 1000, 0.02)], Failure.LOST),
    "a dripping head": ([b"HTTP/1.1 200 OK\r\n", *pieces(b"X: y\r\n", 1000, 0.02)], Failure.LOST),
    "reset in the body": ([head("Content-Length: 100"), b"0123456789", Pause(0.05), End.RESET], Failure.LOST),
    "closed in the body": ([head("Content-Length: 100"), b"0123456789", End.CLOSE], Failure.LOST),
    "closed at once": ([End.CLOSE], Failure.LOST),
    "100 MiB": ([head(f"Content-Length: {100 * MIB}"), *pieces(b"x" * MIB, 100)], Reply(200)),
    "a bomb": (
        [head("Content-Encoding: gzip", f"Content-Length: {len(BOMB)}", status="400 Bad Request"), BOMB],
        Reply(400),
    ),
    "an endless head": ([b"HTTP/1.1 200 OK\r\n", *pieces(b"X: " + b"y" * MIB + b"\r\n", 100)], Failure.LOST),
    "wrong chunks": ([head("Transfer-Encoding: chunked"), b"zz\r\nhello\r\n"], Failure.LOST),
    "an endless chunk's head": ([head("Transfer-Encoding: chunked"), *pieces(b"0" * MIB, 100)], Failure.LOST),
    "HTTP/0.9": ([b"hello\n", End.CLOSE], Failure.LOST),
    "another protocol": ([b"SSH-2.0-OpenSSH_9.2\r\n"], Failure.LOST),
    "204 with a body": ([head("Content-Length: 5", status="204 No Content"), b"hello"], Reply(204)),
    "two replies at once": ([_steps.whole(204) + _steps.whole(400)], Reply(204)),
    "a line of a log": ([head(f"Content-Length: {len(FORGED)}", status="400 Bad Request"), FORGED], Reply(400)),
    "no UTF-8": ([head("Content-Length: 2", status="400 Bad Request"), b"\xff\xfe"], Reply(400)),
    "many interim replies": ([head(status="100 Continue") * 50, _steps.whole(204)], Reply(204)),
    "a status beyond all": ([head("Content-Length: 0", status="999 Odd")], Reply(999)),
    "no number as status": ([head("Content-Length: 0", status="OK OK")], Failure.LOST),
}


@pytest.mark.parametrize("reply", REPLIES)
def test_any_reply_comes_to_its_end_in_time_and_takes_neither_memory_nor_the_connection(
    reply: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_TOTAL_SECONDS", TOTAL_SECONDS)
    steps, expected = REPLIES[reply]

    async def posted(url: str) -> tuple[Reply | Failure, float, int]:
        sender = Sender(url, "logs", MonitoringSettings(logs_url=url))
        tracemalloc.start()
        started = time.monotonic()
        outcome = await sender.post(b"{}", {})
        took = time.monotonic() - started
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        monkeypatch.setattr(sending, "_TOTAL_SECONDS", MOST_SECONDS)
        if not isinstance(await sender.post(b"{}", {}), Reply):  # it found what was too much on the connection
            assert isinstance(await sender.post(b"{}", {}), Reply), sender.trouble
        await sender.aclose()
        return outcome, took, most

    with Hostile(steps) as server:
        outcome, took, most = asyncio.run(posted(f"{server.url}/push"))

    if isinstance(expected, Reply):
        assert isinstance(outcome, Reply), outcome
        assert outcome.status == expected.status
        assert len(outcome.text) <= 4096
        assert outcome.text.isprintable()
    else:
        assert outcome is expected
    assert took < MOST_SECONDS
    assert most < MOST_MEMORY
    assert {request.method for request in server.requests} == {"POST"}


def test_the_reason_of_a_proxy_that_refuses_is_in_no_error() -> None:
    async def posted(proxy: str) -> tuple[Reply | Failure, str]:
        url = "https://localhost:9/push"
        sender = Sender(url, "logs", MonitoringSettings(logs_url=url, proxy=proxy))
        outcome = await sender.post(b"{}", {})
        await sender.aclose()
        return outcome, sender.failure

    with Hostile([head("Content-Length: 0", status="407 You sent Basic Ym9iOnBhNTV3b3Jk")]) as server:
        outcome, failure = asyncio.run(posted(server.url))

    assert outcome is Failure.CONNECT
    assert failure == "no connection: ProxyError: HTTP 407"


def test_what_the_environment_says_of_proxies_and_certificates_is_for_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with FakeLoki() as proxy, FakeLoki() as loki:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
        monkeypatch.setenv("NETRC", str(CERTIFICATE))
        outcome = asyncio.run(posted_once(loki.push_url, MonitoringSettings(logs_url=loki.push_url)))

        assert isinstance(outcome, Reply)
        assert (len(loki.requests), proxy.connections) == (1, 0)
        assert "authorization" not in loki.requests[0].headers


def test_the_exporter_and_the_users_own_http_client_know_nothing_of_each_other() -> None:
    seen: list[str] = []
    with FakeLoki() as loki, handle(logs_url=loki.push_url) as monitoring:
        own = http.Client(
            transport=in_process_transport(),
            headers={"X-Users-Own": "1"},
            auth=("user", "password"),
            event_hooks={"request": [lambda request: seen.append(request.url.host)]},
        )
        with own, MonitoredOpenAI(api_key="sk-test", http_client=own, monitoring=monitoring) as client:
            ask(client)
            settled(monitoring)

        assert seen == ["api.openai.com"]
        (request,) = loki.requests
        assert {"x-users-own", "authorization", "cookie"}.isdisjoint(request.headers)


class Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Tls(HTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that does not trust it has left."""


@contextmanager
def tls_server(most: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.maximum_version = most
    with Tls(("127.0.0.1", 0), Taking) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join(10)


@pytest.mark.parametrize(
    ("host", "verify", "is_trusted"),
    [
        ("localhost", True, False),
        ("localhost", CERTIFICATE, True),
        ("127.0.0.1", CERTIFICATE, False),
        ("127.0.0.1", False, True),
    ],
    ids=["signed by itself", "known", "of another host", "not asked for"],
)
def test_a_certificate_is_that_of_a_known_signer_and_of_this_host(
    host: str, verify: bool | Path, is_trusted: bool
) -> None:
    with tls_server() as port:
        url = f"https://{host}:{port}/push"
        outcome = asyncio.run(posted_once(url, MonitoringSettings(logs_url=url, verify=verify)))

    if is_trusted:
        assert isinstance(outcome, Reply)
        assert outcome.status == 204
    else:
        assert outcome is Failure.CONNECT


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_is_at_least_1_2() -> None:
    with tls_server(most=ssl.TLSVersion.TLSv1_1) as port:
        url = f"https://localhost:{port}/push"
        outcome = asyncio.run(posted_once(url, MonitoringSettings(logs_url=url, verify=False)))

    assert outcome is Failure.CONNECT


async def posted_once(url: str, settings: MonitoringSettings) -> Reply | Failure:
    sender = Sender(url, "logs", settings)
    try:
        return await sender.post(b"{}", {})
    finally:
        await sender.aclose()
