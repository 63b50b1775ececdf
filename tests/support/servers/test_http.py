from __future__ import annotations

import multiprocessing
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.servers._http import wait_until
from tests.support.servers.openai_api import Behaviour, OpenAIServer

pytestmark = pytest.mark.once

BODY: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(keep_requests=True) as running:
        yield running


def post(server: OpenAIServer, behaviour: Behaviour | None = None) -> httpx.Response:
    headers = behaviour.header() if behaviour is not None else {}
    return httpx.post(f"{server.base_url}/chat/completions", json=BODY, headers=headers, timeout=30)


def test_requests_are_kept_with_their_bytes_and_the_spelling_of_their_headers(server: OpenAIServer) -> None:
    httpx.post(
        f"{server.base_url}/chat/completions?a=b", content=iter([b'{"mo', b'del": "m"}']), headers={"X-Odd": "1"}
    )

    (kept,) = server.requests
    assert (kept.method, kept.target, kept.body) == ("POST", "/v1/chat/completions?a=b", b'{"model": "m"}')
    assert ("X-Odd", "1") in kept.raw_headers


def test_a_refused_port_stays_ours_and_serves_again(server: OpenAIServer) -> None:
    for _ in range(3):
        server.refuse()
        with pytest.raises(httpx.ConnectError):
            post(server)
        server.listen()
        assert post(server).status_code == 200


def test_two_hundred_connections_are_held_at_once(server: OpenAIServer) -> None:
    url, headers = f"{server.base_url}/chat/completions", Behaviour(hold="all").header()
    with httpx.Client(timeout=60, limits=httpx.Limits()) as client, ThreadPoolExecutor(200) as pool:
        answers = [pool.submit(client.post, url, json=BODY, headers=headers) for _ in range(200)]
        server.gate("all").wait_reached(200, timeout=60)
        server.gate("all").set()
        assert {answer.result(60).status_code for answer in answers} == {200}
    assert server.truth.calls_by_outcome() == Counter({"ok": 200})


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_left_after_closing_with_a_reply_under_way() -> None:
    threads, files = threading.active_count(), open_files()
    with OpenAIServer() as server, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, server, Behaviour(hold="never"))
        server.gate("never").wait_reached()
        server.refuse()
        assert isinstance(answer.exception(10), httpx.TransportError)

    wait_until(lambda: (threading.active_count(), open_files()) == (threads, files))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_port_or_its_connections_open(server: OpenAIServer) -> None:
    context = multiprocessing.get_context("fork")
    release = context.Event()
    with httpx.Client() as keeping:
        keeping.get(f"{server.base_url}/models")
        child = context.Process(target=release.wait, args=(30,))
        child.start()
        try:
            server.refuse()
            with pytest.raises(httpx.TransportError):  # found closed before it is used, or only then
                keeping.get(f"{server.base_url}/models")
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{server.base_url}/models")
        finally:
            release.set()
            child.join(30)


def test_a_failure_of_the_server_itself_is_not_hidden() -> None:
    with pytest.raises(AssertionError, match="the test server itself failed"), OpenAIServer() as server:
        assert httpx.post(f"{server.base_url}/completions", json=["no object"]).status_code == 500
