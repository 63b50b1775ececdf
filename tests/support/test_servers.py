from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.support.servers.openai_api import Behaviour, OpenAIServer, usage_for

pytestmark = pytest.mark.once

MODEL = "gpt-4o"
HELLO: Any = [{"role": "user", "content": "hello"}]
BODY: dict[str, Any] = {"model": MODEL, "messages": HELLO}
ASK_USAGE: Any = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(keep_requests=True) as running:
        yield running


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="sk-test", max_retries=0, timeout=10) as made:
        yield made


def post(server: OpenAIServer, behaviour: Behaviour | None = None, **fields: Any) -> httpx.Response:
    headers = behaviour.header() if behaviour is not None else {}
    url = f"{server.base_url}/chat/completions"
    return httpx.post(url, json=BODY | fields, headers=headers, timeout=10)


def events(response: httpx.Response) -> list[Any]:
    found = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    return [event if event == "[DONE]" else json.loads(event) for event in found]


def test_the_sdk_reads_a_plain_answer_and_the_truth_has_its_tokens(server: OpenAIServer, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, n=2, service_tier="flex")

    assert answer.model == "gpt-4o-2024-08-06"
    assert answer.service_tier == "flex"
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage is not None
    assert answer.usage.to_dict() == usage_for({**BODY, "n": 2}, "/chat/completions")
    assert server.truth.calls == Counter({("/chat/completions", MODEL, "ok"): 1})
    told = server.truth.tokens_by_kind()
    assert (told["input"], told["output"]) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    assert answer._request_id == "req_0000000000000001"


def test_token_counts_depend_on_the_request_and_their_parts_never_exceed_them() -> None:
    usages = [usage_for({**BODY, "messages": f"question {n}"}, "/chat/completions") for n in range(200)]

    assert usages == [usage_for({**BODY, "messages": f"question {n}"}, "/chat/completions") for n in range(200)]
    assert len({usage["total_tokens"] for usage in usages}) > 20
    assert all(u["prompt_tokens_details"]["cached_tokens"] <= u["prompt_tokens"] for u in usages)
    assert all(u["completion_tokens_details"]["reasoning_tokens"] <= u["completion_tokens"] for u in usages)
    assert any(u["prompt_tokens_details"]["cached_tokens"] for u in usages)


def test_usage_of_a_stream_comes_last_without_choices_and_is_null_before(server: OpenAIServer) -> None:
    *chunks, last, done = events(post(server, **ASK_USAGE))

    assert done == "[DONE]"
    assert last["choices"] == []
    assert last["usage"] == usage_for(BODY, "/chat/completions")
    assert all(chunk["usage"] is None for chunk in chunks)
    assert server.truth.tokens_by_kind()["input"] == last["usage"]["prompt_tokens"]


def test_a_stream_without_include_usage_has_no_usage_and_its_tokens_are_untold(server: OpenAIServer) -> None:
    *chunks, _ = events(post(server, stream=True))

    assert all("usage" not in chunk for chunk in chunks)
    assert not server.truth.tokens
    assert server.truth.untold_tokens["/chat/completions", MODEL, "input"] > 0


@pytest.mark.parametrize("behaviour", [Behaviour(), Behaviour(chunks=50), Behaviour(comments=True)])
def test_a_streamed_answer_is_the_plain_one_in_pieces(client: openai.OpenAI, behaviour: Behaviour) -> None:
    plain = client.chat.completions.create(model=MODEL, messages=HELLO, n=2)
    stream = client.chat.completions.create(
        model=MODEL, messages=HELLO, n=2, stream=True, extra_headers=behaviour.header()
    )

    texts = ["", ""]
    for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in plain.choices]


def test_structured_output_and_tool_calls_fit_their_schemas(client: openai.OpenAI) -> None:
    class Person(BaseModel):
        name: str
        ages: list[int]

    parsed = client.chat.completions.parse(model=MODEL, messages=HELLO, response_format=Person)
    assert parsed.choices[0].message.parsed == Person(name="text", ages=[7])

    tool: Any = {"type": "function", "function": {"name": "look", "parameters": Person.model_json_schema()}}
    with client.chat.completions.stream(model=MODEL, messages=HELLO, tools=[tool]) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert json.loads(calls[0].function.arguments) == {"name": "text", "ages": [7]}
    assert final.choices[0].finish_reason == "tool_calls"


