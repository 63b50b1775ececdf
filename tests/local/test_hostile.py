"""The embedded server with hostile input: it refuses the input with a 4xx, counts that, and continues."""

from __future__ import annotations

import gzip
import json
import math
import re
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings

from monitored_openai._cli.query.following import Follower
from monitored_openai._cli.query.http_api import HttpApi
from monitored_openai._cli.query.loki_log import Entry, LokiLog
from monitored_openai._local import counters, ingest, remote_write_decoder, strict_json
from monitored_openai._local.history import History
from monitored_openai._local.http import framing
from monitored_openai._local.http.connection import Connection, Timeouts
from monitored_openai._local.http.server import Server
from monitored_openai._local.query import logql, promql, queries
from monitored_openai._local.server import LOGS_PATH, LocalServer
from monitored_openai._metrics.names import TOKENS_TOTAL
from tests.support import hostile
from tests.support.hostile import (
    LimitedServer,
    answers,
    connected,
    conversation,
    label,
    loki,
    request,
    sized,
    snappy,
    varint,
)
from tests.support.local_page import CALL, Page

pytestmark = pytest.mark.once

HOST = "Host: 127.0.0.1"
PUSH = loki([str(time.time_ns()), json.dumps(CALL)])
QUICK = settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)


def not_json(constant: str) -> NoReturn:
    raise AssertionError(constant)


# Framing


HIDDEN = request("GET /api/calls HTTP/1.1", HOST)
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(PUSH), PUSH)
LOKI = f"POST {LOGS_PATH} HTTP/1.1"
SIZE = f"Content-Length: {len(PUSH)}"


