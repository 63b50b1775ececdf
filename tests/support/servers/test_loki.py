from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.servers.loki import FakeLoki, Rate

pytestmark = pytest.mark.once

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
NOW = 1_760_000_000 * SECOND
KIB = 1024
JSON = {"content-type": "application/json"}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loki(clock: Clock) -> Iterator[FakeLoki]:
    with FakeLoki(now_ns=clock) as running:
        yield running


def stream(*values: Any, **labels: Any) -> dict[str, Any]:
    return {"stream": labels or {"job": "a"}, "values": list(values)}


def entry(line: Any = "line", ts: Any = NOW, *metadata: Any) -> list[Any]:
    return [str(ts) if isinstance(ts, int) else ts, line, *metadata]


def send(loki: FakeLoki, body: bytes, headers: dict[str, str] | None = None, path: str = "/loki/api/v1/push") -> Any:
    return httpx.post(loki.url + path, content=body, headers=JSON if headers is None else headers, timeout=30)


def push(loki: FakeLoki, *streams: dict[str, Any], **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    answer: httpx.Response = send(loki, json.dumps({"streams": streams}).encode(), JSON | given)
    return answer


def lines(loki: FakeLoki) -> list[str]:
    return [stored.line for stored in loki.entries]


def test_a_good_push_is_stored_with_its_labels_time_line_and_metadata(loki: FakeLoki) -> None:
    answer = push(loki, stream(entry("one", NOW + 1, {"model.id": "m"}), entry("two"), job="j", env="e"))

    assert (answer.status_code, answer.content) == (204, b"")
    first, second = loki.entries
    assert (first.labels, first.ts, first.line) == ({"job": "j", "env": "e"}, NOW + 1, "one")
    assert (first.metadata, second.metadata) == ({"model_id": "m"}, {})
    assert loki.streams == {(("env", "e"), ("job", "j")): [second, first]}
    assert loki.requests[0].path == "/loki/api/v1/push"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/loki/api/v1/push", 204), ("/api/prom/push", 204), ("/loki/api/v1/push/", 404), ("/", 404), ("/loki", 404)],
)
def test_only_the_push_paths_without_a_trailing_slash_exist(loki: FakeLoki, path: str, status: int) -> None:
    body = json.dumps({"streams": [stream(entry())]}).encode()

    assert send(loki, body, path=path).status_code == status
    assert httpx.get(loki.push_url).status_code == 405


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("application/json", 204), ("application/json; charset=utf-8", 204), ("", 400), ("text/plain", 400)],
)
def test_json_must_be_named_as_such(loki: FakeLoki, content_type: str, status: int) -> None:
    body = json.dumps({"streams": [stream(entry())]}).encode()

    answer = send(loki, body, {"content-type": content_type} if content_type else {})

    assert answer.status_code == status
    assert content_type or "mime: no media type" in answer.text


def test_gzip_is_the_only_compression_taken(loki: FakeLoki) -> None:
    body = json.dumps({"streams": [stream(entry())]}).encode()

    assert send(loki, gzip.compress(body), JSON | {"content-encoding": "gzip"}).status_code == 204
    assert send(loki, zlib.compress(body), JSON | {"content-encoding": "deflate"}).status_code == 400
    assert send(loki, body, JSON | {"content-encoding": "zstd"}).status_code == 400
    assert send(loki, body, JSON | {"content-encoding": "gzip"}).status_code == 400
    assert send(loki, gzip.compress(body)[:-9], JSON | {"content-encoding": "gzip"}).status_code == 400
    assert len(loki.entries) == 1


@pytest.mark.parametrize(
    "bad",
    [
        stream(entry(ts=1.5)),
        stream([NOW, "int"]),
        stream(entry(ts="1e18")),
        stream(entry(ts="9" * 19)),
        stream(entry(None)),
        stream(entry({})),
        stream(entry("line", NOW, {"count": 1})),
        stream(entry("line", NOW, {"nothing": None})),
        stream(entry("line", NOW, [])),
        stream(entry("\ud800")),
        stream(entry("line", NOW, {"key": "\udfff"})),
        stream(entry(), label="\ud800"),
        stream(entry(), **{"a-b": "c"}),
        stream(entry(), **{"a.b": "c"}),
        stream(entry(), é="c"),
        stream(["only a timestamp"]),
        {"stream": [], "values": [entry()]},
        {"stream": {}, "values": {}},
    ],
    ids=repr,
)
def test_one_unreadable_stream_loses_the_whole_request(loki: FakeLoki, bad: dict[str, Any]) -> None:
    answer = push(loki, stream(entry()), bad)

    assert answer.status_code == 400
    assert not loki.entries
    assert len(loki.rejected) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{}", 422), (b'{"streams": []}', 422), (b"", 400), (b"[]", 400), (b"{", 400), (b'{"streams": {}}', 400)],
)
def test_requests_without_streams_are_refused(loki: FakeLoki, body: bytes, status: int) -> None:
    assert send(loki, body).status_code == status