def test_legacy_completions_have_a_choice_for_each_prompt_and_n(server: OpenAIServer, client: openai.OpenAI) -> None:
    answer = client.completions.create(model="gpt-3.5-turbo-instruct", prompt=["a", "b"], n=2)
    pieces = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="a", **ASK_USAGE)

    assert len(answer.choices) == 4
    assert next(chunk.usage for chunk in pieces if chunk.usage) is not None
    assert server.truth.calls == Counter({("/completions", "gpt-3.5-turbo-instruct", "ok"): 2})


def test_azure_begins_a_stream_without_choices_and_names_the_model_behind_the_deployment(server: OpenAIServer) -> None:
    server.deployments["mine"] = "gpt-4o-mini-2024-07-18"
    with openai.AzureOpenAI(azure_endpoint=server.url, api_version="2024-10-21", api_key="x") as azure:
        first, second, *_ = azure.chat.completions.create(model="mine", messages=HELLO, stream=True)
        assert azure.completions.create(model="mine", prompt="a").model == "gpt-4o-mini-2024-07-18"

    assert first.choices == []
    assert first.to_dict()["prompt_filter_results"]
    assert second.model == "gpt-4o-mini-2024-07-18"
    assert server.truth.calls["/chat/completions", "mine", "ok"] == 1
    assert server.requests[0].target == "/openai/deployments/mine/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503])
def test_error_statuses_have_the_form_of_the_api(server: OpenAIServer, client: openai.OpenAI, status: int) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=MODEL, messages=HELLO, extra_body=Behaviour(status=status).extra_body())

    assert caught.value.status_code == status
    assert caught.value.request_id
    assert caught.value.response.headers["retry-after"] == "0"
    assert server.truth.calls_by_outcome() == Counter({f"http_{status}": 1})


def test_a_call_fails_as_often_as_told_and_then_succeeds(server: OpenAIServer, client: openai.OpenAI) -> None:
    trying = client.with_options(max_retries=3)

    trying.chat.completions.create(model=MODEL, messages=HELLO, extra_headers=Behaviour(status=503, times=2).header())

    assert server.truth.calls_by_outcome() == Counter({"http_503": 2, "ok": 1})


def test_the_script_goes_in_order_then_the_default_and_a_request_with_its_own_behaviour_uses_up_neither(
    server: OpenAIServer,
) -> None:
    server.script([Behaviour(status=500), Behaviour(), Behaviour(status=404)])
    server.default = Behaviour(status=403)

    assert post(server, Behaviour(status=422)).status_code == 422
    assert [post(server).status_code for _ in range(4)] == [500, 200, 404, 403]


def test_the_connection_is_reset_or_dropped_where_told(server: OpenAIServer) -> None:
    with pytest.raises(httpx.ReadError):
        post(server, Behaviour(reset=True))
    with pytest.raises(httpx.RemoteProtocolError):
        post(server, Behaviour(drop=True))
    with pytest.raises(httpx.RemoteProtocolError):
        post(server, Behaviour(drop=True, after=2), stream=True)

    assert server.truth.calls_by_outcome() == Counter({"reset": 1, "dropped": 2})
    assert not server.truth.tokens


def test_a_stream_can_fail_by_an_event(server: OpenAIServer, client: openai.OpenAI) -> None:
    behaviour = Behaviour(error_event=True, after=2)
    stream = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True, extra_headers=behaviour.header())

    assert next(stream).choices
    assert next(stream).choices
    with pytest.raises(openai.APIError, match="The server had an error"):
        next(stream)
    assert server.truth.calls_by_outcome() == Counter({"stream_error": 1})


def test_streams_may_lack_done_and_carry_usage_everywhere(server: OpenAIServer) -> None:
    found = events(post(server, Behaviour(done=False, usage_everywhere=True), stream=True))

    made = [chunk["usage"]["completion_tokens"] for chunk in found]
    assert "[DONE]" not in found
    assert made == sorted(made)
    assert made[-1] == usage_for(BODY, "/chat/completions")["completion_tokens"]


