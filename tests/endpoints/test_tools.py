"""Tool calls in replies, and the units of hosted tools that a server bills beside the tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai._models import construct_type
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from monitored_openai import Usage
from monitored_openai._endpoints.base import ParsedResponse, parse_body
from monitored_openai._endpoints.chat import CHAT, ChatAccumulator
from monitored_openai._endpoints.registry import endpoint_of
from monitored_openai._endpoints.response_stream import ResponseAccumulator
from monitored_openai._endpoints.responses import COMPACT, RESPONSES
from monitored_openai._endpoints.runs import RUNS

ITEM = {"id": "i", "status": "completed"}
SEARCH = {**ITEM, "type": "web_search_call", "action": {"type": "search", "query": "q"}}
OPENED = {**ITEM, "type": "web_search_call", "action": {"type": "open_page", "url": "u"}}
GA, PREVIEW = {"type": "web_search"}, {"type": "web_search_preview"}
IMAGE = {**ITEM, "type": "image_generation_call", "result": "aGk="}
DRAWN = {
    "input_tokens": 50,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 50},
    "output_tokens": 4160,
    "output_tokens_details": {"image_tokens": 4160, "text_tokens": 0},
    "total_tokens": 4210,
}
NO_IMAGES = {"input_tokens": 0, "input_tokens_details": {}, "output_tokens": 0, "total_tokens": 0}
DRAWN_TOKENS = Usage(input_tokens=50, input_image_tokens=0, output_tokens=4160, output_image_tokens=4160)


def response(*output: Any, model: str = "gpt-6.1-sol", **fields: Any) -> ParsedResponse:
    body = {"id": "r", "model": model, "status": "completed", "output": output, **fields}
    return parse_body(RESPONSES, json.dumps(body).encode())


def told(parsed: ParsedResponse) -> tuple[dict[str, int], dict[str, float], tuple[str, ...]]:
    return dict(parsed.tool_calls), dict(parsed.units), parsed.incomplete


FEE = ("tool_fee",)


@pytest.mark.parametrize(
    ("found", "calls", "units", "incomplete"),
    [
        pytest.param(response(SEARCH, SEARCH, tools=[GA]), 2, {"web_searches": 2}, (), id="items"),
        pytest.param(response(SEARCH, tools=[]), 1, {"web_searches": 1}, (), id="no tools listed"),
        pytest.param(response(SEARCH, OPENED, OPENED, tools=[GA]), 3, {"web_searches": 1}, (), id="opened pages"),
        pytest.param(
            response(SEARCH, SEARCH, tools=[GA], tool_usage={"web_search": {"num_requests": 1}}),
            *(2, {"web_searches": 1}, ()),
            id="the server counts the billed searches",
        ),
        pytest.param(
            response(SEARCH, tools=[GA], tool_usage={"web_search": {"num_requests": "2"}}),
            1,
            {},
            FEE,
            id="absurd count",
        ),
        pytest.param(response({**SEARCH, "status": "failed"}, tools=[GA]), 1, {}, (), id="failed"),
        pytest.param(
            response({"type": "web_search_call", "id": "w"}, tools=[PREVIEW]),
            *(1, {"web_searches_preview": 1}, ()),
            id="an item of 2025 without an action",
        ),
        pytest.param(
            response(SEARCH, tools=[{"type": "web_search_preview_2025_03_11"}], model="gpt-4.1-2025-04-14"),
            *(1, {"web_searches_preview_non_reasoning": 1}, ()),
            id="preview with a model that does not reason",
        ),
        pytest.param(
            response(SEARCH, tools=[PREVIEW], model="ft:gpt-4o-2024-08-06:org::id"),
            *(1, {"web_searches_preview_non_reasoning": 1}, ()),
            id="preview with a fine-tune",
        ),
        pytest.param(response(SEARCH, tools=[PREVIEW], model="gpt-5-chat-latest"), 1, {}, FEE, id="unknown kind"),
        pytest.param(response(SEARCH, tools=[PREVIEW, GA]), 1, {}, FEE, id="both tools"),
        pytest.param(
            response(SEARCH, tools=[GA], model="gpt-4o-mini-2024-07-18"),
            *(1, {"web_searches": 1}, FEE),
            id="fixed block of tokens",
        ),
        pytest.param(
            response(SEARCH, tools=[GA], model="o3-deep-research"), 1, {"web_searches": 1}, (), id="deep research"
        ),
    ],
)
def test_web_searches_are_billed_by_their_kind(
    found: ParsedResponse, calls: int, units: dict[str, float], incomplete: tuple[str, ...]
) -> None:
    assert told(found) == ({"web_search": calls}, units, incomplete)


def ran(container: str = "cntr_1", **fields: Any) -> dict[str, Any]:
    return {**ITEM, "type": "code_interpreter_call", "container_id": container, **fields}


def interpreter(container: Any) -> list[Any]:
    return [{"type": "code_interpreter", "container": container}]


def shell(environment: Any) -> dict[str, Any]:
    return {**ITEM, "type": "shell_call", "environment": environment}


HOSTED = {"type": "container_reference", "container_id": "cntr_1"}


@pytest.mark.parametrize(
    ("found", "units", "incomplete"),
    [
        pytest.param(response(ran()), {"container_sessions_1g": 1}, (), id="no tools listed"),
        pytest.param(
            response(ran(), ran(), tools=interpreter({"type": "auto"})),
            *({"container_sessions_1g": 1}, ()),
            id="two runs in one container",
        ),
        pytest.param(
            response(ran("a"), ran("b"), tools=interpreter({"type": "auto", "memory_limit": "16g"})),
            *({"container_sessions_16g": 2}, ()),
            id="two containers",
        ),
        pytest.param(response(ran(), tools=interpreter("cntr_1")), {}, FEE, id="the user's own container"),
        pytest.param(response(ran(), previous_response_id="resp_0"), {}, FEE, id="perhaps an earlier container"),
        pytest.param(response(ran(), conversation={"id": "conv_1"}), {}, FEE, id="perhaps one of the conversation"),
        pytest.param(
            response(ran(), tools=interpreter({"type": "auto", "memory_limit": "256g"})), {}, FEE, id="unknown size"
        ),
        pytest.param(response(ran(container_id=None)), {}, FEE, id="no id"),
        pytest.param(
            response(shell(HOSTED), tools=[{"type": "shell", "environment": {"type": "container_auto"}}]),
            *({"container_sessions_1g": 1}, ()),
            id="hosted shell",
        ),
        pytest.param(
            response(shell(HOSTED), tools=[{"type": "shell", "environment": HOSTED}]), {}, FEE, id="shell in another's"
        ),
        pytest.param(response(shell({"type": "local"}), tools=[{"type": "shell"}]), {}, (), id="local shell"),
        pytest.param(response(shell(None)), {}, (), id="shell without an environment"),
    ],
)
def test_a_container_is_billed_once_by_its_size(
    found: ParsedResponse, units: dict[str, float], incomplete: tuple[str, ...]
) -> None:
    assert (dict(found.units), found.incomplete) == (units, incomplete)


DRAWS = {"type": "image_generation", "model": "gpt-image-2"}


@pytest.mark.parametrize(
    ("found", "parts", "incomplete"),
    [
        pytest.param(
            response(IMAGE, tools=[DRAWS], tool_usage={"image_gen": DRAWN}), (("gpt-image-2", DRAWN_TOKENS),), ()
        ),
        pytest.param(
            response(IMAGE, tools=[{"type": "image_generation"}], tool_usage={"image_gen": DRAWN}),
            *(((None, DRAWN_TOKENS),), FEE),
            id="no model",
        ),
        pytest.param(response(IMAGE, tools=[DRAWS]), (), FEE, id="no usage"),
        pytest.param(response(IMAGE, tools=[DRAWS], tool_usage={"image_gen": NO_IMAGES}), (), FEE, id="zero usage"),
        pytest.param(
            response(IMAGE, tools=[DRAWS], tool_usage={"image_gen": {**DRAWN, "output_tokens": -1}}),
            (),
            FEE,
            id="absurd",
        ),
        pytest.param(
            response({**IMAGE, "result": None, "status": "failed"}, tool_usage={"image_gen": NO_IMAGES}),
            (),
            (),
            id="none",
        ),
        pytest.param(
            response(
                {**IMAGE, "svg_usage": {"model": "m", "input_tokens": 7, "output_tokens": 5, "reasoning_tokens": 2}},
                tools=[DRAWS],
                tool_usage={"image_gen": DRAWN},
            ),
            (
                ("gpt-image-2", DRAWN_TOKENS),
                ("m", Usage(input_tokens=7, output_tokens=5, output_reasoning_tokens=2)),
            ),
            (),
            id="a drawing and its author",
        ),
        pytest.param(
            response({**IMAGE, "svg_usage": {"model": "m"}}, tools=[DRAWS], tool_usage={"image_gen": DRAWN}),
            (("gpt-image-2", DRAWN_TOKENS),),
            FEE,
            id="an author without usage",
        ),
    ],
)
def test_an_image_tool_has_the_usage_of_its_model(found: ParsedResponse, parts: Any, incomplete: Any) -> None:
    assert (found.parts, found.incomplete, dict(found.tool_calls)) == (parts, incomplete, {"image_generation": 1})


@pytest.mark.parametrize(
    ("kind", "tool", "units"),
    [
        ("function_call", "function", {}),
        ("custom_tool_call", "custom", {}),
        ("file_search_call", "file_search", {"file_searches": 1}),
        ("computer_call", "computer", {"computer_actions": 1}),
        ("mcp_call", "mcp", {"mcp_calls": 1}),
        ("local_shell_call", "local_shell", {}),
        ("apply_patch_call", "apply_patch", {}),
        ("tool_search_call", "tool_search", {}),
        ("multi_agent_call", "other", {}),
    ],
)
def test_each_call_counts_for_its_tool(kind: str, tool: str, units: dict[str, float]) -> None:
    assert told(response({**ITEM, "type": kind})) == ({tool: 1}, units, ())


def streamed(*events: dict[str, Any]) -> ParsedResponse:
    stream = ResponseAccumulator()
    for event in events:
        stream.add(construct_event(event))
    return RESPONSES.parse(stream.body())


def construct_event(event: dict[str, Any]) -> Any:
    return construct_type(value=event, type_=ResponseStreamEvent)


BEGUN: dict[str, Any] = {"id": "r", "model": "gpt-6.1-sol", "status": "in_progress", "output": [], "tools": [GA]}


def test_a_streamed_response_has_the_tools_of_its_last_event() -> None:
    counted = {"web_search": {"num_requests": 1}, "image_gen": NO_IMAGES}
    whole = {**BEGUN, "status": "completed", "output": [SEARCH, OPENED], "tool_usage": counted}
    found = streamed(
        {"type": "response.created", "response": BEGUN},
        {"type": "response.output_item.done", "output_index": 0, "item": SEARCH},
        {"type": "response.completed", "response": whole},
    )
    assert told(found) == ({"web_search": 2}, {"web_searches": 1}, ())


def test_a_stream_that_ends_early_has_the_tools_of_its_items() -> None:
    found = streamed(
        {"type": "response.created", "response": {**BEGUN, "tools": [PREVIEW]}},
        {"type": "response.output_item.done", "output_index": 0, "item": SEARCH},
        {"type": "response.output_item.added", "output_index": 1, "item": ran()},
    )
    assert told(found) == (
        {"web_search": 1, "code_interpreter": 1},
        {"web_searches_preview": 1, "container_sessions_1g": 1},
        (),
    )
    assert (found.usage, found.finished) == (None, False)


def test_a_tool_that_is_not_known_yet_may_have_a_fee() -> None:
    assert told(response({**ITEM, "type": "teleport_call"})) == ({"other": 1}, {}, FEE)
    assert told(response(tool_usage={"teleport": {"num_trips": 2}})) == ({}, {}, FEE)
    assert told(response(tool_usage={"teleport": {"num_trips": 0, "kinds": []}})) == ({}, {}, ())


@pytest.mark.parametrize("output", [None, {}, "x", [None, 7, [], {"type": None}, {"type": ["web_search_call"]}]])
def test_an_odd_output_calls_no_tool(output: Any) -> None:
    body = {"id": "r", "output": output, "tools": output, "tool_usage": output}
    assert told(parse_body(RESPONSES, json.dumps(body).encode())) == ({}, {}, ())


def test_a_compacted_response_repeats_calls_without_making_them() -> None:
    body = {"id": "r", "output": [SEARCH, {**ITEM, "type": "function_call"}]}
    assert told(parse_body(COMPACT, json.dumps(body).encode())) == ({}, {}, ())


@pytest.mark.parametrize(
    "field",
    [
        {"num_sources_used": 3},
        {"num_server_side_tools_used": 1},
        {"server_side_tool_usage_details": {"web_search_calls": 2, "x_search_calls": 0}},
        {"server_tool_use": {"web_search_requests": 1}},
        {"num_search_queries": 4},
        {"tool_calls_details": {"search_web": {"invocation": 1}}},
    ],
    ids=lambda field: next(iter(field)),
)
def test_tools_that_only_the_servers_charge_prices_leave_the_cost_incomplete(field: dict[str, Any]) -> None:
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    assert response(usage={**usage, **field}).incomplete == FEE
    body = {"choices": [], "usage": {**usage, **field}}
    assert parse_body(CHAT, json.dumps(body).encode()).incomplete == FEE
    assert response(usage={**usage, **dict.fromkeys(field, 0)}).incomplete == ()


def chat(*messages: Any, model: str = "gpt-6.1-sol") -> ParsedResponse:
    choices = [{"index": index, "message": message} for index, message in enumerate(messages)]
    return parse_body(CHAT, json.dumps({"model": model, "choices": choices}).encode())


CALLED = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CITED = {"content": "x", "annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}]}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            chat({"tool_calls": [CALLED, CALLED]}, {"tool_calls": [CALLED]}), ({"function": 3}, {}, ()), id="n"
        ),
        pytest.param(chat({"tool_calls": [{**CALLED, "type": "custom"}]}), ({"custom": 1}, {}, ()), id="custom"),
        pytest.param(chat({"function_call": {"name": "f"}}), ({"function": 1}, {}, ()), id="legacy"),
        pytest.param(chat({"content": "x"}, {"tool_calls": None, "function_call": None}), ({}, {}, ()), id="none"),
        pytest.param(
            chat(CITED, model="gpt-4o-search-preview-2025-03-11"),
            ({"web_search": 1}, {"web_searches_preview_non_reasoning": 1}, ()),
            id="search preview",
        ),
        pytest.param(
            chat({"content": "x"}, model="gpt-5-search-api-2025-10-14"),
            ({"web_search": 1}, {"web_searches": 1}, ()),
            id="search model",
        ),
        pytest.param(chat(CITED), ({}, {}, FEE), id="citations of a search that nobody counts"),
        pytest.param(
            chat(
                {"executed_tools": [{"type": "search"}, {"type": "python"}, {"type": "visit"}]}, model="groq/compound"
            ),
            ({"web_search": 1, "code_interpreter": 1, "other": 1}, {}, FEE),
            id="groq's compound",
        ),
    ],
)
def test_a_chat_completion_counts_its_tool_calls(found: ParsedResponse, expected: Any) -> None:
    assert told(found) == expected


def test_a_streamed_chat_counts_each_tool_call_once() -> None:
    stream = ChatAccumulator()
    parts: list[dict[str, Any]] = [
        {"tool_calls": [{"index": 0, **CALLED}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}, {"index": 1, **CALLED, "id": "d"}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
    ]
    for part in parts:
        chunk: dict[str, Any] = {
            "id": "c",
            "model": "gpt-4o",
            "choices": [{"index": 0, "delta": part, "finish_reason": None}],
        }
        stream.add(ChatCompletionChunk.construct(**chunk))
    assert told(CHAT.parse(stream.body())) == ({"function": 2}, {}, ())


def test_a_run_counts_its_functions_and_hides_the_fees_of_its_tools() -> None:
    asked = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [CALLED, CALLED]}}
    tools: list[Any] = [{"type": "function"}]
    for more, incomplete in (([], ()), ([{"type": "code_interpreter"}], FEE), ([{"type": "file_search"}], FEE)):
        body = {"id": "run_1", "status": "requires_action", "required_action": asked, "tools": tools + more}
        assert told(parse_body(RUNS[0], json.dumps(body).encode())) == ({"function": 2}, {}, incomplete)


@pytest.mark.parametrize(
    ("path", "body", "units", "incomplete"),
    [
        ("/videos", {"seconds": "8", "size": "720x1280"}, {"video_seconds_720p": 8}, ()),
        ("/videos", {"seconds": "12", "size": "1792x1024"}, {"video_seconds_1024p": 12}, ()),
        ("/videos", {"seconds": 4.5, "size": "1920x1080"}, {"video_seconds_1080p": 4.5}, ()),
        ("/videos", {"seconds": "4", "size": "5x5"}, {"video_seconds": 4}, ()),
        ("/videos", {"seconds": "-4", "size": "720x1280"}, {}, ()),
        ("/videos/video_1/remix", {"seconds": "4", "size": "720x1280"}, {"video_seconds_720p": 4}, ()),
        ("/videos/extensions", {"seconds": "16", "size": "720x1280"}, {}, ("unit",)),
        ("/containers", {"memory_limit": "4g"}, {"container_sessions_4g": 1}, ()),
        ("/containers", {}, {"container_sessions_1g": 1}, ()),
        ("/containers", {"memory_limit": "9g"}, {}, ("unit",)),
    ],
)
def test_a_job_bills_its_length_or_size(path: str, body: Any, units: Any, incomplete: tuple[str, ...]) -> None:
    endpoint = endpoint_of("post", path)
    assert endpoint is not None
    assert told(parse_body(endpoint, json.dumps(body).encode())) == ({}, units, incomplete)
