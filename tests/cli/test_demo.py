"""The demo: it shows the data that the receivers got, and succeeds only if all sides agree."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import re
import socket
import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any

import cramjam
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitored_openai import MonitoredOpenAI, MonitoringSettings
from monitored_openai._cli.demo import client_app, counts, output, replies, workload
from monitored_openai._cli.demo import run as demo
from monitored_openai._cli.demo.counts import Counts
from monitored_openai._cli.demo.openai_server import Api
from monitored_openai._cli.demo.receivers import LogsReceiver, MetricsReceiver
from monitored_openai._cli.terminal import Terminal
from monitored_openai._exporter.encoders import remote_write
from monitored_openai._local import remote_write_decoder
from monitored_openai._local.ingest import ReceivedEntry
from monitored_openai._local.quantile import histogram_quantile
from monitored_openai._local.remote_write_decoder import Series
from monitored_openai._metrics import names
from tests.support.servers._http import wait_until

QUICK = 0.02
"""The API's pace in tests: a fiftieth of the times shown to people."""
FOREIGN = {
    "MONITORED_OPENAI_METRICS_URL": "no url at all",
    "MONITORED_OPENAI_PUSH_INTERVAL": "no number",
    "OPENAI_BASE_URL": "http://127.0.0.1:9",
    "OTEL_SERVICE_NAME": "somebody else",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
}
"""What a user may have set, and what would break or change a demo that heeded it."""


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    code: int
    text: str
    api: Api
    metrics: MetricsReceiver
    logs: LogsReceiver


def run(*, metrics: MetricsReceiver | None = None, logs: LogsReceiver | None = None) -> Run:
    out = io.StringIO()
    api, metrics, logs = Api(pace=QUICK), metrics or MetricsReceiver(), logs or LogsReceiver()
    code = demo.run(Terminal(out=out), api=api, metrics=metrics, logs=logs)
    return Run(code=code, text=out.getvalue(), api=api, metrics=metrics, logs=logs)


