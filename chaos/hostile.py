"""Sends damaged and expensive requests and pushes to the local page's server, which has 512 MiB of address space."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import httpx
from hypothesis import HealthCheck, given, settings

from tests.support.hostile import (
    ANSWERS,
    BOMBS,
    ENTRIES,
    HEAVY,
    LONG_QUERY,
    REQUESTS,
    SERIES,
    LimitedServer,
    conversation,
    large_history,
)

EXAMPLES = int(os.environ.get("CHAOS_EXAMPLES", "5000"))
AT_ONCE = 8
LONG = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
Pushes = dict[str, tuple[str, Callable[[], bytes]]]
TAKEN, REFUSED, BUSY = {204}, {400, 413}, {503}


def run(directory: Path) -> str:
    """Run the test and return its results as text."""
    with LimitedServer(directory) as server, httpx.Client(base_url=server.url, timeout=300) as client:
        statuses: Counter[int] = Counter()
        _push_all(client, BOMBS, REFUSED)
        after_first = server.most_mib()
        _requests(server.url, statuses)
        _pushes(client, statuses)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for pushes, expected in ((BOMBS, REFUSED), (HEAVY, TAKEN)):
                for done in [pool.submit(_push_all, client, pushes, expected | BUSY) for _ in range(AT_ONCE)]:
                    done.result()
        _answers(client)
        _page_is_json(client)
        refused = client.get("/api/status").json()["refused"]
        return (
            f"{len(BOMBS)} small pushes that demand much memory; then {EXAMPLES:,} random sequences of requests, "
            f"{EXAMPLES:,} random pushes of metrics and {EXAMPLES:,} of logs; then, on {AT_ONCE} connections at once, the "
            f"small pushes again and {len(HEAVY)} accepted pushes of the largest sizes; all in {LimitedServer.BYTES >> 20} MiB of address space: "
            f"{statuses.total():,} answers, {sum(number for status, number in statuses.items() if status >= 500)} of them "
            f"5xx; refused, by reason: {', '.join(f'{number:,} {reason}' for reason, number in sorted(refused.items()))}; at most "
            f"{after_first:.0f} MiB of memory after the first pushes, {server.most_mib():.0f} MiB in all; no traceback"
        )


def _push_all(client: httpx.Client, pushes: Pushes, expected: set[int]) -> None:
    for name, (path, bomb) in pushes.items():
        status = client.post(path, content=bomb()).status_code
        assert status in expected, (name, status)


def _requests(url: str, statuses: Counter[int]) -> None:
    @LONG
    @given(REQUESTS)
    def answer(sent: bytes) -> None:
        found = re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", conversation(url, sent))
        assert found
        statuses.update(map(int, found))

    answer()


def _pushes(client: httpx.Client, statuses: Counter[int]) -> None:
    @LONG
    @given(SERIES, ENTRIES)
    def answer(series: bytes, entries: bytes) -> None:
        for path, body in (("/api/v1/write", series), ("/loki/api/v1/push", entries)):
            status = client.post(path, content=body).status_code
            assert status in TAKEN | REFUSED, status
            statuses[status] += 1

    answer()


def _answers(client: httpx.Client) -> None:
    """Fill the history, then request large answers, one kind after the other, on several connections at once."""
    for path, body in large_history():
        assert client.post(path, content=body).status_code == 204
    assert client.post("/api/v1/query", content=LONG_QUERY).status_code == 413
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for path, most_bytes in ANSWERS:
            for answer in pool.map(client.get, [path] * AT_ONCE):
                assert answer.status_code in {200} | BUSY, path
                assert len(answer.content) <= most_bytes, path


def _page_is_json(client: httpx.Client) -> None:
    for path in ("/api/overview?seconds=2592000", "/api/calls?limit=200"):
        answer = client.get(path)
        assert answer.status_code == 200
        json.loads(answer.text, parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")
