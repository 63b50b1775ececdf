"""The usage chunk that we requested is hidden only if the caller loses nothing; no other chunk is hidden."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai import MonitoredOpenAI, Monitoring, MonitoringSettings
from monitored_openai._providers import PROVIDERS
from tests.conformance._compare import assert_same
from tests.conformance._odd import USAGE, Odd, cases, play
from tests.conformance._outcomes import Outcome
from tests.conformance._paths import CHAT, PATHS
from tests.conformance._stage import KEEPING, Api, Cell, Stage, keep, records_of
from tests.support.handles import http
from tests.support.servers.openai_api import Behaviour

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
TEXT = {"index": 0, "text": "hi", "delta": {"content": "hi"}, "finish_reason": None}
LAST = {"index": 0, "text": "", "delta": {}, "finish_reason": "stop"}
RESULT = {"model": "omni-moderation-latest", "results": [{"flagged": False}]}
MODERATION = {"input": {"type": "moderation_results", **RESULT}, "output": {"type": "moderation_results", **RESULT}}
OPTIONS: dict[str, Any] = {"api_key": "sk-test", "max_retries": 0}
PATHS_BY_NAME = {path.name: path for path in PATHS}
NUMBERS = itertools.count()
STREAMED = ("stream", "legacy-stream", "helper")


def chunk(*choices: Any, **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": list(choices), **more}


def body_of(events: list[dict[str, Any]]) -> str:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


def odd(*events: dict[str, Any]) -> Odd:
    return Odd(behaviour=Behaviour(body=body_of(list(events)), content_type="text/event-stream"))


SEEN: Mapping[str, Odd] = {
    "moderation-with-usage": odd(chunk(TEXT), chunk(LAST), chunk(usage=USAGE, moderation=MODERATION)),
    "moderation-alone": odd(chunk(TEXT), chunk(LAST), chunk(moderation=MODERATION)),
    "moderation-before-the-text": odd(chunk(usage=USAGE, moderation=MODERATION), chunk(TEXT), chunk(LAST)),
    "citations-with-usage": odd(chunk(TEXT), chunk(LAST), chunk(usage=USAGE, citations=["https://example.com"])),
    "timings-with-usage": odd(chunk(TEXT), chunk(LAST), chunk(usage=USAGE, timings={"predicted_n": 7})),
    "new-value-of-a-field": odd(chunk(TEXT, x_groq={"id": "r"}), chunk(LAST), chunk(usage=USAGE, x_groq={"id": "s"})),
    "service-tier-for-the-first-time": odd(chunk(TEXT), chunk(LAST), chunk(usage=USAGE, service_tier="flex")),
    "filter-results-first": odd(chunk(prompt_filter_results=[{"prompt_index": 0}]), chunk(TEXT), chunk(LAST)),
    "nothing-after-the-end": odd(chunk(TEXT), chunk(LAST), chunk()),
    "usage-with-the-last-choice": odd(chunk(TEXT), chunk(LAST, usage=USAGE)),
    "usage-in-every-chunk": odd(chunk(TEXT, usage=USAGE), chunk(LAST, usage=USAGE)),
}
HIDDEN: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "bare": ({}, {}),
    "nulls": ({}, {"moderation": None, "citations": None, "service_tier": None}),
    "same-head": (head := {"service_tier": "default", "system_fingerprint": "fp_1"}, head),
    "padding": ({"obfuscation": "abc"}, {"obfuscation": "abcdef"}),
    "own-time": ({}, {"created": 2}),
    "other-id": ({}, {"id": "d"}),
    "no-choices-at-all": ({}, {"choices": None}),
    "unknown-field-seen-before": ({"x_groq": {"id": "r"}}, {"x_groq": {"id": "r"}}),
}


@pytest.fixture
def fresh_stage(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The stage with a base URL of its own, so that no chunk of another test has stopped the requests to it."""
    made, number = stage.ours, next(NUMBERS)

    def ours(cell: Cell, settings: MonitoringSettings = KEEPING) -> Any:
        client = made(cell, settings)
        return client.with_options(base_url=f"{client.base_url}#{number}")  # a fragment is not sent

    monkeypatch.setattr(stage, "ours", ours)
    return stage