@pytest.fixture(scope="module")
def finished() -> Run:
    """One run, in an environment that is somebody else's."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in FOREIGN.items():
            patch.setenv(name, value)
        done = run()
        assert {name: os.environ.get(name) for name in FOREIGN} == FOREIGN
    return done


def sums(text: str) -> list[tuple[str, str]]:
    return re.findall(
        r"^  (?:API served|Prometheus side:|Loki side:) +([\d,]+) calls and +([\d,]+) tokens$", text, re.MULTILINE
    )


def test_the_sides_agree_on_all_that_the_jobs_asked_for(finished: Run) -> None:
    calls = sum(phase.size for phase in workload.phases())
    tokens = counts.total(finished.api.served, *counts.TOKENS)

    assert finished.code == 0, finished.text
    assert sums(finished.text) == [(f"{calls:,}", f"{tokens:,}")] * 3
    assert calls > 300
    assert tokens > 50_000


def test_every_way_to_fail_is_seen_as_what_it_is(finished: Run) -> None:
    errors = Counter(entry.call["error_type"] for entry in finished.logs.entries if "error_type" in entry.call)
    failing = workload.phases()[-1]
    asked = Counter(job.fault for job in (*failing.in_threads, *failing.in_tasks))

    assert errors == {
        "rate_limit": asked["overloaded"],
        "context_length_exceeded": asked["too long"],
        "server_error": asked["broken"],
        "timeout": asked["silent"],
        "connection": asked["cut off"],
        "abandoned": asked["stalled"],
    }


def test_requests_that_the_sdk_repeats_and_answers_without_usage_occur_and_are_counted(finished: Run) -> None:
    served = finished.api.served

    assert counts.total(served, "repeated requests") > 20
    assert counts.total(served, "calls without usage") == 12
    assert counts.total(served, "cached input tokens") > 0
    assert counts.total(served, "reasoning tokens") > 0


def test_the_totals_of_the_table_are_those_of_the_api(finished: Run) -> None:
    row = next(line for line in finished.text.splitlines() if line.startswith("  all "))
    _, calls, errors, tokens_in, tokens_out, *_ = row.split()

    served = finished.api.served
    assert int(calls) == counts.total(served, "calls")
    assert int(errors) == 24
    assert tokens_in == f"{counts.total(served, 'input tokens'):,}"
    assert tokens_out == f"{counts.total(served, 'output tokens'):,}"


def test_a_model_without_a_price_is_of_unknown_cost_and_each_feature_has_its_own(finished: Run) -> None:
    rows = {
        line.split()[0]: line.split() for line in finished.text.splitlines() if line.startswith("  ") and line.split()
    }

    assert rows[replies.UNPRICED_MODEL][5] == "unknown"
    assert float(rows["gpt-4o"][5].removeprefix("≥")) > 0
    features = [float(rows[feature][5].removeprefix("≥")) for feature in replies.FEATURES]
    assert min(features) > 0
    assert sum(features) == pytest.approx(float(rows["all"][5].removeprefix("≥")), abs=1e-4)
    assert rows["all"][5].startswith("≥")  # it contains the calls of the model without a price


def test_the_output_fits_80_columns_and_has_no_control_characters_where_no_terminal_is(finished: Run) -> None:
    lines = finished.text.splitlines()

    assert [line for line in lines if len(line) > 80] == []
    assert [line for line in lines if not line.isprintable()] == []


def test_the_entries_shown_have_question_answer_and_error(finished: Run) -> None:
    shown = finished.text.partition("Loki received")[2].partition("Do the three agree?")[0]

    assert len(re.findall(r"^    asked     \S", shown, re.MULTILINE)) == 4
    assert len(re.findall(r"^    answered  \S", shown, re.MULTILINE)) == 3
    assert "error     Error code: 429" in shown
    assert "abandoned" in shown


def test_the_lines_for_ones_own_code_are_five_and_run(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    names: dict[str, object] = {}
    exec(output.SNIPPET, names)  # noqa: S102  # what people are told to copy

    client = names["client"]
    assert isinstance(client, names["MonitoredOpenAI"])  # type: ignore[arg-type]  # the snippet imports the class
    client.close()  # type: ignore[attr-defined]  # as above
    assert len(output.SNIPPET.splitlines()) == 5
    assert all(f"  {line}\n" in finished.text for line in output.SNIPPET.splitlines())


class Forgetful(LogsReceiver):
    """Loses the first entry that has a usage."""

    lost: ReceivedEntry | None = None

    def decode(self, body: bytes) -> list[ReceivedEntry]:
        entries = super().decode(body)
        if self.lost is None:
            self.lost = next((entry for entry in entries if "usage" in entry.call), None)
        return [entry for entry in entries if entry is not self.lost]


def test_a_lost_log_entry_is_named_and_fails_the_demo() -> None:
    logs = Forgetful()

    done = run(logs=logs)

    assert done.code == 1
    assert logs.lost is not None
    model, usage = logs.lost.call["request_model"], logs.lost.call["usage"]
    calls = done.api.served[model, "calls"]
    tokens = done.api.served[model, "input tokens"]
    assert f"  No: the Loki side has {calls - 1:,} calls of {model} instead of {calls:,}\n" in done.text
    assert f"has {tokens - usage['input_tokens']:,} input tokens of {model} instead of {tokens:,}\n" in done.text
    assert "No: the Prometheus side has a cost of" in done.text or model == replies.UNPRICED_MODEL
    assert "  Yes:" not in done.text
    assert output.SNIPPET.splitlines()[0] not in done.text


class Deaf(MetricsReceiver):
    """Loses one model's retries."""

    def decode(self, body: bytes) -> list[Series]:
        lost = ("gen_ai_client_retries_total", "gpt-5-mini")
        return [one for one in super().decode(body) if (one.labels["__name__"], one.labels.get(counts.MODEL)) != lost]


def test_a_lost_series_is_named_and_fails_the_demo() -> None:
    done = run(metrics=Deaf())

    retries = done.api.served["gpt-5-mini", "repeated requests"]
    assert done.code == 1
    assert re.findall("No: (.*)", done.text) == [
        f"the Prometheus side has 0 repeated requests of gpt-5-mini instead of {retries:,}"
    ]