def test_a_stream_without_entries_is_fine_and_makes_no_stream(loki: FakeLoki) -> None:
    assert push(loki, stream()).status_code == 204
    assert not loki.streams


def test_odd_but_legal_text_is_stored(loki: FakeLoki) -> None:
    raw = json.dumps({"streams": [stream(entry("BYTES"), entry('\0\U0001f600\n"'), job='q"\n')]}).encode()

    assert send(loki, raw.replace(b"BYTES", b"a\xffb")).status_code == 204
    assert lines(loki) == ["a�b", '\0\U0001f600\n"']


def test_label_values_that_are_no_strings_are_coerced(loki: FakeLoki) -> None:
    assert push(loki, stream(entry(), number=12, nothing=None)).status_code == 204
    assert loki.entries[0].labels == {"number": "12", "nothing": "null"}


FULL = {f"l{n}": "v" for n in range(15)}
WIDE = {f"m{n}": "v" for n in range(128)}


@pytest.mark.parametrize(
    ("good", "bad", "text"),
    [
        (stream(entry("kept", NOW - 7 * DAY)), stream(entry(ts=NOW - 7 * DAY - 1)), "timestamp too old"),
        (stream(entry("kept", NOW + 600 * SECOND)), stream(entry(ts=NOW + 600 * SECOND + 1)), "timestamp too new"),
        (stream(entry("kept")), stream(entry(ts="1760000000")), "timestamp too old"),
        (stream(entry("é" * 128 * KIB)), stream(entry("é" * 128 * KIB + "x")), "Max entry size '262144' bytes"),
        (stream(entry(), **FULL, service_name="s"), stream(entry(), **FULL, one="more"), "16 label names"),
        (stream(entry(), **{"n" * 1024: "v"}), stream(entry(), **{"n" * 1025: "v"}), "label name too long"),
        (stream(entry(), a="é" * 1024), stream(entry(), a="é" * 1024 + "x"), "label value too long"),
        (stream(entry("k", NOW, WIDE)), stream(entry("b", NOW, WIDE | {"x": "y"})), "too many structured metadata"),
        (
            stream(entry("k", NOW, {"m": "x" * (64 * KIB - 1)})),
            stream(entry("b", NOW, {"m": "x" * 64 * KIB})),
            "structured metadata too large",
        ),
    ],
    ids=[
        "a week old",
        "ten minutes ahead",
        "seconds instead of nanoseconds",
        "line size",
        "label count without service_name",
        "label name length",
        "label value size",
        "metadata count",
        "metadata size",
    ],
)
def test_what_is_beyond_a_limit_is_left_out_and_the_rest_is_stored(
    loki: FakeLoki, good: dict[str, Any], bad: dict[str, Any], text: str
) -> None:
    assert push(loki, good).status_code == 204

    both = {**bad, "values": [*bad["values"], entry("other")]}
    answer = push(loki, both, stream(entry("rest"), job="rest"))

    assert answer.status_code == 400
    assert answer.text.startswith("1 errors like: ")
    assert text in answer.text
    expected = [] if "label" in text and "metadata" not in text else ["other"]
    assert lines(loki)[1:] == [*expected, "rest"]


def test_a_refusal_repeats_the_offending_label_value(loki: FakeLoki) -> None:
    secret = "prompt " * 500

    assert secret in push(loki, stream(entry(), prompt=secret)).text


def test_a_stream_takes_what_is_up_to_an_hour_behind_its_newest(loki: FakeLoki) -> None:
    assert push(loki, stream(entry("new stream", NOW - 6 * DAY), job="b")).status_code == 204
    assert push(loki, stream(entry("newest"), entry("behind", NOW - HOUR))).status_code == 204

    answer = push(loki, stream(entry("too far", NOW - HOUR - 1), entry("good")))

    assert answer.status_code == 400
    assert "entry too far behind" in answer.text
    assert lines(loki) == ["new stream", "newest", "behind", "good"]