@pytest.mark.parametrize(("odd", "name", "is_async"), list(cases(SEEN, *STREAMED)))
def test_a_chunk_with_anything_but_the_usage_is_seen(fresh_stage: Stage, odd: Odd, name: str, is_async: bool) -> None:
    record = play(fresh_stage, odd, name, is_async)

    assert record.error_type is None
    assert (record.usage is not None) == (json.dumps(USAGE) in str(odd.behaviour.body))


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("path", STREAMED)
@pytest.mark.parametrize("name", HIDDEN)
def test_a_chunk_with_nothing_but_the_usage_is_hidden(stage: Stage, name: str, path: str, is_async: bool) -> None:
    usual, own = HIDDEN[name]
    shown = [chunk(TEXT, **usual), chunk(LAST, **usual)]
    row = PATHS_BY_NAME[path]
    reading = next(iter(row.readings.values()))

    def cell(*events: dict[str, Any]) -> Cell:
        outcome = Outcome(name="odd", behaviour=odd(*events).behaviour)
        return Cell(path=row, reading=reading, outcome=outcome, is_async=is_async)

    unasked, asked = cell(*shown), cell(*shown, {**chunk(usage=USAGE), **own})
    bare = stage.play(stage.bare(unasked), unasked)
    client = stage.ours(asked)
    records_of(client.monitoring)
    assert_same(asked, bare, stage.play(client, asked))
    (record,) = records_of(client.monitoring)
    assert record.usage is not None
    assert (record.usage.input_tokens, record.usage.output_tokens, record.chunks) == (5, 7, 2)


def test_the_stream_helper_has_the_moderation_results(fresh_stage: Stage) -> None:
    row = PATHS_BY_NAME["helper"]
    cell = Cell(path=row, reading=next(iter(row.readings.values())))
    client, completions = fresh_stage.ours(cell), []
    for each in (fresh_stage.bare(cell), client):
        fresh_stage.server.begin(SEEN["moderation-with-usage"].behaviour)
        with each.chat.completions.stream(**CHAT) as stream:
            events = list(stream)
            completion = stream.get_final_completion().to_dict()
        (moderated,) = (event for event in events if event.type == "chunk" and "moderation" in event.chunk.to_dict())
        assert moderated.chunk.to_dict()["moderation"] == MODERATION
        assert moderated.snapshot.to_dict().get("moderation") == completion.get("moderation")
        completions.append(completion.get("moderation"))

    assert completions[0] == completions[1]  # only the newest SDK merges the field into the completion
    records_of(client.monitoring)


# Any stream

values = st.none() | st.text(max_size=3) | st.lists(st.integers(0, 3), max_size=2)
extras = st.dictionaries(st.sampled_from(["citations", "x_own", "service_tier", "moderation"]), values, max_size=3)
tails = st.lists(st.tuples(extras, st.booleans()), max_size=3)


@pytest.fixture(scope="module")
def any_stream() -> Iterator[Any]:
    """A function: the chunks that the bare SDK makes of a stream's events, and those that our client passes on."""
    body = ""

    def reply(request: Any) -> Any:
        return http.Response(200, text=body, headers={"content-type": "text/event-stream"})

    with (
        closing(Monitoring(MonitoringSettings())) as monitoring,
        http.Client(transport=http.MockTransport(reply)) as sends,
    ):
        bare = openai.OpenAI(**OPTIONS, base_url="http://api.test/v1", http_client=sends)
        ours = MonitoredOpenAI(**OPTIONS, base_url="http://api.test/v1", http_client=sends, monitoring=monitoring)

        def chunks(events: list[dict[str, Any]]) -> list[list[Any]]:
            nonlocal body
            body = body_of(events)
            fresh = ours.with_options(
                base_url=f"http://api.test/v1#{next(NUMBERS)}"
            )  # no stream has stopped the requests
            return [
                [one.to_dict(warnings=False) for one in client.chat.completions.create(**CHAT, stream=True)]
                for client in (bare, fresh)
            ]

        yield chunks