@pytest.mark.parametrize(
    "sent",
    [
        request("GET /icon.svg HTTP/1.1", HOST, f"Content-Length: {len(HIDDEN)}", body=HIDDEN),
        request("GET /icon.svg HTTP/1.1", HOST, "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN),
        request("HEAD /icon.svg HTTP/1.1", HOST, body=HIDDEN),
        request("DELETE /icon.svg HTTP/1.1", HOST, f"Content-Length: {len(HIDDEN)}", body=HIDDEN),
        request(LOKI, HOST, SIZE, "Transfer-Encoding: chunked", body=PUSH + HIDDEN),
        request(LOKI, HOST, "Transfer-Encoding: chunked", SIZE, body=CHUNKED + HIDDEN),
        request(LOKI, HOST, "Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=CHUNKED + HIDDEN),
        request(LOKI, HOST, "Transfer-Encoding: xchunked", body=CHUNKED + HIDDEN),
        request(LOKI, HOST, "Transfer-Encoding: gzip, chunked", body=CHUNKED + HIDDEN),
        request(LOKI, HOST, "Transfer-Encoding:\x0bchunked", SIZE, body=PUSH + HIDDEN),
        request(LOKI, HOST, "Transfer-Encoding : chunked", SIZE, body=PUSH + HIDDEN),
        request(LOKI, HOST, "X: 1\nTransfer-Encoding: chunked", SIZE, body=PUSH + HIDDEN),
        request(LOKI, HOST, "X: 1", " Transfer-Encoding: chunked", SIZE, body=PUSH + HIDDEN),
        request(LOKI, HOST, SIZE, "Content-Length: 999", body=PUSH + HIDDEN),
        request(LOKI, HOST, SIZE, SIZE, body=PUSH + HIDDEN),
        request(LOKI, HOST, f"{SIZE}, {len(PUSH)}", body=PUSH + HIDDEN),
        request(LOKI, HOST, f"Content-Length: +{len(PUSH)}", body=PUSH + HIDDEN),
        request(LOKI, HOST, "Content-Length: 0x10", body=PUSH + HIDDEN),
        request(LOKI, HOST, "Content-Length:", body=PUSH + HIDDEN),
        request(LOKI, HOST, body=PUSH + HIDDEN),
        request(LOKI.replace("1.1", "1.0"), HOST, "Transfer-Encoding: chunked", body=CHUNKED + HIDDEN),
        request(LOKI, HOST, "Host: evil.example", SIZE, body=PUSH + HIDDEN),
        request(LOKI, SIZE, body=PUSH + HIDDEN),
        request(LOKI, HOST, "Transfer-Encoding: chunked", body=b"5;a\n\r\nabcde\r\n0\r\n\r\n" + HIDDEN),
        request(LOKI, HOST, "Transfer-Encoding: chunked", body=b"1\r\naXX0\r\n\r\n" + HIDDEN),
        *(
            request(LOKI, HOST, "Transfer-Encoding: chunked", body=end + HIDDEN)
            for end in (
                *(b"0\r\n\n", b"0\n\n", b"0\n\r\n", b"0\r\nA: b\n\n", b"0\r\nA: b\r\n\n", b"0\r\nA: b\r\n\r\n"),
                *(b"0;a\rb\r\n\r\n", b"0;a=b\r\n\r\n", b"0 \r\n\r\n", b"0\t\r\n\r\n", b" 0\r\n\r\n", b"0\r\r\n\r\n"),
                *(b"0x0\r\n\r\n", b"000000000\r\n\r\n", b"+0\r\n\r\n", b"\r\n0\r\n\r\n", b"1\r\na\n0\r\n\r\n"),
            )
        ),
        request(LOKI, HOST, "Transfer-Encoding: chunked", body=b"-1\r\na\r\n0\r\n\r\n" + HIDDEN),
        request(LOKI, HOST, "Transfer-Encoding: chunked", body=b"0\r\nX:" + b" " * 30_000 + b"\x00\r\n\r\n" + HIDDEN),
        request(f"POST http://127.0.0.1{LOGS_PATH} HTTP/1.1", HOST, SIZE, body=PUSH + HIDDEN),
        b"\r\n" + request(LOKI, HOST, SIZE, body=PUSH),
        request(LOKI, HOST, SIZE, body=PUSH).replace(b"\r\n", b"\n"),
        request("GET /\x00 HTTP/1.1", HOST) + HIDDEN,
        request("GET / HTTP/2.0", HOST) + HIDDEN,
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_a_request_with_a_doubtful_end_is_refused_and_ends_its_connection(page: Page, sent: bytes) -> None:
    found = answers(page.server.url, sent)

    assert len(found) == 1
    assert 400 <= found[0] < 500
    assert page.calls() == []


NGINX_1_0 = (HOST, "Connection: close", "X-Real-IP: 192.0.2.7", "X-Forwarded-For: 192.0.2.7")
NGINX_1_1 = ("X-Forwarded-Proto: https", HOST, "User-Agent: python-httpx/0.28.1", "Accept: */*")
HAPROXY = ("accept: */*", "user-agent: curl/8.5.0", "host: 127.0.0.1", "x-forwarded-for: 192.0.2.7")
ENVOY = (
    *("host: 127.0.0.1", "accept: */*", "x-forwarded-proto: https", "x-envoy-expected-rq-timeout-ms: 15000"),
    "x-request-id: 0c4ee1d6-4d5c-4f0b-9c3e-1f1a1f5a4a41",
)


@pytest.mark.parametrize(
    ("version", "fields", "size", "body"),
    [
        ("1.0", NGINX_1_0, SIZE, PUSH),
        ("1.1", NGINX_1_1, SIZE, PUSH),
        ("1.1", NGINX_1_1, "Transfer-Encoding: chunked", CHUNKED),
        ("1.1", HAPROXY, SIZE.lower(), PUSH),
        ("1.1", HAPROXY, "transfer-encoding: chunked", CHUNKED),
        ("1.1", ENVOY, SIZE.lower(), PUSH),
        ("1.1", ENVOY, "transfer-encoding: chunked", CHUNKED),
        ("1.1", (*ENVOY, "expect: 100-continue"), SIZE.lower(), PUSH),
    ],
    ids=[
        "nginx 1.0",
        "nginx 1.1",
        "nginx 1.1, chunked",
        "haproxy",
        "haproxy, chunked",
        "envoy",
        "envoy, chunked",
        "envoy, expect",
    ],
)
def test_the_framings_of_proxies_are_served(
    page: Page, version: str, fields: tuple[str, ...], size: str, body: bytes
) -> None:
    question = request(f"GET /api/calls HTTP/{version}", *fields)
    push = request(f"POST {LOGS_PATH} HTTP/{version}", *fields, size, body=body)
    expected = [100, 204] if "expect: 100-continue" in fields else [204]

    if version == "1.0":
        assert answers(page.server.url, push + question) == expected
        assert answers(page.server.url, question) == [200]
    else:
        assert answers(page.server.url, question + push + question) == [200, *expected, 200]
    assert [call["id"] for call in page.calls()] == ["c1"]


@pytest.mark.parametrize("fields", [NGINX_1_1, HAPROXY, ENVOY])
@pytest.mark.parametrize(
    "coding", ["Transfer-Encoding: chunked", "transfer-encoding: chunked, identity", "Content-Length: 0"]
)
def test_what_one_proxy_forwards_of_an_ambiguous_request_hides_no_other(
    page: Page, fields: tuple[str, ...], coding: str
) -> None:
    body = b"0\r\n\r\n" + HIDDEN
    sent = request(LOKI, *fields, f"content-length: {len(body)}", coding, body=body)

    assert answers(page.server.url, sent) == [400]


def test_requests_that_follow_each_other_at_once_are_all_answered_in_order(page: Page) -> None:
    sent = request(LOKI, HOST, SIZE, body=PUSH) + HIDDEN + request("GET /none HTTP/1.1", HOST) + HIDDEN

    assert answers(page.server.url, sent) == [204, 200, 404, 200]


# Odd text


@pytest.mark.parametrize(
    "fields",
    [
        ["Origin: http://[x"],
        ["Origin: http://[::1"],
        ["Origin: //\xff"],
        ["Authorization: Basic \xe9"],
        ["Authorization: Basic OsO/"],
        ["Authorization: Bearer \xff\xfe"],
        ["Authorization: Basic ===="],
        ["Authorization:"],
        ["Origin: http://127.0.0.1", "Origin: http://evil.example"],
    ],
)
@pytest.mark.parametrize("line", [LOKI, "GET / HTTP/1.1"])
def test_odd_credentials_and_origins_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, fields: list[str]
) -> None:
    kept = History(tmp_path / "history.sqlite3", say=print)
    with LocalServer(kept, token="secret") as server:
        size = ["Content-Length: 0"] if line == LOKI else []
        (status,) = answers(server.url, request(line, HOST, *fields, *size))
    kept.close()

    assert status in (400, 401, 403)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "target",
    [
        *("//[x", "/api/calls?before=%D9%A1", "/api/calls?a=%ff&q=%00", "/api/calls/%00%ff", "/%"),
        *("/api/overview?seconds=1e999", "/api/overview?seconds=900&by=%ff", "/api/calls?limit=-1"),
        *("/api/calls?" + "&" * 30_000, "/?" + "x" * 60_000),
    ],
)
def test_odd_targets_get_an_answer_below_500(page: Page, target: str) -> None:
    (status,) = answers(page.server.url, request(f"GET {target} HTTP/1.1", HOST))

    assert status < 500


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ([1e999, "{}"], 400),
        (["1e999", "{}"], 400),
        (["\u0661", "{}"], 400),
        ([" 1", "{}"], 400),
        (["9" * 20, "{}"], 400),
        ([1, "{}"], 400),
        (["1"], 400),
        (["1", "{}", {"a": 1}], 400),
        (["1", "{}", {}, 1], 400),
        (["1", None], 400),
        (["9" * 19, "{}"], 204),
        (["-1", "{}"], 204),
    ],
)
def test_only_a_text_of_digits_is_a_time(page: Page, value: list[Any], status: int) -> None:
    assert httpx.post(f"{page.server.url}{LOGS_PATH}", content=loki(value)).status_code == status