def test_a_repetition_is_stored_once_and_judged_by_stream_time_and_line_alone(loki: FakeLoki) -> None:
    batch = stream(entry("a", NOW, {"id": "1"}), entry("b", NOW))
    push(loki, batch)
    push(loki, stream(entry("later", NOW + 5)))

    assert push(loki, batch, stream(entry("a"), job="other")).status_code == 204
    assert push(loki, stream(entry("a", NOW, {"id": "2"}))).status_code == 204

    assert lines(loki) == ["a", "b", "later", "a"]
    assert loki.entries[0].metadata == {"id": "1"}
    assert loki.duplicates == 3


def test_too_many_streams_are_429_and_partial() -> None:
    with FakeLoki(max_streams=20) as loki:
        now = loki.now_ns()
        answer = push(loki, *(stream(entry(ts=now), n=str(n)) for n in range(40)))
        again = push(loki, stream(entry("more", now), n="0"))

    assert answer.status_code == 429
    assert "Maximum active stream limit exceeded" in answer.text
    assert "retry-after" not in answer.headers
    assert (len(loki.streams), again.status_code) == (20, 204)


def test_five_thousand_streams_are_allowed_unless_told_otherwise(loki: FakeLoki) -> None:
    assert push(loki, *(stream(entry(), n=str(n)) for n in range(5000))).status_code == 204
    assert push(loki, stream(entry(), n="5000")).status_code == 429


def test_the_tenants_rate_refuses_the_whole_request_until_time_has_passed(clock: Clock) -> None:
    with FakeLoki(now_ns=clock, tenant_rate=Rate(1000, 2000)) as loki:
        assert push(loki, stream(entry("x" * 1500))).status_code == 204
        answer = push(loki, stream(entry("y" * 600)), stream(entry("z"), job="b"))
        assert answer.status_code == 429
        assert "Ingestion rate limit exceeded" in answer.text
        assert push(loki, stream(entry("w" * 400))).status_code == 204
        clock.now += SECOND
        assert push(loki, stream(entry("y" * 600))).status_code == 204
        clock.now += 100 * SECOND
        assert push(loki, stream(entry("v" * 2001))).status_code == 429
    assert [line[0] for line in lines(loki)] == ["x", "w", "y"]


def test_a_streams_rate_refuses_that_stream_alone(clock: Clock) -> None:
    with FakeLoki(now_ns=clock, stream_rate=Rate(1000, 2000)) as loki:
        answer = push(loki, stream(entry("x" * 2001)), stream(entry("rest"), job="b"))
    assert answer.status_code == 429
    assert "Per stream rate limit exceeded" in answer.text
    assert lines(loki) == ["rest"]


def test_a_streams_rate_can_refuse_single_entries(clock: Clock) -> None:
    with FakeLoki(now_ns=clock, stream_rate=Rate(1000, 2000), limits_whole_streams=False) as loki:
        answer = push(loki, stream(entry("a" * 1500), entry("b" * 1500), entry("c" * 500)))
    assert answer.status_code == 429
    assert "Per stream rate limit exceeded (limit: 1000B/sec)" in answer.text
    assert [line[0] for line in lines(loki)] == ["a", "c"]


def test_a_request_above_four_mebibytes_is_500(loki: FakeLoki) -> None:
    many = [stream(entry("x" * 250 * KIB), n=str(n)) for n in range(17)]

    assert push(loki, *many[:16]).status_code == 204
    answer = push(loki, *many)

    assert answer.status_code == 500
    assert "received message larger than max" in answer.text
    assert len(loki.entries) == 16


def test_a_tenant_is_asked_for_when_auth_is_on() -> None:
    with FakeLoki(auth_enabled=True, max_streams=1) as loki:
        good = stream(entry(ts=loki.now_ns()))
        assert (push(loki, good).status_code, push(loki, good).text) == (401, "no org id\n")
        assert [push(loki, good, x_scope_orgid=bad).status_code for bad in ("a/b", "a|b", "..")] == [400] * 3
        assert [push(loki, good, x_scope_orgid=name).status_code for name in ("t1", "t2")] == [204] * 2
    assert [stored.tenant for stored in loki.entries] == ["t1", "t2"]


def test_credentials_are_checked_when_configured() -> None:
    with FakeLoki(basic_auth=("user", "pass:word")) as loki:
        right = httpx.post(loki.push_url, json={}, auth=("user", "pass:word"))
        wrong = httpx.post(loki.push_url, json={}, auth=("user", "password"))
    assert (right.status_code, wrong.status_code, wrong.headers["www-authenticate"]) == (422, 401, "Basic")
    with FakeLoki(bearer="token") as loki:
        assert push(loki, authorization="Bearer token").status_code == 422
        assert push(loki).status_code == 401