@settings(deadline=None, max_examples=60)
@given(first=extras, last=extras, tail=tails)
def test_of_any_stream_no_value_but_the_usage_is_lost(any_stream: Any, first: Any, last: Any, tail: Any) -> None:
    rest = [chunk(**own, **({"usage": USAGE} if counted else {})) for own, counted in tail]
    bare, ours = any_stream([chunk(TEXT, **first), chunk(LAST, **last), *rest])

    left = list(ours)
    hidden = [one for one in bare if not (left and one == left[0] and left.pop(0))]
    assert not left
    assert all((one["choices"], one["usage"]) == ([], USAGE) for one in hidden)
    shown = [item for one in ours for item in one.items()]
    values = [item for one in hidden for item in one.items() if item[0] not in ("choices", "usage")]
    assert all(item in shown for item in values if item[1] is not None)


# Servers and callers that settle it themselves

UNREQUESTED = [provider for provider in PROVIDERS if provider.stream_usage == "unrequested"]
WITH_USAGE = [chunk(TEXT), chunk(LAST), chunk(usage={**USAGE, "cost": 0.0042})]


def streamed_from(host: str, monitoring: Monitoring, **client: Any) -> tuple[list[Any], Any, Any]:
    """The chunks of a stream from this host, the body of its request and its record."""
    bodies: list[Any] = []

    def reply(request: Any) -> Any:
        bodies.append(json.loads(request.content))
        return http.Response(200, text=body_of(WITH_USAGE), headers={"content-type": "text/event-stream"})

    asked, path = client.pop("asked", {}), client.pop("path", "v1")
    with http.Client(transport=http.MockTransport(reply)) as sends:
        ours = MonitoredOpenAI(
            **OPTIONS, base_url=f"https://{host}/{path}", http_client=sends, monitoring=monitoring, **client
        )
        seen = list(ours.chat.completions.create(**CHAT, stream=True, **asked))
    (body,) = bodies
    (record,) = records_of(monitoring)
    return seen, body, record


@pytest.fixture
def monitoring() -> Iterator[Monitoring]:
    with closing(Monitoring(KEEPING)) as handle:
        yield handle


@pytest.mark.parametrize("host", [host.replace("*", "eu") for provider in UNREQUESTED for host in provider.hosts])
def test_a_server_that_reports_usage_anyway_gets_no_request_and_its_usage_is_seen(
    host: str, monitoring: Monitoring
) -> None:
    seen, body, record = streamed_from(host, monitoring)

    assert "stream_options" not in body
    assert seen[-1].usage.to_dict() == {**USAGE, "cost": 0.0042}
    assert (record.usage.input_tokens, record.usage.output_tokens) == (5, 7)


def test_a_host_with_a_final_dot_is_the_same_host(monitoring: Monitoring) -> None:
    seen, body, record = streamed_from("OpenRouter.ai.", monitoring)

    assert ("stream_options" in body, len(seen), record.provider) == (False, 3, "openrouter")


@pytest.mark.parametrize("named", ["openrouter", "mistral_ai", "mistral", "perplexity"])
def test_a_gateway_is_treated_as_the_provider_that_the_settings_name(named: str) -> None:
    with closing(Monitoring(MonitoringSettings(on_record=keep, provider=named))) as monitoring:
        seen, body, record = streamed_from("gateway.example.com", monitoring)

    assert ("stream_options" in body, len(seen), record.usage.input_tokens) == (False, 3, 5)


