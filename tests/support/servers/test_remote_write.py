from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import cramjam
import httpx
import pytest

from tests.support.servers.prometheus import Prometheus, PrometheusError, require_prometheus
from tests.support.servers.remote_write import LoseAnswer, NeverAnswer, RemoteWriteProxy, Status

pytestmark = pytest.mark.once

Pair = tuple[str, str]
HEADERS = {
    "content-encoding": "snappy",
    "content-type": "application/x-protobuf",
    "user-agent": "test",
    "x-prometheus-remote-write-version": "0.1.0",
}
NAME = ("__name__", "calls_total")


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def block(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def series(*labels: Pair, samples: list[tuple[int, float]]) -> bytes:
    out = b"".join(block(1, block(1, name.encode()) + block(2, value.encode())) for name, value in labels)
    for ts, value in samples:
        out += block(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(ts % 2**64))
    return block(1, out)


def push(target: RemoteWriteProxy | Prometheus, *batch: bytes, path: str = "", **headers: str) -> httpx.Response:
    body = bytes(cramjam.snappy.compress_raw(b"".join(batch)))
    given = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(target.url + (path or "/api/v1/write"), content=body, headers=given, timeout=30)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with Prometheus(require_prometheus(), tmp_path_factory.mktemp("prometheus")) as running:
        yield running


def test_a_good_push_is_decoded_and_kept(proxy: RemoteWriteProxy) -> None:
    one = series(NAME, ("job", "é"), samples=[(-5, -0.0), (2**40, float("inf"))])
    two = series(NAME, ("job", "b"), samples=[(2**40, 2.5)])

    assert push(proxy, one, two).status_code == 204

    first, second = proxy.stored[0]
    assert (first.name, first.labels) == ("calls_total", (NAME, ("job", "é")))
    assert str(first.samples) == f"((-5, -0.0), ({2**40}, inf))"
    assert proxy.latest("calls_total")[("job", "b"),] == 2.5
    assert proxy.total("calls_total", job="b") == 2.5
    assert (len(second.samples), proxy.violations) == (1, [])


def test_the_paths_of_mimir_answer_200_and_others_404(proxy: RemoteWriteProxy) -> None:
    paths = ["/api/v1/push", "/api/prom/push", "/api/v1/write/", "/"]

    assert [push(proxy, path=path).status_code for path in paths] == [200, 200, 404, 404]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("content_encoding", "gzip"),
        ("content_type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
        ("x_prometheus_remote_write_version", "2.0.0"),
        ("user_agent", ""),
    ],
)
def test_headers_are_held_to_the_protocol(proxy: RemoteWriteProxy, header: str, value: str) -> None:
    push(proxy, series(NAME, samples=[(1, 1.0)]), **{header: value})

    assert [violation.split(":")[0] for violation in proxy.violations] == [f"header {header.replace('_', '-')}"]


@pytest.mark.parametrize(
    ("labels", "samples", "violation"),
    [
        ([("job", "a"), NAME], [(1, 1.0)], "not sorted"),
        ([NAME, ("a", "1"), ("a", "2")], [(1, 1.0)], "repeated"),
        ([("job", "a")], [(1, 1.0)], "illegal metric name"),
        ([("__name__", "a-b")], [(1, 1.0)], "illegal metric name"),
        ([NAME, ("a.b", "1")], [(1, 1.0)], "illegal label name"),
        ([NAME, ("__x", "1")], [(1, 1.0)], "illegal label name"),
        ([("", "1"), NAME], [(1, 1.0)], "illegal label name"),
        ([NAME, ("a", "")], [(1, 1.0)], "empty value"),
        ([NAME, ("a", "x" * 2049)], [(1, 1.0)], "too long"),
        ([NAME, *((f"l{n:02}", "v") for n in range(30))], [(1, 1.0)], "31 labels"),
        ([NAME], [], "no sample"),
        ([NAME], [(2, 1.0), (1, 2.0)], "not in the order of time"),
    ],
)
def test_series_are_held_to_the_protocol(
    proxy: RemoteWriteProxy, labels: list[Pair], samples: list[tuple[int, float]], violation: str
) -> None:
    push(proxy, series(*labels, samples=samples))

    assert len(proxy.violations) == 1
    assert violation in proxy.violations[0]


