"""Each field of the SDK's responses that may affect a bill is read, or is in a list with the reason why it is not.

The tests walk the response types of the installed SDK, so a new field or kind of item fails them until somebody decides.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import pytest
from openai import BaseModel, types
from openai.types import audio, beta, chat, responses
from openai.types.beta import threads

from monitored_openai._endpoints.audio import TRANSCRIPTIONS, TRANSLATIONS
from monitored_openai._endpoints.base import Endpoint, ParsedResponse
from monitored_openai._endpoints.chat import CHAT
from monitored_openai._endpoints.completions import COMPLETIONS
from monitored_openai._endpoints.decisions import DECISIONS
from monitored_openai._endpoints.embeddings import EMBEDDINGS
from monitored_openai._endpoints.images import EDITS, GENERATIONS
from monitored_openai._endpoints.registry import endpoint_of
from monitored_openai._endpoints.responses import COMPACT, RESPONSES
from monitored_openai._endpoints.runs import RUNS
from monitored_openai._endpoints.tools import TOOL_OF_ITEM

pytestmark = pytest.mark.once


def _optional(module: Any, name: str) -> list[Any]:
    """A type that older versions of the SDK lack."""
    return [found] if (found := getattr(module, name, None)) is not None else []


def _endpoint(path: str) -> Endpoint:
    found = endpoint_of("post", path)
    assert found is not None
    return found


ROOTS: list[tuple[Endpoint, Any]] = [
    (CHAT, chat.ChatCompletion),
    (CHAT, chat.ChatCompletionChunk),
    (COMPLETIONS, types.Completion),
    (RESPONSES, responses.Response),
    *((RESPONSES, found) for found in _optional(beta, "BetaResponse")),
    *((COMPACT, found) for found in _optional(responses, "CompactedResponse")),
    (EMBEDDINGS, types.CreateEmbeddingResponse),
    (GENERATIONS, types.ImagesResponse),
    *((GENERATIONS, found) for found in _optional(types, "ImageGenCompletedEvent")),
    *((EDITS, found) for found in _optional(types, "ImageEditCompletedEvent")),
    (TRANSCRIPTIONS, audio.Transcription),
    (TRANSCRIPTIONS, audio.TranscriptionVerbose),
    *((TRANSCRIPTIONS, found) for found in _optional(audio, "TranscriptionDiarized")),
    *((TRANSCRIPTIONS, found) for found in _optional(audio, "TranscriptionTextDoneEvent")),
    (TRANSLATIONS, audio.TranslationVerbose),
    *((DECISIONS, found) for found in _optional(types, "Decision")),
    (RUNS[0], threads.Run),
    *((_endpoint("/videos"), found) for found in _optional(types, "Video")),
    *((_endpoint("/containers"), found) for found in _optional(types, "ContainerCreateResponse")),
    (_endpoint("/batches"), types.Batch),
]

NOT_WALKED = {
    (RESPONSES.path, "instructions"): "input of the user",
    (COMPACT.path, "output"): "repeats items of other responses, whose records have their usage",
}
"""Fields that contain usages of other calls, by the endpoint's path, with the reason."""

NOT_READ_IN_USAGE = {
    "text_tokens": "the rest of the input or the output, after audio and images",
    "cache_write_tokens_details.ttl_30m_tokens": "the rest of the cache writes, after those for 12 hours",
    "image_gen.cached_tokens_details.cached_image_tokens": "the usage has no count for cached images; see cached_tokens",
    "image_gen.cached_tokens_details.cached_text_tokens": "the rest of image_gen.cached_tokens",
}
"""Ends of the paths of counts that decide no price, with the reason."""

NOT_READ = {
    "max_output_tokens": "a limit from the request",
    "max_completion_tokens": "a limit from the request",
    "max_prompt_tokens": "a limit from the request",
    "max_num_results": "a limit from the request",
    "max_results": "a limit from the request",
    "compact_threshold": "a limit from the request",
    "prompt_cache_diagnostics.cache_missed_tokens": "a diagnosis; the usage has the billed counts",
    "prompt_cache_diagnostics.comparison_reusable_tokens": "a diagnosis; the usage has the billed counts",
    "duration": "the length of the audio; the usage has the billed seconds",
    "request_counts.total": "the number of requests in a batch; `batch_usage` reads each of them",
    "frame_duration_ms": "an option of the image tool, which bills tokens",
    "segments.tokens": "the ids of the tokens, not their number",
    "frame_count": "an option of the image tool, which bills tokens",
    "expires_after.minutes": "the time without use after which a container ends; its sessions are billed",
}
"""Ends of the paths of other numbers whose names are those of billed units, with the reason."""