@pytest.mark.parametrize(
    "text", ['{"streams":[],"streams":[]}', '{"streams":[{"stream":{"a":"1","a":"2"},"values":[]}]}']
)
def test_a_push_that_can_be_read_in_two_ways_is_refused(page: Page, text: str) -> None:
    assert httpx.post(f"{page.server.url}{LOGS_PATH}", content=gzip.compress(text.encode())).status_code == 400


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "[NaN,[-1e999]]"])
def test_a_number_that_is_not_finite_is_null_on_the_page(page: Page, number: str) -> None:
    page.log(f'{{"id":"c1","usage":{{"input_tokens":{number}}},"request":{{"temperature":{number}}}}}')

    for text in (page.get("/api/calls").text, (opened := page.get("/api/calls/c1")).text, opened.json()["line"]):
        json.loads(text, parse_constant=not_json)
    assert page.calls()[0]["input_tokens"] is None


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e308, 2.0**60])
def test_a_counter_beyond_exact_numbers_is_refused_and_figures_stay_finite(page: Page, value: float) -> None:
    name = "gen_ai_client_operation_duration_seconds_count"

    assert page.push([(name, {"gen_ai_request_model": model}, value) for model in "mn"]) == 400
    json.loads(page.get("/api/overview", seconds=900).text, parse_constant=not_json)


