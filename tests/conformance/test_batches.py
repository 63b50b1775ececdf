"""The usage of a finished batch: read from its output file, at batch rates, and counted once if requested."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from openai.types import Batch

from monitored_openai import AsyncMonitoredOpenAI, BatchUsage, MonitoredOpenAI, Monitoring, abatch_usage, batch_usage
from tests.conformance._stage import KEEPING, records_of

CHAT = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 200}}
RESPONSE = {"input_tokens": 1000, "output_tokens": 100}


def answered(usage: Any, model: str = "gpt-4o-2024-08-06", status: int = 200) -> dict[str, Any]:
    return {"custom_id": "1", "response": {"status_code": status, "body": {"model": model, "usage": usage}}}


FAILED = {"custom_id": "2", "response": None, "error": {"code": "batch_expired", "message": "too late"}}


def batch(name: str, endpoint: str = "/v1/chat/completions", **fields: Any) -> Batch:
    plain = {"completion_window": "24h", "created_at": 1_795_000_000, "input_file_id": "file-in", "object": "batch"}
    known = {"id": name, "endpoint": endpoint, "status": "completed", "output_file_id": "file-out"}
    return Batch.model_validate(plain | known | fields)


@pytest.fixture
def monitoring() -> Iterator[Monitoring]:
    handle = Monitoring(KEEPING)
    yield handle
    handle.close()


Tell = Callable[..., tuple[BatchUsage, ...]]


@pytest.fixture(params=["sync", "async"])
def tell(request: pytest.FixtureRequest, monitoring: Monitoring) -> Tell:
    """What a batch used whose output file has these lines."""

    def told(of: Batch, lines: Any, **more: Any) -> tuple[BatchUsage, ...]:
        body = lines if isinstance(lines, bytes) else "\n".join(map(json.dumps, lines)).encode()

        def serve(asked: httpx.Request) -> httpx.Response:
            about = of.to_dict() if "/batches/" in asked.url.path else None
            return httpx.Response(200, json=about) if about else httpx.Response(200, content=body)

        transport, given = httpx.MockTransport(serve), of.id if more.pop("by_id", False) else of
        options: dict[str, Any] = {"api_key": "sk-test", "monitoring": monitoring}
        if request.param == "sync":
            with httpx.Client(transport=transport) as http, MonitoredOpenAI(**options, http_client=http) as client:
                return batch_usage(client, given, **more)

        async def ask() -> tuple[BatchUsage, ...]:
            async with httpx.AsyncClient(transport=transport) as http:
                return await abatch_usage(AsyncMonitoredOpenAI(**options, http_client=http), given, **more)

        return asyncio.run(ask())

    return told


def test_the_answers_are_summed_and_cost_half(tell: Tell, monitoring: Monitoring) -> None:
    lines = [answered(CHAT), answered(CHAT), answered(None, status=400), FAILED]
    (used,) = tell(batch("batch_1"), lines)
    assert (used.model, used.requests, used.unpriced) == ("gpt-4o-2024-08-06", 2, None)
    assert used.usage is not None
    assert (used.usage.input_tokens, used.usage.output_tokens, used.usage.input_cached_tokens) == (2000, 200, 400)
    assert used.usage.input_audio_tokens is None
    assert used.cost is not None
    assert used.cost.output_usd == pytest.approx(200 * 5e-6)
    assert records_of(monitoring) == []


def test_it_counts_once_when_it_is_asked_to(tell: Tell, monitoring: Monitoring, request: pytest.FixtureRequest) -> None:
    name = f"batch_{request.node.name}"
    (used,) = tell(batch(name, "/v1/responses"), [answered(RESPONSE)], count=True, by_id=True)
    again = tell(batch(name, "/v1/responses"), [answered(RESPONSE)], count=True)

    (record,) = records_of(monitoring)
    assert again == (used,)
    assert (record.operation, record.response_id, record.response_model) == ("batch_result", name, used.model)
    assert (record.usage, record.cost, record.unpriced) == (used.usage, used.cost, None)
    assert record.duration > 0


def test_it_counts_once_when_two_ask_at_the_same_time(monitoring: Monitoring) -> None:
    async def ask() -> list[tuple[BatchUsage, ...]]:
        both = asyncio.Barrier(2)

        async def serve(_: httpx.Request) -> httpx.Response:
            await asyncio.wait_for(both.wait(), 30)
            return httpx.Response(200, content=json.dumps(answered(CHAT)).encode())

        async with httpx.AsyncClient(transport=httpx.MockTransport(serve)) as http:
            client = AsyncMonitoredOpenAI(api_key="sk-test", monitoring=monitoring, http_client=http)
            return await asyncio.gather(*(abatch_usage(client, batch("batch_both"), count=True) for _ in range(2)))

    one, other = asyncio.run(ask())
    assert one == other
    assert [record.response_id for record in records_of(monitoring)] == ["batch_both"]


def test_a_batch_that_could_not_be_read_counts_the_next_time(
    tell: Tell, monitoring: Monitoring, request: pytest.FixtureRequest
) -> None:
    of = batch(f"batch_{request.node.name}")
    with pytest.raises(ValueError, match="line 1"):
        tell(of, b"not json", count=True)
    tell(of, [answered(CHAT)], count=True)
    assert [record.usage is not None for record in records_of(monitoring)] == [False, True]


def test_what_is_not_told_makes_no_sum(tell: Tell, monitoring: Monitoring, request: pytest.FixtureRequest) -> None:
    name = f"batch_{request.node.name}"
    lines = [answered(CHAT), answered(None), answered(CHAT, "house-llm")]
    told = {one.model: one for one in tell(batch(name), lines, count=True)}
    assert (told["gpt-4o-2024-08-06"].usage, told["gpt-4o-2024-08-06"].unpriced) == (None, "usage_unknown")
    assert (told["house-llm"].cost, told["house-llm"].unpriced) == (None, "unknown_model")
    (record,) = records_of(monitoring)
    assert (record.usage, record.usage_unknown, record.unpriced) == (None, "not_reported", "usage_unknown")


@pytest.mark.parametrize(
    ("of", "lines", "message"),
    [
        (batch("batch_2", output_file_id=None, status="in_progress"), [], "no output file"),
        (batch("batch_3"), b"{}\nnot json", "line 2"),
        (batch("batch_4", "/v1/what_else"), [], "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said(tell: Tell, monitoring: Monitoring, of: Batch, lines: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tell(of, lines, count=True)
    assert [record.usage for record in records_of(monitoring)] in ([], [None])
