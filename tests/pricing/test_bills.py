"""The cost of whole calls, from the body of the response to the record, with dollars worked out by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from monitored_openai import CallRecord, MonitoredOpenAI
from tests.support.handles import handle, http

OPENAI = "https://api.openai.com/v1"
OPENROUTER = "https://openrouter.ai/api/v1"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/openai/"
VERTEX = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/openapi"
DEEPSEEK = "https://api.deepseek.com"

RECORDS: list[CallRecord] = []


def keep(record: CallRecord) -> None:
    RECORDS.append(record)


class Bill(NamedTuple):
    """A call and its cost: USD, or the reason for an unknown cost."""

    model: str
    usage: dict[str, Any]
    expected: float | str
    incomplete: tuple[str, ...] = ()
    url: str = OPENAI
    api: str = "responses"
    reply: dict[str, Any] = {}  # noqa: RUF012 - never changed
    request: dict[str, Any] = {}  # noqa: RUF012
    settings: dict[str, Any] = {}  # noqa: RUF012


def tokens(fresh: int, output: int, *, cached: int = 0, written: int = 0, **details: Any) -> dict[str, Any]:
    return {
        "input_tokens": fresh + cached + written,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written, **details},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": fresh + cached + written + output,
    }


def chat(fresh: int, output: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": fresh, "completion_tokens": output, "total_tokens": fresh + output, **more}


def recorded(bill: Bill) -> CallRecord:
    RECORDS.clear()
    common = {"id": "r", "model": bill.model, "usage": bill.usage, "created": 1, "created_at": 1}
    bodies: dict[str, dict[str, Any]] = {
        "responses": {
            "object": "response",
            "status": "completed",
            "output": [],
            "tools": [],
            "service_tier": "default",
        },
        "chat": {"object": "chat.completion", "choices": []},
        "transcription": {"text": "x"},
    }
    body = {**bodies[bill.api], **common, **bill.reply}
    transport = http.MockTransport(lambda _: http.Response(200, json=body))
    with (
        handle(on_record=keep, **bill.settings) as monitoring,
        http.Client(transport=transport) as client,
        MonitoredOpenAI(
            api_key="sk-test", base_url=bill.url, max_retries=0, http_client=client, monitoring=monitoring
        ) as openai,
    ):
        if bill.api == "chat":
            openai.chat.completions.create(
                model=bill.model, messages=[{"role": "user", "content": "x"}], **bill.request
            )
        elif bill.api == "transcription":
            openai.audio.transcriptions.create(model=bill.model, file=("a.wav", b"RIFF"), **bill.request)
        else:
            openai.responses.create(model=bill.model, input="x", **bill.request)
        assert monitoring.flush(20).complete
    (record,) = RECORDS
    return record


ITEM = {"id": "i", "status": "completed"}
SEARCH = {**ITEM, "type": "web_search_call", "action": {"type": "search", "query": "q"}}
FILES = {**ITEM, "type": "file_search_call", "queries": ["q"], "results": None}
CODE = {**ITEM, "type": "code_interpreter_call", "container_id": "cntr_1", "code": "1", "outputs": []}
IMAGE = {**ITEM, "type": "image_generation_call", "result": "aGk="}


def code(size: str | None) -> dict[str, Any]:
    container = {"type": "auto"} if size is None else {"type": "auto", "memory_limit": size}
    return {"output": [CODE], "tools": [{"type": "code_interpreter", "container": container}]}


def image(model: str | None, used: dict[str, Any]) -> dict[str, Any]:
    tool = {"type": "image_generation"} if model is None else {"type": "image_generation", "model": model}
    return {"output": [IMAGE], "tools": [tool], "tool_usage": {"image_gen": used}}


def drawn(text: int, images: int, output: int) -> dict[str, Any]:
    return {
        "input_tokens": text + images,
        "input_tokens_details": {"text_tokens": text, "image_tokens": images},
        "output_tokens": output,
        "output_tokens_details": {"image_tokens": output, "text_tokens": 0},
        "total_tokens": text + images + output,
    }


OWN = {"input": 2, "cached_input": 1, "output": 8}
SOL = tokens(1000, 100)  # at gpt-6.1-sol: 1000 * 2/1e6 + 100 * 10/1e6 = 0.003
RETAINED = {"request": {"extra_body": {"prompt_cache_options": {"ttl": "12h"}}}}

BILLS: dict[str, Bill] = {
    # data residency: models since gpt-5.4 cost 10 % more at a regional host
    "gpt-5.4 in Europe": Bill("gpt-5.4", tokens(1000, 100), 0.0044, url="https://eu.api.openai.com/v1"),
    "gpt-4o in Europe": Bill("gpt-4o", tokens(1000, 100), 0.0035, url="https://eu.api.openai.com/v1"),
    "search in Japan": Bill(
        *("gpt-6.1-sol", SOL, 0.0133),  # 0.003 * 1.1 + one search of 0.01
        url="https://jp.api.openai.com/v1",
        reply={"output": [SEARCH], "tools": [{"type": "web_search"}]},
    ),
    # hosted tools
    "one search": Bill("gpt-6.1-sol", SOL, 0.013, reply={"output": [SEARCH], "tools": [{"type": "web_search"}]}),
    "preview search of gpt-4o": Bill(
        *("gpt-4o", tokens(1000, 100), 0.0285),  # 0.0035 + 0.025
        reply={"output": [SEARCH], "tools": [{"type": "web_search_preview"}]},
    ),
    "two file searches": Bill(
        *("gpt-6.1-sol", SOL, 0.008), reply={"output": [FILES, FILES], "tools": [{"type": "file_search"}]}
    ),
    "container of 4 GB": Bill("gpt-6.1-sol", SOL, 0.123, reply=code("4g")),
    "container of 64 GB": Bill("gpt-6.1-sol", SOL, 1.923, reply=code("64g")),
    "container at Azure without a known deployment": Bill(
        *("gpt-5.4", tokens(1000, 100), 0.004 + 0.033, ("deployment",)),
        url="https://r.openai.azure.com/openai/v1",
        reply=code("1g"),
    ),
    "image by gpt-image-1": Bill(
        *("gpt-6.1-sol", SOL, 0.003 + 0.00025 + 0.04), reply=image("gpt-image-1", drawn(50, 0, 1000))
    ),
    "image by gpt-image-2 of an image": Bill(
        *("gpt-6.1-sol", SOL, 0.003 + 0.00025 + 0.0024 + 0.03), reply=image("gpt-image-2", drawn(50, 300, 1000))
    ),
    "image by an unknown model": Bill(
        *("gpt-6.1-sol", SOL, 0.003, ("tool_fee",)), reply=image("gpt-image-99", drawn(50, 0, 1000))
    ),
    # retention of the prompt cache
    "kept 12 h": Bill(
        *("gpt-6.1-sol", tokens(0, 0, written=1000, cache_write_tokens_details={"ttl_12h_tokens": 1000}), 0.005),
        **RETAINED,  # type: ignore[arg-type]
    ),
    "kept 12 h in part": Bill(
        *("gpt-6.1-sol", tokens(0, 0, written=1000, cache_write_tokens_details={"ttl_12h_tokens": 400}), 0.0035),
        **RETAINED,  # type: ignore[arg-type]
    ),
    "kept 30 minutes": Bill("gpt-6.1-sol", tokens(0, 0, written=1000), 0.0025),
    # thinking that only Gemini's total counts
    "thinking at Gemini": Bill(
        "gemini-2.5-flash", chat(1000, 100) | {"total_tokens": 2100}, 0.00305, (), GEMINI, "chat"
    ),
    "no thinking at Gemini": Bill("gemini-2.5-flash", chat(1000, 100), 0.00055, (), GEMINI, "chat"),
    "thinking at Vertex": Bill(
        "google/gemini-2.5-pro", chat(1000, 100) | {"total_tokens": 2100}, 0.01225, (), VERTEX, "chat"
    ),
    "prefix at Gemini": Bill("models/gemini-2.5-flash", chat(1000, 100), 0.00055, (), GEMINI, "chat"),
    "prefix at Vertex": Bill("google/gemini-2.5-flash", chat(1000, 100), 0.00055, (), VERTEX, "chat"),
    "unknown model with a prefix": Bill("google/gemini-99", chat(1000, 100), "unknown_model", (), VERTEX, "chat"),
    # the server's own charge
    "charge of zero": Bill("x/free", chat(10, 1, cost=0.0), 0.0, (), OPENROUTER, "chat"),
    "charge of an unknown model": Bill("x/y", chat(10, 1, cost=0.5), 0.5, (), OPENROUTER, "chat"),
    "charge as text": Bill("x/y", chat(10, 1, cost="a lot"), "usage_invalid", (), OPENROUTER, "chat"),
    # the user's own prices
    "own price without cache writes": Bill(
        *("gpt-6.1-sol", tokens(1000, 100, written=500), 0.0028, ("own_price",)),
        settings={"prices": {"gpt-6.1-sol": OWN}},
    ),
    "own price of cache writes": Bill(
        *("gpt-6.1-sol", tokens(1000, 100, written=500), 0.0043),
        settings={"prices": {"gpt-6.1-sol": {**OWN, "cache_write": 3}}},
    ),
    "own price without searches": Bill(
        *("gpt-6.1-sol", SOL, 0.0028, ("own_price",)),
        reply={"output": [SEARCH], "tools": [{"type": "web_search"}]},
        settings={"prices": {"gpt-6.1-sol": OWN}},
    ),
    "own price in another tier": Bill(
        *("gpt-6.1-sol", SOL, 0.006),  # as published: 1000 * 4/1e6 + 100 * 20/1e6
        reply={"service_tier": "priority"},
        settings={"prices": {"gpt-6.1-sol": OWN}},
    ),
    "own price of a tier": Bill(
        *("gpt-6.1-sol", SOL, 0.0168),
        reply={"service_tier": "ultrafast"},
        settings={"prices": {"gpt-6.1-sol": {**OWN, "tiers": {"ultrafast": {"multiplier": 6}}}}},
    ),
    "tier without a published price": Bill("gpt-6.1-sol", SOL, "no_rate_for_tier", reply={"service_tier": "ultrafast"}),
    # transcriptions
    "transcription without its split": Bill(
        "gpt-4o-mini-transcribe",
        {"type": "tokens", "input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100},
        *("split_unknown", (), OPENAI, "transcription"),
    ),
    "transcription with its split": Bill(
        "gpt-4o-transcribe",
        {
            "type": "tokens",
            "input_tokens": 1020,
            "output_tokens": 100,
            "total_tokens": 1120,
            "input_token_details": {"text_tokens": 20, "audio_tokens": 1000},
        },
        *(0.00705, (), OPENAI, "transcription"),  # 20 * 2.50/1e6 + 1000 * 6/1e6 + 100 * 10/1e6
    ),
    "transcription by length": Bill(
        "whisper-1", {"type": "duration", "seconds": 30}, 0.003, (), OPENAI, "transcription"
    ),
    # cached tokens in a server's own field
    "cache hits at DeepSeek": Bill(
        "deepseek-chat",
        chat(1000, 0, prompt_cache_hit_tokens=900, prompt_cache_miss_tokens=100),
        *(0.00019, (), DEEPSEEK, "chat"),  # 100 * 1/1e6 + 900 * 0.10/1e6; the published price changes by the hour
        settings={"prices": {"deepseek-chat": {"input": 1, "cached_input": 0.1, "output": 2}}},
    ),
}


@pytest.mark.parametrize("bill", BILLS.values(), ids=BILLS.keys())
def test_call_is_billed_as_the_provider_does(bill: Bill) -> None:
    record = recorded(bill)
    if isinstance(bill.expected, str):
        assert record.cost is None
        assert record.unpriced is not None
        assert bill.expected in record.unpriced
        return
    assert record.cost is not None, record.unpriced
    assert record.cost.total_usd == pytest.approx(bill.expected, rel=1e-9)
    assert record.cost.incomplete == bill.incomplete