# Bounds


@pytest.mark.parametrize("at", range(1, 5))
def test_a_number_of_more_than_10_bytes_is_refused(at: int) -> None:
    endless = b"\xff" * 10 + b"\x01"
    messages = [
        endless,
        b"\x0a" + endless,
        sized(1, sized(2, b"\x10" + endless)),
        sized(1, sized(1, b"\x0a" + endless)),
    ]

    with pytest.raises(ValueError, match="more than 64 bits"):
        remote_write_decoder.read(snappy(messages[at - 1]))
    with pytest.raises(ValueError, match="more than 64 bits"):
        remote_write_decoder.unpacked_size(endless)


def series_of(*, labels: int = 1, samples: int = 1) -> bytes:
    return sized(1, b"".join(label(f"l{n}", "v") for n in range(labels)) + hostile.SAMPLE * samples)


@pytest.mark.parametrize(
    ("largest", "too_large"),
    [
        (series_of() * 10_000, series_of() * 10_001),
        (series_of(labels=64), series_of(labels=65)),
        (series_of(samples=50_000), series_of(samples=25_001) * 2),
        (sized(1, label("a", "x" * 32_000)), sized(1, label("a", "x" * 33_000))),
        (b"\x18\x00" * 500_000, b"\x18\x00" * 500_001),
    ],
)
def test_each_bound_of_a_remote_write_is_exact(largest: bytes, too_large: bytes) -> None:
    remote_write_decoder.read(snappy(largest))
    with pytest.raises(remote_write_decoder.Oversized):
        remote_write_decoder.read(snappy(too_large))


@pytest.mark.parametrize(
    ("largest", "too_large"),
    [
        (loki(["1", "{}"], times=10_000), loki(["1", "{}"], times=10_001)),
        (loki(["1", "{}", {f"a{n}": "" for n in range(64)}]), loki(["1", "{}", {f"a{n}": "" for n in range(65)}])),
        (
            loki(["1", '{"a":[' + "1," * 99_000 + "1]}"], times=10),
            loki(["1", '{"a":[' + "1," * 99_000 + "1]}"], times=11),
        ),
    ],
)
def test_each_bound_of_a_push_to_loki_is_exact(largest: bytes, too_large: bytes) -> None:
    ingest.entries_in(largest)
    with pytest.raises(remote_write_decoder.Oversized):
        ingest.entries_in(too_large)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (rb'{"a,[":["\"[,",{},1,2]}', 8),
        (b'"' + b"," * 1000 + b'"', 1),
        (b'["' + b"," * 1000, 2),
        (b'["' + b'\\"' * 200_000, 2),
        (b'["' + b"\\\\" * 200_000, 2),
        (b'["\\', 2),
        (b'""' * 200_000, 1),
    ],
)
def test_values_are_counted_in_linear_time_in_any_text(text: bytes, number: int) -> None:
    started = time.monotonic()

    assert strict_json.values_in(text, 100) in (number, number + 1)
    assert strict_json.values_in(text, number - 1) == number
    assert time.monotonic() - started < 10


