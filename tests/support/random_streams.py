"""Random streams of chat completions, and the check of one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
from hypothesis import strategies as st

from monitored_openai import CallRecord, MonitoredOpenAI, Monitoring, MonitoringSettings
from tests.support.handles import http

RECORDS: list[CallRecord] = []
TEXT = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=2, max_size=4).map(lambda text: f"~{text}")
"""Texts without a digit, each of which a record can be searched for."""
EMPTY: st.SearchStrategy[Any] = st.sampled_from([None, "", [], {}, 0, False])
VALUE = st.recursive(
    TEXT | EMPTY,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "text"]), inner, max_size=2),
    max_leaves=4,
)
UNKNOWN = st.dictionaries(
    st.sampled_from(["x_one", "x_two", "reasoning_content", "reasoning", "citations"]), VALUE, max_size=2
)
PART = st.fixed_dictionaries({"type": st.sampled_from(["text", "thinking", "other"]), "text": TEXT})
CONTENT = TEXT | st.none() | st.just("") | st.lists(PART, max_size=2)
CALL = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 2) | st.none(),
        "id": st.sampled_from(["call_1", "call_2", "", None]),
        "type": st.just("function"),
        "function": st.fixed_dictionaries({}, optional={"name": TEXT | st.none(), "arguments": TEXT | st.just("{}")}),
    },
)


def _with(unknown: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    return {**unknown, **known}


DELTA = st.builds(
    _with,
    UNKNOWN,
    st.fixed_dictionaries(
        {},
        optional={
            "content": CONTENT,
            "role": st.just("assistant"),
            "refusal": TEXT | st.none(),
            "tool_calls": st.lists(CALL, max_size=2) | st.none(),
        },
    ),
)
CHOICE = st.builds(
    _with,
    UNKNOWN,
    st.fixed_dictionaries(
        {"delta": DELTA},
        optional={"index": st.integers(0, 2) | st.none(), "finish_reason": st.sampled_from([None, "stop"])},
    ),
)
CHUNK = st.builds(
    lambda unknown, choices: {
        "id": "c",
        "object": "chat.completion.chunk",
        "model": "m",
        **unknown,
        "choices": choices,
    },
    UNKNOWN,
    st.lists(CHOICE, max_size=2),
)
STREAMS = st.lists(CHUNK, max_size=6)
_HANDLE: list[Monitoring] = []


def _keep(record: CallRecord) -> None:
    RECORDS.append(record)


def check(events: list[dict[str, Any]]) -> None:
    """Assert that our client returns the chunks of the bare SDK and records all texts of the deltas."""
    if not _HANDLE:
        _HANDLE.append(Monitoring(MonitoringSettings(on_record=_keep)))
    RECORDS.clear()
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"

    def reply(_: Any) -> Any:
        return http.Response(200, text=body, headers={"content-type": "text/event-stream"})

    seen = []
    clients: tuple[tuple[Any, dict[str, Any]], ...] = (
        (openai.OpenAI, {}),
        (MonitoredOpenAI, {"monitoring": _HANDLE[0]}),
    )
    for kind, more in clients:
        with http.Client(transport=http.MockTransport(reply)) as sends:
            client = kind(api_key="k", base_url="https://api.test/v1", http_client=sends, **more)
            stream = client.chat.completions.create(model="m", messages=[], stream=True)
            seen.append([(chunk.to_dict(warnings=False), chunk.model_fields_set) for chunk in stream])
    assert seen[0] == seen[1]

    _HANDLE[0].flush(timeout=30)
    (record,) = RECORDS
    recorded = json.dumps(record.response)
    for event in events:
        for choice in event["choices"]:
            for text in _texts(choice["delta"]):
                assert text in recorded, (text, recorded)


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a delta that a merge must keep: not those that each fragment repeats, such as the id."""
    if isinstance(value, str):
        yield value
    for name, part in value.items() if isinstance(value, dict) else ():
        if name not in ("id", "type", "role", "index"):
            yield from _texts(part)
    for part in value if isinstance(value, list) else ():
        yield from _texts(part)