class Overrun(Api):
    """Ends its first connections without reading their requests, so that the SDK sends them again."""

    ended = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        if self.ended < 4:
            self.ended += 1
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)


def test_all_sides_count_a_call_once_if_its_first_request_does_not_reach_the_api() -> None:
    jobs = [job for job in workload.phases()[0].in_threads if job.fault is None]
    phase = workload.Phase(name="overrun", how="at once", in_threads=jobs[:4], in_tasks=jobs[4:8])
    with MetricsReceiver() as metrics, LogsReceiver() as logs:
        settings = MonitoringSettings(metrics_url=metrics.push_url, logs_url=logs.push_url, provider="openai")
        with Overrun(pace=0) as api, MonitoredOpenAI(api_key="none", monitoring=settings) as client:
            errors = client_app.run([phase], api.base_url, settings)
            assert client.monitoring.close(20).complete
        sides = {"metrics": counts.Metrics(metrics.series).counts(), "log": counts.log_counts(logs.entries)}

    assert counts.differences(api.served + errors, sides) == []
    assert (counts.total(api.served, "calls"), counts.total(api.served, "repeated requests")) == (8, 4)


def test_costs_that_differ_between_the_sides_are_named() -> None:
    metrics, logs = MetricsReceiver(), LogsReceiver()
    with metrics, logs:
        metrics.pushes.append([series(counts.COST, 0.5, **{counts.MODEL: "m"})])
    out = io.StringIO()

    assert output.show(Terminal(out=out), Counter(), metrics, logs) == 1
    assert "No: the Prometheus side has a cost of $0.500000, the Loki side of $0.000000" in out.getvalue()


def series(name: str, value: float, **labels: str) -> Series:
    return Series(labels={"__name__": name, **labels}, value=value, timestamp_ms=1)


# The receivers


LABEL = st.text(min_size=1, max_size=20)
SAMPLE = st.tuples(st.floats(allow_nan=False), st.integers(-(2**63), 2**63 - 1))


@given(st.lists(st.tuples(LABEL, st.dictionaries(LABEL, LABEL, max_size=4), st.lists(SAMPLE, min_size=1, max_size=3))))
def test_what_the_encoder_writes_is_read_back(
    written: list[tuple[str, dict[str, str], list[tuple[float, int]]]],
) -> None:
    encoded = b"".join(
        remote_write.encode_series(remote_write.encode_labels(name, labels.items()), samples)
        for name, labels, samples in written
    )

    found = remote_write_decoder.read(bytes(cramjam.snappy.compress_raw(encoded)))

    assert [(one.labels, one.value, one.timestamp_ms) for one in found] == [
        ({**labels, "__name__": name}, *samples[-1]) for name, labels, samples in written
    ]


@given(st.binary(max_size=60))
def test_what_is_no_remote_write_is_refused_and_nothing_else_happens(body: bytes) -> None:
    for packed in (body, bytes(cramjam.snappy.compress_raw(body))):
        try:
            remote_write_decoder.read(packed)
        except ValueError:
            continue


@pytest.mark.parametrize("message", [b"\x0a\x7f", b"\x0b", b"\x0a\x03\x0a\x01\xff"])
def test_broken_protobuf_is_a_value_error(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"remote write|codec"):
        remote_write_decoder.read(bytes(cramjam.snappy.compress_raw(message)))


def test_an_older_sample_does_not_replace_a_newer_one() -> None:
    with MetricsReceiver() as metrics:
        for value, timestamp_ms in ((2.0, 20), (1.0, 10)):
            metrics.pushes.append([Series(labels={"__name__": "a"}, value=value, timestamp_ms=timestamp_ms)])

        assert [one.value for one in metrics.series] == [2.0]