def test_label_sets_beyond_the_bound_are_folded_and_sums_stay_true(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "_MOST_DIMENSIONS", 10)
    sets = [{"gen_ai_request_model": f"m{n}", "gen_ai_token_type": ("input", "output")[n % 2]} for n in range(40)]

    assert page.push([(TOKENS_TOTAL.name, labels, 1.0 + n) for n, labels in enumerate(sets)]) == 204
    assert page.push([(TOKENS_TOTAL.name, {"error_type": f"e{n}"}, 1.0) for n in range(40)]) == 413

    overview = page.overview()
    assert {group["name"] for group in overview["groups"]} == {"other", *(f"m{n}" for n in range(10))}
    assert (overview["total"]["input_tokens"], overview["total"]["output_tokens"]) == (400, 420)


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="an address space can be limited on Linux")
def test_small_pushes_that_ask_for_much_memory_are_refused_in_512_mib(tmp_path: Path) -> None:
    with LimitedServer(tmp_path) as server:
        for name, (path, bomb) in hostile.BOMBS.items():
            body = bomb()
            started = time.monotonic()
            status = httpx.post(f"{server.url}{path}", content=body, timeout=60).status_code
            assert (name, status) in {(name, 400), (name, 413)}
            assert time.monotonic() - started < 20, name
        assert sum(httpx.get(f"{server.url}/api/status").json()["refused"].values()) == len(hostile.BOMBS)


@pytest.mark.skipif(sys.platform != "linux", reason="an address space can be limited on Linux")
def test_answers_from_a_history_made_to_be_large_take_little_in_512_mib(tmp_path: Path) -> None:
    with LimitedServer(tmp_path) as server, httpx.Client(base_url=server.url, timeout=120) as client:
        for path, body in hostile.large_history():
            assert client.post(path, content=body).status_code == 204
        for path, _ in hostile.ANSWERS:
            assert client.get(path).status_code == 200, path
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(client.get, [path for path, _ in hostile.ANSWERS] * 2))
        started = time.monotonic()
        assert client.post("/api/v1/query", content=hostile.LONG_QUERY).status_code == 413
        assert time.monotonic() - started < 20
        assert server.most_mib() < 400

    assert {one.status_code for one in together} == {200}
    assert all(len(one.content) <= most for one, (_, most) in zip(together, hostile.ANSWERS * 2, strict=True))


def test_a_query_as_long_as_allowed_is_parsed_in_linear_time_and_little_memory(page: Page) -> None:
    started = time.monotonic()
    tracemalloc.start()
    for text in ("x" * 65_000, "\\x" * 32_000, 'x",b="' * 10, "x" * 65_000 + "\\"):
        with pytest.raises(ValueError, match="only the queries"):
            promql.evaluate(page.history, f'sum (last_over_time(a{{b="{text}"}}[1h]) - 1)', 1.0)
        with pytest.raises(ValueError, match="only the queries"):
            logql.LogQuery.of(f'{{b="{text}"}} - 1')
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most_bytes < 2_000_000
    assert time.monotonic() - started < 20


BUCKET = "gen_ai_client_operation_duration_seconds_bucket"
GROWN = f"last_over_time({BUCKET}[1d]) - (last_over_time({BUCKET}[1d] offset 1d) or last_over_time({BUCKET}[1d]) * 0)"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (f"histogram_quantile(0.5, sum ({GROWN}))", 400),
        (f"histogram_quantile(5, sum by (le) ({GROWN}))", 400),
        (f"histogram_quantile(0, sum by (le) ({GROWN}))", 400),
        (f"histogram_quantile(., sum by (le) ({GROWN}))", 400),
        (f"histogram_quantile(0.{'0' * 17}1, sum by (le) ({GROWN}))", 200),
        (f"histogram_quantile(1, sum by (le) ({GROWN}))", 200),
        (f"sum by ({', '.join(f'a{n}' for n in range(65))}) ({GROWN})", 400),
        (f"sum ({GROWN})".replace(BUCKET, "a{" + ", ".join(['b="c"'] * 65) + "}"), 400),
    ],
)
def test_odd_queries_are_refused_and_histograms_tolerate_odd_bounds(page: Page, query: str, status: int) -> None:
    odd = [("x", 3.0), ("nan", 4.0), ("", 5.0)] if status == 200 else []
    page.push([(BUCKET, {"le": le}, value) for le, value in (("0.01", 0.0), *odd, ("+Inf", 9.0))])

    assert page.get("/api/v1/query", time=time.time() + 5, query=query).status_code == status  # type: ignore[arg-type]  # httpx takes it
    assert page.get("/api/overview", seconds=900).status_code == 200


