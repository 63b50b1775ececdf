"""Reading of a usage in the field names of OpenAI and of compatible servers; all counts are worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk

from monitored_openai import Usage
from monitored_openai._endpoints.audio import TRANSCRIPTIONS, TRANSLATIONS
from monitored_openai._endpoints.base import Endpoint, ParsedResponse, parse_body
from monitored_openai._endpoints.chat import CHAT, ChatAccumulator
from monitored_openai._endpoints.completions import COMPLETIONS
from monitored_openai._endpoints.embeddings import EMBEDDINGS
from monitored_openai._endpoints.responses import RESPONSES

ANSWER = [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}]
PLAIN = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
TOKENS = Usage(input_tokens=1000, output_tokens=100)


def read(endpoint: Endpoint, **body: Any) -> ParsedResponse:
    return parse_body(endpoint, json.dumps(body).encode())


def chat(usage: object, choices: object = ANSWER) -> ParsedResponse:
    return read(CHAT, choices=choices, usage=usage)


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        pytest.param(PLAIN, TOKENS, id="openai"),
        pytest.param(
            {**PLAIN, "prompt_tokens_details": {"cached_tokens": 900}},
            Usage(input_tokens=1000, output_tokens=100, input_cached_tokens=900),
            id="openai-cached",
        ),
        pytest.param(
            {**PLAIN, "prompt_cache_hit_tokens": 900, "prompt_cache_miss_tokens": 100},
            Usage(input_tokens=1000, output_tokens=100, input_cached_tokens=900),
            id="deepseek",
        ),
        pytest.param(
            {**PLAIN, "prompt_cache_hit_tokens": 900, "prompt_tokens_details": {"cached_tokens": 900}},
            Usage(input_tokens=1000, output_tokens=100, input_cached_tokens=900),
            id="deepseek-both-names",
        ),
        pytest.param(
            {**PLAIN, "prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": 1000},
            Usage(input_tokens=1000, output_tokens=100, input_cached_tokens=0),
            id="deepseek-miss",
        ),
        pytest.param(
            {**PLAIN, "cached_tokens": 900},
            Usage(input_tokens=1000, output_tokens=100, input_cached_tokens=900),
            id="moonshot",
        ),
        pytest.param(
            {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}, TOKENS, id="names-of-responses"
        ),
        pytest.param(
            {**PLAIN, "input_tokens": 0, "output_tokens": 0, "input_tokens_details": None}, TOKENS, id="both-names"
        ),
        pytest.param(
            {"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 1000, "output_tokens": 100}, TOKENS, id="zeros"
        ),
        pytest.param(
            {
                "prompt_tokens": 1000,
                "completion_tokens": 100,
                "total_tokens": 1500,
                "completion_tokens_details": {"reasoning_tokens": 400},
            },
            Usage(input_tokens=1000, output_tokens=500, output_reasoning_tokens=400),
            id="xai-reasoning-beside-the-output",
        ),
        pytest.param(
            {
                "input_tokens": 1000,
                "output_tokens": 100,
                "total_tokens": 1100,
                "input_tokens_details": {"cache_creation_input_tokens": 300, "cached_tokens": 200},
            },
            Usage(input_tokens=1000, output_tokens=100, input_cached_tokens=200, input_cache_write_tokens=300),
            id="perplexity-cache-write",
        ),
        pytest.param(
            {
                "input_tokens": 1000,
                "output_tokens": 100,
                "total_tokens": 1100,
                "input_tokens_details": {
                    "cache_write_tokens": 900,
                    "cache_write_tokens_details": {"ttl_12h_tokens": 400, "ttl_30m_tokens": 500},
                },
            },
            Usage(
                input_tokens=1000,
                output_tokens=100,
                input_cache_write_tokens=900,
                input_cache_write_12h_tokens=400,
            ),
            id="openai-cache-write-12h",
        ),
    ],
)
@pytest.mark.parametrize("endpoint", [CHAT, COMPLETIONS, RESPONSES], ids=lambda endpoint: endpoint.path)
def test_a_usage_has_the_counts_in_the_servers_own_fields(endpoint: Endpoint, reported: Any, usage: Usage) -> None:
    found = read(endpoint, usage=reported, output=[{"type": "message"}], choices=ANSWER)
    assert (found.usage, found.usage_unknown) == (usage, None)
    assert found.reported_usage == reported


@pytest.mark.parametrize("total", [0, 3100, 1099, 10**6])
def test_a_total_that_does_not_add_up_makes_the_usage_unknown(total: int) -> None:
    found = chat({**PLAIN, "total_tokens": total})
    assert (found.usage, found.usage_unknown) == (None, "total_mismatch")


def test_tokens_in_the_total_alone_may_be_thinking() -> None:
    found = chat({**PLAIN, "total_tokens": 3100})
    assert found.usage_if_thinking == Usage(input_tokens=1000, output_tokens=2100, output_reasoning_tokens=2000)


@pytest.mark.parametrize(
    "reported",
    [
        pytest.param({**PLAIN, "total_tokens": 900}, id="smaller total"),
        pytest.param(
            {**PLAIN, "total_tokens": 3100, "completion_tokens_details": {"reasoning_tokens": 50}}, id="other reasoning"
        ),
    ],
)
def test_another_difference_is_never_thinking(reported: Any) -> None:
    found = chat(reported)
    assert (found.usage, found.usage_unknown, found.usage_if_thinking) == (None, "total_mismatch", None)


@pytest.mark.parametrize("absurd", [-1, 10**18, 10**9 + 1, 1.5, "7", True, [], {}], ids=repr)
@pytest.mark.parametrize(
    "path",
    [
        ("prompt_tokens",),
        ("completion_tokens",),
        ("total_tokens",),
        ("cached_tokens",),
        ("prompt_cache_hit_tokens",),
        ("prompt_tokens_details", "cached_tokens"),
        ("prompt_tokens_details", "audio_tokens"),
        ("prompt_tokens_details", "cache_write_tokens"),
        ("completion_tokens_details", "reasoning_tokens"),
        ("completion_tokens_details", "audio_tokens"),
    ],
    ids=".".join,
)
def test_one_absurd_count_makes_the_whole_usage_unknown(path: tuple[str, ...], absurd: Any) -> None:
    *outer, name = path
    usage = {**PLAIN, outer[0]: {name: absurd}} if outer else {**PLAIN, name: absurd}
    found = chat(usage)
    assert (found.usage, found.usage_unknown) == (None, "invalid")


ZERO = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, {"choices": ANSWER, "usage": ZERO}),
        (CHAT, {"choices": [{"message": {"tool_calls": [{"id": "c"}]}}], "usage": ZERO}),
        (CHAT, {"choices": [{"message": {"content": None, "reasoning_content": "Hm."}}], "usage": ZERO}),
        (COMPLETIONS, {"choices": [{"text": "Yes."}], "usage": ZERO}),
        (RESPONSES, {"output": [{"type": "message"}], "usage": {"input_tokens": 0, "output_tokens": 0}}),
        (EMBEDDINGS, {"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 0, "total_tokens": 0}}),
        (TRANSCRIPTIONS, {"text": "Hello.", "usage": {"type": "duration", "seconds": 0}}),
    ],
)
def test_output_with_a_usage_of_zero_is_unknown(endpoint: Endpoint, body: Any) -> None:
    found = read(endpoint, **body)
    assert (found.usage, found.usage_unknown) == (None, "zero_usage")


@pytest.mark.parametrize("choices", [[], None, [{"message": {"content": ""}, "finish_reason": "length"}]])
def test_a_usage_of_zero_without_output_is_known(choices: object) -> None:
    found = chat(ZERO, choices)
    assert (found.usage, found.usage_unknown) == (Usage(input_tokens=0, output_tokens=0), None)


def test_an_embedding_has_no_output_to_add_up() -> None:
    found = read(EMBEDDINGS, data=[{"embedding": [0.5]}], usage={"prompt_tokens": 8, "total_tokens": 8})
    assert found.usage == Usage(input_tokens=8)


HEARD = {"type": "tokens", "input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}


@pytest.mark.parametrize(
    ("details", "audio", "unpriced"),
    [
        pytest.param(None, None, "split_unknown", id="no split"),
        pytest.param({}, None, "split_unknown", id="empty split"),
        pytest.param({"audio_tokens": 990, "text_tokens": 10}, 990, None, id="both"),
        pytest.param({"audio_tokens": 0}, 0, None, id="audio alone"),
        pytest.param({"text_tokens": 10}, 990, None, id="text alone"),
        pytest.param({"text_tokens": 1001}, None, "split_unknown", id="more text than input"),
    ],
)
@pytest.mark.parametrize("endpoint", [TRANSCRIPTIONS, TRANSLATIONS], ids=["transcription", "translation"])
def test_a_transcription_without_its_audio_tokens_has_no_price(
    endpoint: Endpoint, details: object, audio: int | None, unpriced: str | None
) -> None:
    found = read(endpoint, text="Hello.", usage={**HEARD, "input_token_details": details})
    assert found.usage is not None
    assert (found.usage.input_audio_tokens, found.unpriced) == (audio, unpriced)


@pytest.mark.parametrize("seconds", [-1, "7", 10**18, True])
def test_an_absurd_length_is_unknown(seconds: object) -> None:
    found = read(TRANSCRIPTIONS, text="Hello.", usage={"type": "duration", "seconds": seconds})
    assert (found.usage, found.usage_unknown) == (None, "invalid")


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"prompt_cache_options": {"mode": "implicit", "ttl": "12h"}, "prompt_cache_retention": "24h"}, "12h"),
        ({"prompt_cache_options": {"mode": "implicit", "ttl": "30m"}}, "30m"),
        ({"prompt_cache_retention": "24h"}, "24h"),
        ({"prompt_cache_retention": None, "prompt_cache_options": None}, None),
    ],
)
def test_a_response_names_the_time_for_which_the_cache_keeps_tokens(fields: Any, kept: str | None) -> None:
    assert read(RESPONSES, output=[], **fields).cache_retention == kept


@pytest.mark.parametrize("beside", [None, PLAIN], ids=["alone", "beside the usual place"])
def test_a_stream_may_report_the_usage_in_its_last_choice(beside: Any) -> None:
    stream = ChatAccumulator()
    last = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": {**PLAIN, "cached_tokens": 900}}
    for choice in ({"index": 0, "delta": {"content": "Yes."}, "finish_reason": None}, last):
        stream.add(ChatCompletionChunk.construct(id="c", model="kimi-k2.6", choices=[choice]))
    if beside is not None:
        stream.add(ChatCompletionChunk.construct(id="c", model="kimi-k2.6", choices=[], usage=beside))
    cached = None if beside is not None else 900
    assert CHAT.parse(stream.body()).usage == Usage(input_tokens=1000, output_tokens=100, input_cached_tokens=cached)