def test_another_name_in_the_settings_does_not_hide_what_a_known_host_reports() -> None:
    with closing(Monitoring(MonitoringSettings(on_record=keep, provider="ours"))) as monitoring:
        seen, body, record = streamed_from("openrouter.ai", monitoring)

    assert ("stream_options" in body, len(seen), record.provider) == (False, 3, "ours")


@pytest.mark.parametrize(
    "client",
    [
        {"asked": {"extra_body": {"usage": {"include": True}}}},
        {"asked": {"extra_body": {"usage": {"include": False}}}},
        {"asked": {"extra_body": {"usage": None}}},
        {"asked": {"extra_body": {"include_usage": True}}},
        {"asked": {"extra_body": {"streamUsage": True}}},
        {"asked": {"extra_body": {"provider_options": {"include_usage": True}}}},
        {"asked": {"extra_body": {"routes": [{"options": {"includeUsage": True}}]}}},
        {"asked": {"extra_body": {"own": {"streamOptions": {}}}}},
        {"asked": {"extra_headers": {"Helicone-Stream-Usage": "true"}}},
        {"asked": {"extra_query": {"include_usage": "true"}}},
        {"asked": {"extra_query": {"stream_options": {"include": True}}}},
        {"default_headers": {"helicone-stream-usage": "true"}},
        {"default_query": {"usage": "1"}},
        {"path": "v1?with_usage=1"},
    ],
)
def test_a_caller_with_an_option_of_the_server_about_usage_sees_the_usage(
    client: dict[str, Any], monitoring: Monitoring
) -> None:
    seen, body, record = streamed_from("gateway.example.com", monitoring, **client)

    assert "stream_options" not in body
    assert seen[-1].usage.to_dict() == {**USAGE, "cost": 0.0042}
    assert record.usage.input_tokens == 5


@pytest.mark.parametrize("host", ["gateway.example.com", "api.openai.com", "api.groq.com"])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"extra_body": {"top_k": 4}, "extra_headers": {"x-mine": "1"}},
        {"extra_headers": {"X-Usage-Team": "a"}},
        {"metadata": {"usage_team": "a"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "usage", "schema": {"usage": {}}}}},
        {"extra_body": {"guided_json": {"properties": {"usage": {"type": "string"}}}}},
        {"extra_body": {"a": {"b": {"c": {"usage": "too deep"}}}}},
        {"extra_body": {"usual": {f"name{n}": {} for n in range(60)}, "late": {"usage": 1}}},
    ],
)
def test_any_other_server_gets_the_request_and_its_chunk_is_hidden(
    host: str, asked: dict[str, Any], monitoring: Monitoring
) -> None:
    seen, body, record = streamed_from(host, monitoring, asked=dict(asked))

    assert body["stream_options"] == {"include_usage": True}
    assert (len(seen), record.usage.input_tokens, record.chunks) == (2, 5, 2)


def test_the_switch_leaves_requests_and_chunks_alone() -> None:
    with closing(Monitoring(MonitoringSettings(on_record=keep, inject_stream_usage=False))) as monitoring:
        seen, body, record = streamed_from("gateway.example.com", monitoring)

    assert ("stream_options" in body, len(seen), record.usage.input_tokens) == (False, 3, 5)


def test_a_usage_that_comes_unasked_after_a_refusal_is_seen(monitoring: Monitoring) -> None:
    with Api() as server:
        server.begin(Behaviour())
        server.script(
            [
                Behaviour(stream_options=400),
                Behaviour(body=body_of(WITH_USAGE), content_type="text/event-stream"),
            ]
        )
        with MonitoredOpenAI(**OPTIONS, base_url=server.base_url, monitoring=monitoring) as client:
            seen = list(client.chat.completions.create(**CHAT, stream=True))

    assert len(seen) == 3
    (record,) = records_of(monitoring)
    assert record.usage is not None