def test_a_log_whose_pages_would_be_too_large_is_followed_entry_by_entry(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_RESULT_BYTES", 5000)
    now = time.time_ns()
    with HttpApi(page.server.url, {}) as loki:
        log = LokiLog(loki, '{job="x"}')
        follower = Follower(log, clock=lambda: now)
        page.log(*({**CALL, "id": f"c{number}", "text": "x" * 1500} for number in range(40)), at_ns=now - 10**9)
        newest = log.page(0, now, limit=100, newest=True)

        followed = [one.call["id"] for one in follower.poll() if isinstance(one, Entry)]

    assert followed == [f"c{number}" for number in range(40)]
    assert 1 <= len(newest) < 4
    assert newest[-1].call["id"] == "c39"


@pytest.mark.parametrize("path", ["/api/v1/query", "/loki/api/v1/query_range", "/loki/api/v1/query"])
def test_a_query_with_too_many_fields_is_refused(page: Page, path: str) -> None:
    fields = "&".join(f"a{number}=1" for number in range(21))

    assert page.get(f"{path}?{fields}").status_code == 400
    assert page.server.rejections.counts == {"malformed": 1}


def test_an_error_of_the_server_is_answered_counted_and_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reported = list[str]()

    class Faulty(Server):
        def serve(self, connection: Connection) -> None:
            if connection.path == "/fault":
                raise KeyError("a secret")
            connection.reply(200, b"fine")

    with Faulty(report=reported.append) as server:
        sent = request("GET /fault HTTP/1.1", HOST) * 2 + request("GET / HTTP/1.1", HOST)
        assert answers(server.url, sent) == [500, 500, 200]
        assert server.rejections.counts == {"fault": 2}
        faults = [line for line in reported if line.startswith("a request failed")]

    assert len(faults) == 1
    assert re.fullmatch(r"a request failed: KeyError in test_hostile\.py, line [0-9]+; please report this", faults[0])
    assert capsys.readouterr() == ("", "")


def test_refusals_are_counted_by_reason_and_reported_once_a_minute(tmp_path: Path) -> None:
    kept, reported = History(tmp_path / "history.sqlite3", say=print), list[str]()
    with LocalServer(kept, report=reported.append) as server:
        for sent in (b"\0", request("PUT / HTTP/1.1", HOST), request("GET /none HTTP/1.1", HOST)):
            answers(server.url, sent)
        answers(server.url, request(LOKI, HOST, "Content-Length: 16777217"))
        counts = httpx.get(f"{server.url}/api/status").json()["refused"]
        assert reported == ["refused: 1 malformed"]
    kept.close()

    assert counts == {"malformed": 1, "method": 1, "not_found": 1, "too_large": 1}
    assert reported[1:] == ["refused: 1 method, 1 not_found, 1 too_large"]


SHORT_TIMEOUTS = Timeouts(idle=0.2, head=0.2, body=0.2, send=0.5, linger=0.1)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(b"", []), (b"GET / HT", [408]), (request(LOKI, HOST, "Content-Length: 9"), [408]), (HIDDEN, [200])],
)
def test_a_connection_that_goes_silent_ends(tmp_path: Path, sent: bytes, expected: list[int]) -> None:
    kept = History(tmp_path / "history.sqlite3", say=print)
    with LocalServer(kept, timeouts=SHORT_TIMEOUTS) as server, connected(server.url) as client:
        client.sendall(sent)
        received = b"".join(iter(lambda: client.recv(65536), b""))
        refused = server.rejections.counts
    kept.close()

    assert [int(one) for one in re.findall(rb"HTTP/1.1 ([0-9]{3}) ", received)] == expected
    assert refused == ({"timeout": 1} if expected == [408] else {})


def test_a_head_that_comes_drop_by_drop_ends_at_its_deadline(tmp_path: Path) -> None:
    kept = History(tmp_path / "history.sqlite3", say=print)
    with LocalServer(kept, timeouts=SHORT_TIMEOUTS) as server, connected(server.url) as client:
        started = time.monotonic()
        client.sendall(b"GET / HTTP/1.1\r\n")
        with suppress(ConnectionError):
            while time.monotonic() - started < hostile.PATIENCE:
                client.sendall(b"X")
        assert server.rejections.counts in ({"timeout": 1}, {"too_large": 1})
    kept.close()