NOT_A_CALL = {
    "message": "the text of the answer; its tokens are in the usage",
    "reasoning": "its tokens are in the usage",
    "compaction": "its tokens are in the usage",
    "program": "runs in a runtime for which OpenAI publishes no fee; the calls of the program are items of their own",
    "additional_tools": "definitions of tools",
    "mcp_list_tools": "definitions of tools; OpenAI bills MCP tools by tokens alone",
    "mcp_approval_request": "precedes the call, which is an item of its own",
    "mcp_approval_response": "input of the user",
    "agent_message": "its tokens are in the usage",
    "function_call_output": "input of the user",
    "custom_tool_call_output": "input of the user",
    "computer_call_output": "input of the user",
    "local_shell_call_output": "input of the user",
    "apply_patch_call_output": "input of the user",
    "shell_call_output": "the result of a call that is an item of its own",
    "program_output": "the result of a program",
    "tool_search_output": "the result of a call that is an item of its own",
    "multi_agent_call_output": "the result of a call that is an item of its own",
    "exec": "the action of a local shell",
}
"""Types of output items that are no call of a tool, with the reason."""

TOOLS_READ = {
    *("function", "custom", "file_search", "computer", "computer_use_preview", "mcp", "code_interpreter"),
    *("image_generation", "local_shell", "shell", "apply_patch", "tool_search"),
    *("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"),
}
NOT_A_TOOL = {
    "namespace": "a group of functions",
    "programmatic_tool_calling": "permits programs; see the item `program`",
}
"""Types of tools that call nothing by themselves, with the reason."""


def members(annotation: Any) -> Iterator[Any]:
    """Yield the types inside `Optional`, unions, lists, dictionaries and annotations."""
    origin = get_origin(annotation)
    if origin is Literal or origin is None:
        yield annotation
        return
    arguments = get_args(annotation)
    if origin is not Union and type(annotation).__name__ == "_AnnotatedAlias":
        arguments = arguments[:1]
    for argument in arguments:
        yield from members(argument)


