"""What a provider documents about its usage and its charge, and which fields of a request decide a price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from monitored_openai import CallRecord, Cost, MonitoredOpenAI, Usage
from tests.support.handles import handle, http

HOSTS = {
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "xai": "https://api.x.ai/v1",
    "xai in europe": "https://eu-west-1.api.x.ai/v1",
    "perplexity": "https://api.perplexity.ai",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai/",
    "vertex": "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/openapi",
    "groq": "https://api.groq.com/openai/v1",
    "gateway": "https://gateway.example.com/v1",
}
TOKENS = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
NUMBER = Usage(input_tokens=1000, output_tokens=100)


RECORDS: list[CallRecord] = []


def keep(record: CallRecord) -> None:
    RECORDS.append(record)


@pytest.fixture(autouse=True)
def no_records() -> None:
    RECORDS.clear()


def called(where: str, body: Mapping[str, Any], *, api: str = "chat", given: Any = None, **settings: Any) -> CallRecord:
    """The record of one call whose server gives this body."""

    def answer(_: Any) -> Any:
        return http.Response(200, json=body)

    with (
        handle(on_record=keep, **settings) as monitoring,
        http.Client(transport=http.MockTransport(answer)) as client,
        MonitoredOpenAI(
            api_key="sk-test", base_url=HOSTS[where], max_retries=0, http_client=client, monitoring=monitoring
        ) as made,
    ):
        more = given or {}
        if api == "chat":
            made.chat.completions.create(model=body["model"], messages=[{"role": "user", "content": "x"}], **more)
        elif api == "responses":
            made.responses.create(model=body["model"], input="x", **more)
        elif api == "embeddings":
            made.embeddings.create(model=body["model"], input="x", encoding_format="float", **more)
        assert monitoring.flush(20).complete
    return RECORDS[-1]


def chat(model: str, usage: Any, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes.", **message}}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def response(model: str, usage: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": model,
        "status": "completed",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
        **fields,
    }


LLAMA = "meta-llama/llama-3.3-70b-instruct"
OWN_KEY = {"cost": 0.95, "cost_details": {"upstream_inference_cost": 19.0}}


# The charges are those in the examples of the providers' documentation, added by hand.
@pytest.mark.parametrize(
    ("where", "usage", "usd"),
    [
        pytest.param("openrouter", {"cost": 0.0021}, 0.0021, id="openrouter"),
        pytest.param("openrouter", {"cost": 0}, 0.0, id="openrouter free model"),
        pytest.param("openrouter", {**OWN_KEY, "is_byok": True}, 19.95, id="openrouter own key"),
        pytest.param("openrouter", OWN_KEY, 19.95, id="openrouter own key in an older reply"),
        pytest.param(
            "openrouter",
            {"cost": 0.5, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.5}},
            *(0.5,),
            id="openrouter own credits with the upstream cost",
        ),
        pytest.param(
            "openrouter", {"cost": 0.5, "cost_details": {"upstream_inference_cost": None}}, 0.5, id="openrouter no key"
        ),
        pytest.param(
            "openrouter",
            {"cost": 0.02, "server_tool_use": {"web_search_requests": 1}},
            0.02,
            id="openrouter with search",
        ),
        pytest.param("xai", {"cost_in_usd_ticks": 37756000}, 0.0037756, id="xai"),
        pytest.param("xai in europe", {"cost_in_usd_ticks": 400000000}, 0.04, id="xai in a region"),
        pytest.param(
            "perplexity",
            {
                "cost": {
                    "input_tokens_cost": 0.001,
                    "output_tokens_cost": 0.002,
                    "request_cost": 0.005,
                    "total_cost": 0.008,
                }
            },
            *(0.008,),
            id="perplexity",
        ),
        pytest.param(
            "perplexity", {"cost": {"currency": "USD", "tool_calls_cost": 0.03, "total_cost": 0.042}}, 0.042, id="agent"
        ),
    ],
)
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_charge_in_documented_dollars_is_the_cost(where: str, usage: Any, usd: float, api: str) -> None:
    body = (chat if api == "chat" else response)(LLAMA, {**TOKENS, **usage})
    record = called(where, body, api=api)
    assert record.cost is not None
    assert record.cost.total_usd == pytest.approx(usd)
    assert record.cost == Cost(charge_usd=record.cost.total_usd, source="reply")
    assert (record.unpriced, record.usage) == (None, NUMBER)


def test_a_charge_of_an_embedding_is_its_cost() -> None:
    body = {"object": "list", "data": [], "model": "m", "usage": {"prompt_tokens": 8, "total_tokens": 8, "cost": 0.5}}
    assert called("openrouter", body, api="embeddings").cost == Cost(charge_usd=0.5, source="reply")


def test_a_charge_is_known_without_the_tokens() -> None:
    record = called("openrouter", chat(LLAMA, {"prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0}))
    assert (record.usage, record.usage_unknown, record.cost) == (None, "zero_usage", Cost(source="reply"))


def test_the_own_key_without_its_charge_leaves_the_cost_incomplete() -> None:
    record = called("openrouter", chat(LLAMA, {**TOKENS, "cost": 0.05, "is_byok": True}))
    assert record.cost == Cost(charge_usd=0.05, source="reply", incomplete=("unit",))


@pytest.mark.parametrize("charge", [-0.1, "0.1", 10**18, True, [], {"total": 1}], ids=repr)
def test_an_absurd_charge_is_no_cost_and_no_reason_to_guess_one(charge: Any) -> None:
    record = called("openrouter", chat("openai/gpt-4o", {**TOKENS, "cost": charge}))
    assert (record.cost, record.unpriced) == (None, "usage_invalid")


@pytest.mark.parametrize(("where", "field"), [("xai", "cost_in_usd_ticks"), ("perplexity", "cost")])
def test_an_absurd_charge_of_another_provider_is_no_cost(where: str, field: str) -> None:
    record = called(where, chat("m", {**TOKENS, field: -1}))
    assert (record.cost, record.unpriced) == (None, "usage_invalid")


@pytest.mark.parametrize("where", ["gateway", "groq", "openai"])
@pytest.mark.parametrize("usage", [{"cost": 0.5}, {"cost_in_usd_ticks": 5}, {"cost": {"total_cost": 0.5}}], ids=repr)
def test_a_charge_elsewhere_is_in_no_known_unit(where: str, usage: Any) -> None:
    record = called(where, chat("gpt-4o", {**TOKENS, **usage}))
    assert record.cost is None or record.cost.source == "table"
    assert record.provider_cost == (0.5 if usage == {"cost": 0.5} else None)


@pytest.mark.parametrize("name", ["openrouter", "x_ai", "x-ai"])
def test_the_provider_in_the_settings_names_the_unit_behind_a_gateway(name: str) -> None:
    usage = {"cost": 0.5} if name == "openrouter" else {"cost_in_usd_ticks": 5 * 10**9}
    record = called("gateway", chat("m", {**TOKENS, **usage}), provider=name)
    assert record.cost == Cost(charge_usd=0.5, source="reply")


THOUGHT = {**TOKENS, "total_tokens": 3100}


@pytest.mark.parametrize("where", ["gemini", "vertex"])
def test_googles_thinking_is_output_that_only_the_total_counts(where: str) -> None:
    record = called(where, chat("gemini-2.5-pro", THOUGHT))
    assert record.usage == Usage(input_tokens=1000, output_tokens=2100, output_reasoning_tokens=2000)
    assert record.cost is not None
    # gemini-2.5-pro: $1.25 and $10 per million tokens (genai-prices 0.2.3, read 2026-11-27)
    assert record.cost.total_usd == pytest.approx((1000 * 1.25 + 2100 * 10) / 1e6)


def test_googles_total_also_counts_search_results_so_a_search_is_unknown() -> None:
    record = called("vertex", chat("google/gemini-2.5-pro", THOUGHT), given={"web_search_options": {}})
    assert (record.usage, record.usage_unknown, record.cost) == (None, "total_mismatch", None)


AUDIO = [
    {"role": "system", "content": "x"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "x"},
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        ],
    },
]


@pytest.mark.parametrize("captured", [True, False], ids=["captured", "without content"])
@pytest.mark.parametrize(
    ("where", "details", "unpriced"),
    [
        pytest.param("gemini", {}, "split_unknown", id="gemini"),
        pytest.param("gemini", {"prompt_tokens_details": {"audio_tokens": 900}}, None, id="gemini with a split"),
        pytest.param("openai", {}, None, id="openai"),
    ],
)
def test_audio_that_googles_usage_does_not_separate_has_no_price(
    where: str, details: Any, unpriced: str | None, captured: bool
) -> None:
    model = "gemini-2.5-flash" if where == "gemini" else "gpt-4o"
    given = {"extra_body": {"messages": AUDIO}}
    record = called(where, chat(model, {**TOKENS, **details}), given=given, capture_content=captured)
    assert (record.unpriced, record.cost is None) == (unpriced, unpriced is not None)


@pytest.mark.parametrize("where", ["openai", "groq", "gateway"])
def test_a_total_that_another_provider_does_not_explain_is_unknown(where: str) -> None:
    record = called(where, chat("gpt-4o", THOUGHT))
    assert (record.usage, record.usage_unknown) == (None, "total_mismatch")
    assert (record.cost, record.unpriced) == (None, "usage_unknown")


@pytest.mark.parametrize("captured", [True, False], ids=["captured", "without content"])
@pytest.mark.parametrize(
    ("given", "model", "incomplete"),
    [
        pytest.param({"web_search_options": {}}, "gpt-4o-2024-08-06", ("tool_fee",), id="searches"),
        pytest.param({}, "gpt-4o-2024-08-06", (), id="plain"),
    ],
)
def test_a_search_that_only_the_request_names_leaves_the_cost_incomplete(
    captured: bool, given: Any, model: str, incomplete: tuple[str, ...]
) -> None:
    record = called("openai", chat(model, TOKENS), given=given, capture_content=captured)
    assert record.cost is not None
    assert record.cost.incomplete == incomplete


@pytest.mark.parametrize("captured", [True, False], ids=["captured", "without content"])
def test_a_reply_that_names_no_tier_has_that_of_the_request(captured: bool) -> None:
    given = {"service_tier": "ultrafast"}
    record = called("openai", chat("gpt-4o-2024-08-06", TOKENS), given=given, capture_content=captured)
    assert (record.service_tier, record.cost, record.unpriced) == (None, None, "no_rate_for_tier")
    kept = called("openai", {**chat("gpt-4o-2024-08-06", TOKENS), "service_tier": "default"}, given=given)
    assert (kept.service_tier, kept.unpriced) == ("default", None)
    plain = called("openai", chat("gpt-4o-2024-08-06", TOKENS), given={"service_tier": "auto"})
    assert plain.unpriced is None


def test_the_record_counts_the_calls_of_each_tool() -> None:
    asked = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    record = called("openai", chat("gpt-4o-2024-08-06", TOKENS, tool_calls=[asked, asked]))
    assert record.tool_calls == {"function": 2}


def test_a_response_that_is_looked_at_again_counts_its_tools_and_its_charge_once() -> None:
    call = {"id": "f", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"}
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7, "cost": 0.25}
    done = response("m", usage, output=[call])
    queued = {**response("m", None), "status": "queued", "background": True}
    bodies = [queued, queued, done, done]

    def answer(_: Any) -> Any:
        return http.Response(200, json=bodies.pop(0))

    with (
        handle(on_record=keep) as monitoring,
        http.Client(transport=http.MockTransport(answer)) as client,
        MonitoredOpenAI(
            api_key="sk-test", base_url=HOSTS["openrouter"], http_client=client, monitoring=monitoring
        ) as made,
    ):
        made.responses.create(model="m", input="x", background=True)
        for _ in range(3):
            made.responses.retrieve("resp_1")
        assert monitoring.flush(20).complete
    costs = [record.cost and record.cost.total_usd for record in RECORDS]
    assert costs == [None, None, 0.25, None]
    assert [dict(record.tool_calls) for record in RECORDS] == [{}, {}, {"function": 1}, {}]
    assert [record.unpriced for record in RECORDS] == ["background", None, None, None]
