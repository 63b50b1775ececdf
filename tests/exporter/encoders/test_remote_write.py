from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import pairwise

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitored_openai import Monitoring, MonitoringSettings, SettingsError, _logging
from monitored_openai._exporter.encoders import remote_write
from tests.support.handles import ask, flush_until, handle, in_process
from tests.support.servers._wire import decode
from tests.support.servers.remote_write import LoseAnswer, RemoteWriteProxy, Status

pytestmark = pytest.mark.once

# A WriteRequest as protobuf 7.36 serialises it, from a descriptor of the four messages.
GOLDEN = bytes.fromhex(
    "0a9f010a260a085f5f6e616d655f5f121a67656e5f61695f636c69656e745f746f6b656e735f746f74616c0a1a0a1167656e5f61695f74"
    "6f6b656e5f747970651205696e7075740a190a08696e7374616e6365120d68c3a473743a313a3138633a300a1a0a036a6f621213696e74"
    "6567726174696f6e732f6f70656e6169121009000000000000f83f1080d0dfb4ab331210099c7500883ce4377e1098c5e0b4ab330a260a"
    "0e0a085f5f6e616d655f5f1202757012140900000000000002c010ffffffffffffffffff010ae5010ad5010a085f5f6e616d655f5f12c8"
    "01" + "78" * 200 + "120b09000000000000f07f1001"
)

names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,30}", fullmatch=True)
values = st.text(st.characters(), max_size=300)
samples = st.lists(st.tuples(st.floats(), st.integers(-(2**63), 2**63 - 1)), max_size=3)


@pytest.fixture
def monitoring(proxy: RemoteWriteProxy) -> Iterator[Monitoring]:
    with handle(metrics_url=proxy.write_url, push_interval=60) as made:
        yield made


def requests_after(monitoring: Monitoring, proxy: RemoteWriteProxy, timeout: float = 30) -> list[bytes]:
    """The bodies that a call and a flush bring."""
    with in_process(monitoring) as client:
        ask(client)
    monitoring.flush(timeout)
    return [request.body for request in proxy.requests]


def test_a_request_is_byte_for_byte_what_protobuf_makes_of_it() -> None:
    tokens = remote_write.encode_labels(
        "gen_ai_client_tokens_total",
        [("job", "integrations/openai"), ("instance", "häst:1:18c:0"), ("gen_ai_token_type", "input")],
    )
    encoded = (
        remote_write.encode_series(tokens, [(1.5, 1764000000000), (1e300, 1764000015000)])
        + remote_write.encode_series(remote_write.encode_labels("up", []), [(-2.25, -1)])
        + remote_write.encode_series(remote_write.encode_labels("x" * 200, []), [(math.inf, 1)])
    )

    assert encoded == GOLDEN


def test_the_end_of_a_series_has_the_bits_that_prometheus_knows() -> None:
    encoded = remote_write.encode_series(b"", [(1.5, 1), (None, 2)])
    assert encoded == bytes.fromhex("0a1a120b09000000000000f83f1001120b09020000000000f07f1002")


@given(names, st.dictionaries(names.filter(lambda name: name != "__name__"), values, max_size=8), samples)
def test_an_independent_decoder_reads_what_was_encoded(
    name: str, labels: dict[str, str], points: list[tuple[float, int]]
) -> None:
    encoded = remote_write.encode_series(remote_write.encode_labels(name, labels.items()), points)

    [series] = decode(bytes(cramjam.snappy.compress_raw(encoded)))

    kept = {"__name__": name, **{label: value for label, value in labels.items() if value}}
    as_sent = {label: value.encode("utf-8", "replace").decode() for label, value in kept.items()}
    assert list(series.labels) == sorted(as_sent.items())
    assert [ts for ts, _ in series.samples] == [ts for _, ts in points]
    assert [repr(value) for _, value in series.samples] == [repr(value) for value, _ in points]


@given(st.dictionaries(names, st.text(st.characters(categories=["Cs"]), min_size=1, max_size=9), max_size=3))
def test_lone_surrogates_never_reach_the_wire(labels: dict[str, str]) -> None:
    remote_write.encode_labels("up", labels.items()).decode("utf-8")


def test_a_push_breaks_none_of_the_rules_for_a_sender(monitoring: Monitoring, proxy: RemoteWriteProxy) -> None:
    [body] = requests_after(monitoring, proxy)

    assert proxy.violations == []
    request = proxy.requests[0]
    assert (request.method, request.path) == ("POST", "/api/v1/write")
    assert request.headers["user-agent"].startswith("monitored-openai/")
    assert not bytes(body).startswith(b"\xff\x06\x00\x00sNaPpY")  # the framed format, which no receiver takes
    now = time.time() * 1000
    stamps = [ts for series in decode(body) for ts, _ in series.samples]
    assert all(now - 61_000 < ts < now + 1000 for ts in stamps)
    assert all(dict(series.labels)["job"] == "integrations/openai" for series in decode(body))
    assert len({dict(series.labels)["instance"] for series in decode(body)}) == 1


def test_every_series_appears_once_in_a_push(monitoring: Monitoring, proxy: RemoteWriteProxy) -> None:
    [body] = requests_after(monitoring, proxy)

    keys = [series.labels for series in decode(body)]
    assert len(keys) == len(set(keys)) > 20