def test_the_receivers_refuse_what_is_no_push_and_stay_up() -> None:
    with MetricsReceiver() as metrics, LogsReceiver() as logs:
        entry = ["1", json.dumps({"request_model": "m"}), {"a": "b"}]
        push = gzip.compress(json.dumps({"streams": [{"stream": {}, "values": [entry]}]}).encode())
        bodies = [
            b"",
            b"plain",
            gzip.compress(b"[]"),
            gzip.compress(b'{"streams": [{"values": [[1]]}]}'),
            push[:20],
            push,
        ]

        statuses = [httpx.post(logs.push_url, content=body).status_code for body in bodies]

        assert statuses == [400, 400, 400, 400, 400, 204]
        assert httpx.post(metrics.push_url, content=b"plain").status_code == 400
        assert (len(metrics.pushes), len(logs.pushes)) == (0, 1)
        assert logs.entries == [ReceivedEntry(timestamp_ns=1, call={"request_model": "m"}, metadata={"a": "b"})]


# The figures


@pytest.mark.parametrize(
    ("share", "buckets", "expected"),
    [
        (0.5, {0.1: 10, 0.2: 10, math.inf: 10}, 0.05),  # linear from zero in the first bucket
        (0.5, {0.1: 0, 0.2: 10, math.inf: 10}, 0.15),
        (0.95, {0.1: 50, 0.2: 90, 0.4: 100, math.inf: 100}, 0.3),
        (0.9, {0.1: 50, 0.2: 90, math.inf: 100}, 0.2),  # exactly at a bound
        (0.95, {0.1: 50, 0.2: 90, math.inf: 100}, 0.2),  # beyond the last bound, which then stands for it
        (0.5, {0.1: 0, 0.2: 0, 0.4: 4, math.inf: 4}, 0.3),  # empty buckets below
    ],
)
def test_quantiles_are_estimated_as_prometheus_does(share: float, buckets: dict[float, float], expected: float) -> None:
    assert histogram_quantile(share, buckets) == pytest.approx(expected)


@pytest.mark.parametrize("buckets", [{}, {math.inf: 0.0}, {0.1: 0.0, math.inf: 0.0}])
def test_a_quantile_of_nothing_is_not_a_number(buckets: dict[float, float]) -> None:
    assert math.isnan(histogram_quantile(0.5, buckets))


def test_sums_are_by_label_over_the_series_that_match() -> None:
    metrics = counts.Metrics(
        [series("a", 1, x="1", y="1"), series("a", 2, x="1", y="2"), series("a", 4, y="2"), series("b", 8, x="1")]
    )

    assert metrics.by("x", "a") == {"1": 3, "": 4}
    assert metrics.by("x", "a", y="2") == {"1": 2, "": 4}
    assert metrics.by("x", "c") == {}


def test_calls_of_a_model_that_never_succeeded_are_errors() -> None:
    metrics = counts.Metrics([series(counts.CALLS, 2, error_type="timeout", **{counts.MODEL: "m"})])

    assert metrics.counts() == {("m", "calls"): 2, ("m", "errors"): 2}


def test_differences_name_side_kind_and_model() -> None:
    true: Counts = Counter({("m", "calls"): 1000, ("m", "errors"): 0})
    other: Counts = Counter({("m", "calls"): 1000, ("n", "errors"): 2})

    assert counts.differences(true, {"A": true, "B": other}) == ["B has 2 errors of n instead of 0"]


def test_a_model_that_never_streamed_has_no_time_to_first_chunk() -> None:
    out = io.StringIO()
    labels = {counts.MODEL: "m"}
    metrics = counts.Metrics(
        [
            series(f"{names.DURATION.name}_count", 1, **labels),
            series(f"{names.DURATION.name}_bucket", 1, le="0.5", **labels),
            series(f"{names.DURATION.name}_bucket", 1, le="+Inf", **labels),
        ]
    )

    output.show_groups(Terminal(out=out), metrics, "model", counts.MODEL)

    row = next(line for line in out.getvalue().splitlines() if line.startswith("  m "))
    assert row.split()[-4:] == ["0.25", "0.47", "-", "-"]


# The API