@pytest.mark.parametrize("body", [b"", b"plain", bytes(cramjam.snappy.compress_raw(b"\x0a\x7f"))])
def test_what_is_no_write_request_is_400(proxy: RemoteWriteProxy, body: bytes) -> None:
    assert httpx.post(proxy.write_url, content=body, headers=HEADERS).status_code == 400
    assert proxy.violations[0].startswith("body: ")
    assert not proxy.received


def test_samples_must_go_forward_but_the_last_request_may_be_repeated(proxy: RemoteWriteProxy) -> None:
    newest = series(NAME, ("job", "a"), samples=[(2000, 2.0)])
    push(proxy, series(NAME, ("job", "a"), samples=[(1000, 1.0)]))
    proxy.fail_next(LoseAnswer())
    with pytest.raises(httpx.TransportError):
        push(proxy, newest)

    assert push(proxy, newest).status_code == 204
    assert not proxy.violations
    refused = push(proxy, series(NAME, ("job", "a"), samples=[(1500, 1.0)]))
    assert (refused.status_code, len(proxy.violations)) == (400, 1)
    assert proxy.total("calls_total") == 2.0


def test_what_a_fault_kept_out_does_not_count_as_sent(proxy: RemoteWriteProxy) -> None:
    proxy.fail_next(Status(503, {"Retry-After": "1"}))
    batch = series(NAME, samples=[(2000, 2.0)])

    assert push(proxy, batch).headers["retry-after"] == "1"
    assert push(proxy, series(NAME, samples=[(1000, 1.0)])).status_code == 204
    assert (len(proxy.received), len(proxy.stored), proxy.violations) == (2, 1, [])


def test_silence_ends_with_the_senders_patience(proxy: RemoteWriteProxy) -> None:
    proxy.always = NeverAnswer()

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(proxy.write_url, content=b"", headers=HEADERS, timeout=0.2)
    assert not proxy.stored


def test_a_real_prometheus_behind_the_proxy_answers_for_itself(prometheus: Prometheus) -> None:
    now = int(time.time()) * 1000
    with RemoteWriteProxy(prometheus.url) as proxy:
        assert push(proxy, series(NAME, ("job", "real"), samples=[(now - 1000, 1.0)])).status_code == 204
        assert push(proxy, series(NAME, ("job", "real"), samples=[(now, 4.0)])).status_code == 204
        late = push(proxy, series(NAME, ("job", "real"), samples=[(now - 500, 2.0)]))

        assert (late.status_code, proxy.statuses) == (400, [204, 204, 400])
        assert "out of order sample" in late.text
    labels = {"__name__": "calls_total", "job": "real"}
    assert prometheus.query('calls_total{job="real"}') == [(labels, 4.0)]
    assert prometheus.query('calls_total{job="real"}', at=now / 1000 - 0.5) == [(labels, 1.0)]
    assert prometheus.value('sum(calls_total{job="real"})') == 4.0
    assert prometheus.value("nothing") is None
    points = [(now / 1000 - 1, 1.0), (now / 1000, 4.0)]
    assert prometheus.query_range('calls_total{job="real"}', now / 1000 - 2, now / 1000, 1) == [(labels, points)]


def test_an_answer_lost_behind_a_real_prometheus_can_be_repeated(prometheus: Prometheus) -> None:
    batch = series(NAME, ("job", "lost"), samples=[(int(time.time() * 1000), 7.0)])
    with RemoteWriteProxy(prometheus.url) as proxy:
        proxy.fail_next(LoseAnswer())
        with pytest.raises(httpx.TransportError):
            push(proxy, batch)
        assert prometheus.value('calls_total{job="lost"}') == 7.0
        assert push(proxy, batch).status_code == 204
        assert not proxy.violations
    assert prometheus.value('calls_total{job="lost"}') == 7.0


def test_a_query_that_is_wrong_is_an_error(prometheus: Prometheus) -> None:
    with pytest.raises(PrometheusError, match="unclosed left parenthesis"):
        prometheus.query("sum(")
    assert prometheus.promtool.exists()


def test_a_program_that_ends_at_its_start_is_reported(tmp_path: Path) -> None:
    program = tmp_path / "prometheus"
    program.write_text("#!/bin/sh\necho no such flag >&2\nexit 2\n")
    program.chmod(0o755)

    with pytest.raises(PrometheusError, match="no such flag"), Prometheus(program, tmp_path):
        pass


def test_without_a_program_tests_are_skipped_but_fail_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_PROMETHEUS", "/nonexistent/prometheus")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="scripts/install-prometheus"):
        require_prometheus()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="scripts/install-prometheus"):
        require_prometheus()