def is_list(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return origin is list or (
        origin is Union and any(get_origin(argument) is list for argument in get_args(annotation))
    )


def is_model(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, BaseModel)


class Step(NamedTuple):
    """One field on the way from a response to a usage."""

    name: str
    listed: bool
    owner: Any


def usages(kind: Any, path: tuple[Step, ...] = (), seen: frozenset[Any] = frozenset()) -> Iterator[tuple[Any, Any]]:
    """Yield path and type of each usage in a response type."""
    if kind in seen:
        return
    for name, field in kind.model_fields.items():
        step = Step(name, is_list(field.annotation), kind)
        for member in filter(is_model, members(field.annotation)):
            if "usage" in name:
                yield (*path, step), member
            else:
                yield from usages(member, (*path, step), seen | {kind})


def numbers(kind: Any, path: str = "", seen: frozenset[Any] = frozenset()) -> Iterator[str]:
    """Yield the paths of all numbers and texts of digits in a type, without those in a usage."""
    if kind in seen:
        return
    for name, field in kind.model_fields.items():
        for member in members(field.annotation):
            if is_model(member):
                if "usage" not in name:
                    yield from numbers(member, f"{path}{name}.", seen | {kind})
            elif member in (int, float) or name == "seconds":
                yield path + name


def counted(kind: Any) -> dict[str, Any]:
    """A usage of a type in which each count is valid and the totals add up."""
    values: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        member = next(members(field.annotation))
        if is_model(member):
            values[name] = counted(member)
        elif get_origin(member) is Literal:
            values[name] = get_args(member)[0]
        elif name in ("prompt_tokens", "input_tokens"):
            values[name] = 1000
        elif name in ("completion_tokens", "output_tokens"):
            values[name] = 500
        elif member in (int, float):
            values[name] = 3
        else:
            values[name] = "m"
    if "total_tokens" in values:
        main = ("prompt_tokens", "input_tokens", "completion_tokens", "output_tokens")
        values["total_tokens"] = sum(values.get(name, 0) for name in main)
    return values


def body_with(path: tuple[Step, ...], value: Any) -> dict[str, Any]:
    """A body that contains a value at the end of a path."""
    for step, inner in reversed(list(zip(path, (*path[1:], None), strict=True))):
        if inner is not None and "type" in inner.owner.model_fields:
            (kind,) = get_args(next(members(inner.owner.model_fields["type"].annotation)))[:1] or ("",)
            value = {"type": kind, **value}
        value = {step.name: [value] if step.listed else value}
    return dict(value)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from leaves(inner, (*path, name))
        elif isinstance(inner, (int, float)):
            yield (*path, name)


def facts(parsed: ParsedResponse) -> tuple[Any, ...]:
    return (
        *(parsed.usage, parsed.usage_unknown, dict(parsed.units), parsed.parts, parsed.incomplete, parsed.unpriced),
        *(parsed.service_tier, parsed.cache_retention, parsed.background),
    )


def is_listed(path: str, reasons: dict[str, str]) -> bool:
    return any(path == end or path.endswith("." + end) for end in reasons)


CASES = [
    pytest.param(endpoint, path, kind, id=f"{root.__name__}.{'.'.join(step.name for step in path)}-{kind.__name__}")
    for endpoint, root in ROOTS
    for path, kind in usages(root)
    if (endpoint.path, path[0].name) not in NOT_WALKED
    if root is not types.Batch  # `batch_usage` reads the usage of each request in the output file
]


@pytest.mark.parametrize(("endpoint", "path", "kind"), CASES)
def test_each_count_of_a_usage_is_read_or_listed(endpoint: Endpoint, path: tuple[Step, ...], kind: Any) -> None:
    whole = counted(kind)
    before = facts(endpoint.parse(body_with(path, whole)))
    found = list(leaves(whole))
    assert found
    for leaf in found:
        changed = copy.deepcopy(whole)
        place = changed
        for name in leaf[:-1]:
            place = place[name]
        place[leaf[-1]] += 1
        read = facts(endpoint.parse(body_with(path, changed))) != before
        name = ".".join(leaf)
        assert read != is_listed(name, NOT_READ_IN_USAGE), f"{name}: {'read' if read else 'neither read nor listed'}"


class NewerUsage(responses.ResponseUsage):
    """A usage with a count that no release of the SDK has."""

    video_tokens: int


def test_a_new_count_in_a_usage_fails_the_walk() -> None:
    path = (Step("usage", listed=False, owner=responses.Response),)
    with pytest.raises(AssertionError, match="video_tokens: neither read nor listed"):
        test_each_count_of_a_usage_is_read_or_listed(RESPONSES, path, NewerUsage)


def test_the_walk_finds_the_usages_that_the_sdk_has() -> None:
    found = {f"{path[-1].owner.__name__}.{path[-1].name}" for _, root in ROOTS for path, _ in usages(root)}
    assert {"ChatCompletion.usage", "Response.usage", "Run.usage", "CreateEmbeddingResponse.usage"} <= found


BILLED_NUMBER = re.compile(r"tokens|seconds|duration|cost|price|fee|credits|num_|count|characters|minutes|hours")
READ_NUMBERS = {("/videos", "seconds")}


def test_each_other_number_with_the_name_of_a_billed_unit_is_listed() -> None:
    unknown = {
        f"{root.__name__}.{path}"
        for endpoint, root in ROOTS
        for path in numbers(root)
        if BILLED_NUMBER.search(path.rpartition(".")[2])
        and not is_listed(path, NOT_READ)
        and (endpoint.path, path) not in READ_NUMBERS
    }
    assert unknown == set()


def literal_types(kind: Any, name: str) -> set[str]:
    """The values of `type` of all members of a field's union."""
    found = {member for member in members(kind.model_fields[name].annotation) if is_model(member)}
    return {
        value
        for member in found
        if "type" in member.model_fields
        for literal in members(member.model_fields["type"].annotation)
        for value in get_args(literal)
    }


RESPONSE_TYPES = [root for endpoint, root in ROOTS if endpoint is RESPONSES]


@pytest.mark.parametrize("root", RESPONSE_TYPES, ids=lambda root: root.__name__)
def test_each_kind_of_output_item_is_a_known_call_or_listed(root: Any) -> None:
    kinds = literal_types(root, "output")
    assert "function_call" in kinds
    assert kinds - set(TOOL_OF_ITEM) - set(NOT_A_CALL) == set()
    assert set(TOOL_OF_ITEM) & set(NOT_A_CALL) == set()


@pytest.mark.parametrize("root", RESPONSE_TYPES, ids=lambda root: root.__name__)
def test_each_kind_of_tool_is_known_or_listed(root: Any) -> None:
    kinds = literal_types(root, "tools")
    assert "function" in kinds
    assert kinds - TOOLS_READ - set(NOT_A_TOOL) == set()


@pytest.mark.parametrize("root", RESPONSE_TYPES, ids=lambda root: root.__name__)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("service_tier", "flex"),
        ("prompt_cache_retention", "24h"),
        ("prompt_cache_options", {"mode": "implicit", "ttl": "12h"}),
        ("background", True),
    ],
)
def test_each_option_of_a_response_with_a_price_is_read(root: Any, field: str, value: object) -> None:
    if field not in root.model_fields:
        pytest.skip("this SDK does not have it")
    assert facts(RESPONSES.parse({field: value})) != facts(RESPONSES.parse({}))