@pytest.mark.parametrize("usage", [None, {}, "many", -1, {"prompt_tokens": 2**60, "completion_tokens": "x"}])
def test_patched_usage_is_sent_as_it_is_and_not_believed(server: OpenAIServer, usage: Any) -> None:
    behaviour = Behaviour(patch={"usage": usage})

    assert post(server, behaviour).json()["usage"] == usage
    *_, last, _ = events(post(server, behaviour, **ASK_USAGE))
    assert last["usage"] == usage
    assert not server.truth.tokens


@pytest.mark.parametrize("choices", [None, [], [None], [{"index": 0, "message": None, "delta": None}]])
def test_patched_choices_are_in_the_answer_and_in_every_chunk(server: OpenAIServer, choices: Any) -> None:
    behaviour = Behaviour(patch={"choices": choices, "more": 1}, omit=("id", "model"))

    plain = post(server, behaviour).json()
    *chunks, _ = events(post(server, behaviour, stream=True))

    assert all(one["choices"] == choices and one["more"] == 1 for one in (plain, *chunks))
    assert not {"id", "model"} & {*plain, *chunks[0]}


@pytest.mark.parametrize("content", [["a", 1], 5, "\ud800", "a\0b", "x" * 10_000_000])
def test_odd_content_arrives_untouched(server: OpenAIServer, content: Any) -> None:
    server.default = Behaviour(message={"content": content})

    assert post(server).json()["choices"][0]["message"]["content"] == content
    deltas = [chunk["choices"][0]["delta"].get("content") for chunk in events(post(server, stream=True))[:-1]]
    assert content in deltas or "".join(deltas[:-1]) == content


@pytest.mark.parametrize("body", ["<html>", "{}", '"text"', "{nope", b"\xff", ""])
def test_raw_bodies_arrive_with_their_type(server: OpenAIServer, body: str | bytes) -> None:
    server.script([Behaviour(body=body, content_type="text/html", headers={"x-more": "1"})])

    answer = post(server)

    assert answer.status_code == 200
    assert answer.content == (body.encode() if isinstance(body, str) else body)
    assert (answer.headers["content-type"], answer.headers["x-more"]) == ("text/html", "1")


def test_answers_are_compressed_refused_or_cut_short_when_asked(server: OpenAIServer) -> None:
    with httpx.stream(
        "POST", f"{server.base_url}/chat/completions", json=BODY, headers=Behaviour(gzip=True).header()
    ) as r:
        assert json.loads(gzip.decompress(b"".join(r.iter_raw())))["model"] == "gpt-4o-2024-08-06"
    assert post(server, Behaviour(refusal="no")).json()["choices"][0]["message"]["refusal"] == "no"
    assert post(server, Behaviour(finish_reason="length")).json()["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(("status", "text"), [(400, "supplied: stream_options"), (422, "Unprocessable Entity")])
def test_stream_options_alone_are_refused_when_told(server: OpenAIServer, status: int, text: str) -> None:
    server.default = Behaviour(stream_options=status)

    refused = post(server, **ASK_USAGE)

    assert refused.status_code == status
    assert text in refused.json()["error"]["message"]
    assert post(server, stream=True).status_code == 200


def test_an_answer_waits_at_its_gate_before_the_head(server: OpenAIServer) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, server, Behaviour(hold="gate"))
        server.gate("gate").wait_reached()
        assert not answer.done()
        assert not server.truth.calls
        server.gate("gate").set()
        assert answer.result(10).status_code == 200


def test_a_stream_left_at_its_gate_counts_as_abandoned(server: OpenAIServer, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=HELLO, extra_headers=Behaviour(hold="gate", after=2).header(), **ASK_USAGE
    )
    assert [next(stream).choices[0].index for _ in range(2)] == [0, 0]
    server.gate("gate").wait_reached()

    stream.close()

    server.wait_until(lambda: server.truth.calls_by_outcome() == Counter({"abandoned": 1}))
    assert not server.truth.tokens


def test_other_paths_and_broken_requests_get_their_errors(server: OpenAIServer) -> None:
    assert httpx.get(f"{server.base_url}/models").json()["object"] == "list"
    assert httpx.post(f"{server.base_url}/chat/completions/").status_code == 404
    assert httpx.post(f"{server.base_url}/chat/completions", content=b"{").status_code == 400
    assert httpx.get(f"{server.base_url}/chat/completions/chat-7").json()["id"] == "chat-7"
    assert not server.truth.calls