EXPECTS_BODY = request(LOKI, HOST, SIZE, "Expect: 100-continue")


def test_connections_beyond_the_bound_are_refused_and_the_others_served(page: Page) -> None:
    page.server._most_connections = 3
    with ExitStack() as stack:
        busy = [stack.enter_context(connected(page.server.url)) for _ in range(3)]
        for one in busy:
            one.sendall(EXPECTS_BODY)
            assert one.recv(65536).startswith(b"HTTP/1.1 100 ")  # from here on it waits for the body
        for _ in range(2):
            assert stack.enter_context(connected(page.server.url)).recv(65536).startswith(b"HTTP/1.1 503 ")
        for one in busy:
            one.sendall(PUSH)
            assert one.recv(65536).startswith(b"HTTP/1.1 204 ")
        assert page.server.connections == 3
        assert page.server.rejections.counts == {"busy": 2}


def test_the_connection_that_has_waited_longest_makes_room_for_a_new_one(page: Page) -> None:
    page.server._most_connections = 3
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(connected(page.server.url)) for _ in range(3))
        for one in (third, first, second):
            one.sendall(HIDDEN)
            assert one.recv(65536).startswith(b"HTTP/1.1 200 ")
            while len(page.server._waiting) < 3:  # its thread has still to wait again
                time.sleep(0.001)

        new = stack.enter_context(connected(page.server.url))
        new.sendall(HIDDEN)

        assert new.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert third.recv(65536) == b""
        first.sendall(HIDDEN)
        assert first.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert (page.server.connections, page.server.rejections.counts) == (3, {})


def test_bodies_under_way_are_bounded_over_all_connections(page: Page) -> None:
    page.server._budget._free = 100_000
    with connected(page.server.url) as slow:
        slow.sendall(request(LOKI, HOST, "Content-Length: 90001", body=b"\0" * 90_000))
        while page.server._budget._free > 10_000:
            assert page.log(CALL).status_code == 204
        full = httpx.post(f"{page.server.url}{LOGS_PATH}", content=b"\0" * 20_000)
        assert full.status_code == 503
        slow.sendall(b"\0")
        assert slow.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert page.log(CALL).status_code == 204


def test_the_answer_to_a_refused_push_arrives_though_its_body_is_not_read(page: Page) -> None:
    body = b"\0" * 30_000_000

    assert httpx.post(f"{page.server.url}{LOGS_PATH}", content=body).status_code == 413
    assert httpx.post(f"{page.server.url}/elsewhere", content=body).status_code == 404


# Fuzzing, whose long form is chaos/hostile.py


@QUICK
@given(hostile.REQUESTS)
@example(request("GET / HTTP/1.1", HOST, "X:" + " " * 60_000 + "\x01"))
def test_any_bytes_get_answers_below_500_and_the_server_goes_on(page: Page, sent: bytes) -> None:
    received = conversation(page.server.url, sent)

    assert received.startswith(b"HTTP/1.1 ")
    assert all(status < 500 for status in map(int, re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received)))
    assert page.get("/api/status").status_code == 200


@QUICK
@given(hostile.SERIES)
@example(snappy(sized(1, hostile.CALLS + sized(2, b"\x10" + varint(2**64 - 1)))))
def test_any_remote_write_is_read_or_a_value_error(body: bytes) -> None:
    with suppress(ValueError):
        for series in ingest.series_in(body):
            assert all(isinstance(text, str) for text in (*series.labels, *series.labels.values()))
            assert -(2**63) <= series.timestamp_ms < 2**63


@QUICK
@given(hostile.ENTRIES)
def test_any_push_to_loki_is_read_or_a_value_error(body: bytes) -> None:
    with suppress(ValueError):
        for entry in ingest.entries_in(body)[0]:
            json.dumps(entry.call, allow_nan=False)


@QUICK
@given(hostile.REQUESTS)
def test_no_head_is_too_odd_to_be_judged(sent: bytes) -> None:
    started = time.monotonic()
    assert isinstance(framing.head_error(sent), str | None)
    assert time.monotonic() - started < 5
