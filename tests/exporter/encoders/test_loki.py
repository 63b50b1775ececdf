from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitored_openai import CallRecord, Usage
from monitored_openai._exporter.encoders import loki as encoder
from monitored_openai._log_entry import log_entry
from tests.support.servers.loki import FakeLoki

pytestmark = pytest.mark.once

NOW = 1_764_000_000_000_000_000
STREAM = {"job": "integrations/openai", "environment": "default"}
ODD = [
    "\ud800",
    "\udfff x",
    "\0",
    "\x1b[31m",
    "line\nline\r\n",
    '"quoted" \\',
    "🙂 👩‍👩‍👧",
    "\u2028",
    "\ufffe",
    "{}",
    "  ",
]

texts = st.text(st.characters(), max_size=200) | st.sampled_from(ODD)
names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,20}", fullmatch=True)
metadata = st.dictionaries(names, texts, max_size=5)
plain = st.recursive(
    texts | st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
shared_server = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


@pytest.fixture
def loki() -> Iterator[FakeLoki]:
    with FakeLoki(now_ns=lambda: NOW, keep_requests=False) as running:
        yield running


def push(loki: FakeLoki, *streams: tuple[Mapping[str, str], list[bytes]]) -> int:
    body = encoder.encode_push(streams)
    return httpx.post(loki.push_url, content=body, headers=encoder.HEADERS, timeout=10).status_code


def as_json(text: str) -> str:
    return json.dumps({"text": text}, ensure_ascii=False)


def cleaned(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@shared_server
@given(lines=st.lists(st.tuples(texts.map(as_json), metadata), min_size=1, max_size=5))
def test_entries_of_any_text_are_taken_whole(loki: FakeLoki, lines: list[tuple[str, dict[str, str]]]) -> None:
    loki.entries.clear()
    entries = [encoder.encode_entry(NOW + at, line, facts) for at, (line, facts) in enumerate(lines)]

    with FakeLoki(now_ns=lambda: NOW) as fresh:
        assert push(fresh, (STREAM, entries)) == 204
        assert fresh.rejected == []
        stored = [(entry.ts - NOW, entry.line, dict(entry.metadata)) for entry in fresh.entries]

    assert stored == [
        (at, cleaned(line), {name: cleaned(value) for name, value in facts.items()})
        for at, (line, facts) in enumerate(lines)
    ]


@shared_server
@given(values=st.dictionaries(names, texts.filter(bool), min_size=1, max_size=5))
def test_labels_of_any_text_are_taken(values: dict[str, str]) -> None:
    with FakeLoki(now_ns=lambda: NOW) as loki:
        assert push(loki, (values, [encoder.encode_entry(NOW, "line", {})])) == 204
        assert loki.entries[0].labels == {name: cleaned(value) for name, value in values.items()}


@shared_server
@given(request=st.dictionaries(texts, plain, max_size=4), response=plain, message=texts, attributes=metadata)
def test_the_entry_of_a_call_about_anything_is_taken_and_its_line_is_json(
    request: dict[str, Any], response: Any, message: str, attributes: dict[str, str]
) -> None:
    record = CallRecord(
        id="1",
        operation="chat",
        provider="openai",
        server="api.test",
        request_model=message or None,
        started_ns=NOW,
        ended_ns=NOW,
        duration=1.0,
        error_type="other",
        error_message=message,
        usage=Usage(input_tokens=3),
        request=request,
        response=response if isinstance(response, (str, dict)) else {"body": response},
        attributes=attributes,
    )

    entry = log_entry(record, redact=None, max_bytes=64 * 1024)
    with FakeLoki(now_ns=lambda: NOW) as loki:
        assert push(loki, (STREAM, [encoder.encode_entry(NOW, entry.line, entry.metadata)])) == 204
        assert loki.rejected == []
        line = json.loads(loki.entries[0].line)

    assert (line["id"], line["usage"]) == ("1", {"input_tokens": 3})
    assert entry.failed is False


def test_streams_without_entries_are_left_out_and_the_others_kept_apart(loki: FakeLoki) -> None:
    first, second = encoder.encode_entry(NOW, "first", {}), encoder.encode_entry(NOW + 1, "second", {"a": "b"})
    zero, one, two = ({**STREAM, "shard": str(shard)} for shard in range(3))

    assert push(loki, (zero, [first]), (one, []), (two, [second])) == 204

    assert {labels: [entry.line for entry in stored] for labels, stored in loki.streams.items()} == {
        tuple(sorted(zero.items())): ["first"],
        tuple(sorted(two.items())): ["second"],
    }


def test_a_request_is_gzipped_json_whose_bytes_depend_on_its_content_alone() -> None:
    entries = [encoder.encode_entry(NOW, "line", {"model": "gpt-4o"})]

    body = encoder.encode_push([(STREAM, entries)])

    assert body == encoder.encode_push([(STREAM, entries)])
    assert json.loads(gzip.decompress(body)) == {
        "streams": [{"stream": STREAM, "values": [[str(NOW), "line", {"model": "gpt-4o"}]]}]
    }
    assert encoder.HEADERS == {"Content-Type": "application/json", "Content-Encoding": "gzip"}


def test_a_push_again_adds_nothing(loki: FakeLoki) -> None:
    entries = [encoder.encode_entry(NOW + at, f"line {at}", {}) for at in range(5)]

    assert [push(loki, (STREAM, entries)) for _ in range(3)] == [204] * 3

    assert (len(loki.entries), loki.duplicates) == (5, 10)


@pytest.mark.parametrize(
    ("last", "ended", "stamped"),
    [
        (0, 5, 5),
        (5, 5, 6),
        (9, 5, 10),
        (300 * 10**9 + 5, 5, 300 * 10**9 + 6),
        (300 * 10**9 + 6, 5, 5),  # the clock has been set back: Loki would refuse what goes on in the future
    ],
)
def test_entries_follow_each_other_in_time_unless_the_clock_is_set_back(last: int, ended: int, stamped: int) -> None:
    assert encoder.following(last, ended) == stamped