def test_the_api_does_not_count_usage_that_it_has_not_told() -> None:
    with Api(pace=QUICK) as api:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "stream": True}

        streamed = httpx.post(f"{api.base_url}/chat/completions", json=body).text

    assert streamed.endswith("data: [DONE]\n\n")
    assert '"usage"' not in streamed
    assert api.served == {("gpt-4o", "calls"): 1, ("gpt-4o", "calls without usage"): 1}


def test_api_refuses_an_incomplete_request_and_counts_nothing() -> None:
    with Api(pace=QUICK) as api:
        status = httpx.post(f"{api.base_url}/chat/completions", content=b'{"model": "gpt').status_code

    assert (status, api.served) == (400, {})


def test_the_api_sees_a_client_leave_while_it_thinks() -> None:
    with Api(pace=1000) as api:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{api.base_url}/completions", json={"model": "davinci-002", "prompt": "Hello"}, timeout=0.1)
        wait_until(lambda: api.served["davinci-002", "calls without usage"] > 0)

        assert api.served == {("davinci-002", "calls"): 1, ("davinci-002", "calls without usage"): 1}


def test_the_api_sees_a_client_leave_while_it_writes() -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    request = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(request)}\r\n\r\n".encode()

    with Api(pace=0) as api:
        for _ in range(30):
            with socket.create_connection(("127.0.0.1", api.server_address[1]), timeout=5) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leaving is a reset
                client.sendall(head + request)
                client.recv(1)

    assert api.served == {("gpt-4o", "calls"): 30, ("gpt-4o", "calls without usage"): 30}


# The terminal


def test_progress_is_one_line_drawn_again_and_gone_in_the_end() -> None:
    out = Tty()
    with Terminal(out=out, redraws=True).progress("sync", 2) as on_done:
        on_done(1)
        on_done(2)

    drawn = out.getvalue().split("\r\x1b[2K")
    assert "\n" not in out.getvalue()
    assert [line[:16].strip() for line in drawn] == ["", "sync    0 of 2", "sync    1 of 2", "sync    2 of 2", ""]
    assert [line.count("█") for line in drawn] == [0, 0, 15, 30, 0]


def test_progress_is_silent_where_lines_cannot_be_drawn_again() -> None:
    out = io.StringIO()
    with Terminal(out=out).progress("sync", 2) as on_done:
        on_done(1)

    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("out", "environment", "colour", "redraws"),
    [
        (Tty(), {}, True, True),
        (Tty(), {"NO_COLOR": "1"}, False, True),
        (Tty(), {"NO_COLOR": ""}, True, True),
        (Tty(), {"TERM": "dumb"}, False, False),
        (io.StringIO(), {}, False, False),
    ],
)
def test_colour_and_redrawing_need_a_terminal(
    out: io.StringIO, environment: dict[str, str], colour: bool, redraws: bool
) -> None:
    terminal = Terminal.of(out, environment)

    assert (terminal.colour, terminal.redraws) == (colour, redraws)
    assert ("\x1b" in terminal.good("yes")) == colour


def test_what_the_encoding_has_no_character_for_is_shown_otherwise() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    terminal = Terminal(out=out, redraws=True)
    with terminal.progress("sync", 1) as on_done:
        on_done(1)
    terminal.line(terminal.fitted("größer als das", 10))

    assert raw.getvalue().decode("ascii").endswith("#" * 30 + "\r\x1b[2K" + "gr??er ...\n")


def test_texts_of_the_log_cannot_steer_the_terminal() -> None:
    out = io.StringIO()
    call = {
        "operation": "chat",
        "request_model": "m\x1b[2J",
        "attributes": {"feature": "support"},
        "duration_seconds": 0.5,
        "request": {"messages": [{"role": "user", "content": "\x1b[31mred\r\nline\u2028\u202e" + "x" * 500}]},
        "response": {"choices": [{"text": "\x07\x9b1m"}]},
    }

    output.show_examples(Terminal(out=out), [ReceivedEntry(timestamp_ns=0, call=call, metadata={})])

    assert out.getvalue().replace("\n", "").isprintable()
    assert r"\x1b[31mred\r\nline\u2028\u202e" in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 80