@pytest.mark.parametrize("status", [400, 401, 404, 413, 415, 422])
def test_a_request_that_was_refused_is_never_sent_again(
    monitoring: Monitoring, proxy: RemoteWriteProxy, status: int
) -> None:
    proxy.fail_next(Status(status))

    bodies = requests_after(monitoring, proxy, timeout=1.0)

    assert len(set(bodies)) == len(bodies)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_push_that_failed_on_the_server_is_made_again_after_a_pause_and_with_newer_timestamps(
    monitoring: Monitoring, proxy: RemoteWriteProxy, status: int
) -> None:
    proxy.fail_next(Status(status), times=2)

    assert len(requests_after(monitoring, proxy)) == 3
    newest = [max(ts for one in batch for ts, _ in one.samples) for batch in proxy.received]
    assert all(later - earlier >= 90 for earlier, later in pairwise(newest))
    assert (len(proxy.stored), proxy.violations) == (1, [])


def test_a_push_that_a_volume_limit_refuses_goes_on_in_smaller_parts(
    monitoring: Monitoring, proxy: RemoteWriteProxy
) -> None:
    proxy.fail_next(Status(429), times=2)

    whole, half, quarter, *_ = (len(decode(body)) for body in requests_after(monitoring, proxy))
    assert whole > half > quarter
    stored = [series.labels for batch in proxy.stored for series in batch]
    assert (len(stored), len(set(stored)), proxy.violations) == (whole, whole, [])


@pytest.mark.parametrize(("status", "parts"), [(429, 2), (503, 1)])
def test_the_pause_that_a_server_asks_for_is_kept_even_while_a_flush_presses(
    monitoring: Monitoring, proxy: RemoteWriteProxy, status: int, parts: int
) -> None:
    proxy.fail_next(Status(status, {"Retry-After": "1"}))

    started = time.monotonic()
    refused, *sent = (len(decode(body)) for body in requests_after(monitoring, proxy))

    # A push that is refused for its volume goes on in halves; an odd number of series leaves one for a third part.
    assert (sum(sent), max(sent)) == (refused, refused // parts)
    assert time.monotonic() - started >= 1.0
    assert monitoring.stats().failed_pushes == (status == 503)


def test_the_pause_that_a_server_asks_for_is_kept_beyond_the_push_interval(proxy: RemoteWriteProxy) -> None:
    proxy.fail_next(Status(503, {"Retry-After": "1"}))
    with handle(metrics_url=proxy.write_url, push_interval=0.05) as monitoring, in_process(monitoring) as client:
        began = time.monotonic()
        ask(client)
        proxy.wait_until(lambda: len(proxy.stored) == 1)

    assert time.monotonic() - began >= 1.0
    assert proxy.faulted == 1


@pytest.mark.parametrize("status", [200, 202, 204, 206])
def test_any_2xx_is_success_whatever_its_body_says(
    monitoring: Monitoring, proxy: RemoteWriteProxy, status: int
) -> None:
    proxy.fail_next(Status(status, body=b'{"status": "error"}' if status != 204 else b""))

    assert len(requests_after(monitoring, proxy)) == 1
    assert monitoring.stats().failed_pushes == 0


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00 not utf-8", b"x" * 3_000_000])
def test_the_body_of_an_error_changes_nothing(monitoring: Monitoring, proxy: RemoteWriteProxy, body: bytes) -> None:
    proxy.fail_next(Status(503, body=body))

    assert len(requests_after(monitoring, proxy)) == 2
    assert monitoring.flush(20).pushed


def test_an_error_is_logged_in_our_words_not_the_server_s(
    monitoring: Monitoring,
    proxy: RemoteWriteProxy,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_logging, "_said", {})  # another test may have been warned within the last minute
    proxy.fail_next(Status(400, body=b"out of order sample\x1b[31m\r\nfaked line " + b"y" * 5000), times=2)

    requests_after(monitoring, proxy)

    [line] = [record.getMessage() for record in caplog.records if "pushed" in record.getMessage()]
    assert line.endswith("HTTP 400 Bad Request: timestamp out of range or order")


def test_after_a_redirect_nothing_is_sent_elsewhere(monitoring: Monitoring, proxy: RemoteWriteProxy) -> None:
    with RemoteWriteProxy() as elsewhere:
        proxy.always = Status(307, {"Location": elsewhere.write_url})

        requests_after(monitoring, proxy, timeout=0)
        flush_until(monitoring, lambda: len(proxy.requests) > 0)

        assert elsewhere.requests == []


@pytest.mark.parametrize(
    "name", ["Content-Encoding", "content-type", "User-Agent", "X-Prometheus-Remote-Write-Version"]
)
def test_headers_that_the_protocol_fixes_cannot_be_overridden(name: str) -> None:
    with pytest.raises(SettingsError, match="headers"):
        MonitoringSettings(headers={name: "x"})


def test_an_answer_that_was_lost_is_asked_for_once_more_with_the_same_bytes(
    monitoring: Monitoring, proxy: RemoteWriteProxy
) -> None:
    proxy.fail_next(LoseAnswer())

    first, second = requests_after(monitoring, proxy)

    assert first == second
    assert (len(proxy.stored), proxy.violations) == (2, [])


def test_one_connection_serves_all_pushes(monitoring: Monitoring, proxy: RemoteWriteProxy) -> None:
    with in_process(monitoring) as client:
        for _ in range(5):
            ask(client)
            assert monitoring.flush(20).complete

    assert (len(proxy.stored), proxy.connections) == (5, 1)
