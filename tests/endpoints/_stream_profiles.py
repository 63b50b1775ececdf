"""One answer of each server, as a stream and as a whole, in the form of the server's documentation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The events of a stream, the message that they contain, and fields that the log entry has beside it."""

    events: list[dict[str, Any]]
    message: dict[str, Any]
    choice: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=lambda: USAGE)


def chunk(delta: Any = None, finish: str | None = None, *, choice: Any = None, **more: Any) -> dict[str, Any]:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**head, "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish, **(choice or {})}], **more}


def usage(**more: Any) -> dict[str, Any]:
    return {**chunk(), "choices": [], "usage": USAGE, **more}


def call(name: str | None, arguments: str, **more: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({} if name is None else {"name": name})}
    return {"type": "function", "function": function, **more}


def calls(*fragments: dict[str, Any]) -> dict[str, Any]:
    return chunk({"tool_calls": list(fragments)})


ROLE = chunk({"role": "assistant", "content": ""})
STOP = chunk(finish="stop")
CALLED = chunk(finish="tool_calls")
TOKENS = [{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}]
SAFE = {"hate": {"filtered": False, "severity": "safe"}}
ROME, UTC = call("weather", '{"city": "Rome"}', id="call_1"), call("time", '{"zone": "UTC"}', id="call_2")
CITED = {"type": "url_citation", "url_citation": {"url": "https://a.test", "title": "A"}}
TWO = {"role": "assistant", "content": "", "tool_calls": [ROME, UTC]}


def thought(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def reasoned(text: str | None, **more: Any) -> dict[str, Any]:
    return {"type": "reasoning.text", "text": text, "format": "anthropic-claude-v1", "index": 0, **more}


PROFILES = {
    "openai": Profile(
        events=[
            chunk({"role": "assistant", "content": "", "refusal": None}, choice={"logprobs": None}, obfuscation="x"),
            chunk({"content": "a"}, choice={"logprobs": {"content": TOKENS, "refusal": None}}, obfuscation="xy"),
            chunk({"content": "a"}, choice={"logprobs": {"content": TOKENS, "refusal": None}}, obfuscation="x"),
            chunk(finish="stop", choice={"logprobs": None}),
            usage(),
        ],
        message={"role": "assistant", "content": "aa", "refusal": None},
        choice={"logprobs": {"content": TOKENS * 2, "refusal": None}},
    ),
    "openai-tools": Profile(
        events=[
            chunk({"role": "assistant", "content": None}),
            calls(call("weather", "", id="call_1", index=0)),
            calls(call(None, '{"city": "Rome"}', index=0)),
            calls(call("time", "", id="call_2", index=1)),
            calls(call(None, '{"zone": ', index=1)),
            calls(call(None, '"UTC"}', index=1)),
            CALLED,
            usage(),
        ],
        message={**TWO, "content": None},
        choice={"finish_reason": "tool_calls"},
    ),
    "openai-audio": Profile(
        events=[
            chunk({"role": "assistant", "refusal": None, "audio": {"id": "audio_1", "transcript": "Hel"}}),
            chunk({"audio": {"id": "audio_1", "data": "UklG", "transcript": "lo"}}),
            chunk({"audio": {"id": "audio_1", "data": "Rg==", "expires_at": 9}}),
            STOP,
            usage(),
        ],
        message={
            "role": "assistant",
            "refusal": None,
            "audio": {"id": "audio_1", "transcript": "Hello", "data": "UklGRg==", "expires_at": 9},
        },
    ),
    "azure": Profile(
        events=[
            {**chunk(), "id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
            chunk({"role": "assistant", "content": "a"}, choice={"content_filter_results": SAFE}),
            chunk({"content": "b"}, choice={"content_filter_results": SAFE}),
            STOP,
            usage(),
        ],
        message={"role": "assistant", "content": "ab"},
        choice={"content_filter_results": SAFE},
        body={"prompt_filter_results": [{"prompt_index": 0}]},
    ),
    "openrouter": Profile(
        events=[
            chunk({"role": "assistant", "content": "", "reasoning": "Hm", "reasoning_details": [reasoned("Hm")]}),
            chunk({"role": "assistant", "content": "", "reasoning": ".", "reasoning_details": [reasoned(".")]}),
            chunk({"role": "assistant", "content": "", "reasoning_details": [reasoned(None, signature="sig")]}),
            chunk({"role": "assistant", "content": "a", "annotations": [CITED]}, provider="Anthropic"),
            chunk({"role": "assistant", "content": ""}, "stop", choice={"native_finish_reason": "end_turn"}),
            usage(provider="Anthropic"),
        ],
        message={
            "role": "assistant",
            "content": "a",
            "reasoning": "Hm.",
            "reasoning_details": [reasoned("Hm.", signature="sig")],
            "annotations": [CITED],
        },
        choice={"native_finish_reason": "end_turn"},
        body={"provider": "Anthropic"},
    ),
    "deepseek": Profile(
        events=[
            chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
            chunk({"content": None, "reasoning_content": "Hm"}),
            chunk({"content": "", "reasoning_content": "."}),
            chunk({"content": "a", "reasoning_content": None}),
            chunk({"content": "", "reasoning_content": None}, "stop", usage=USAGE),
        ],
        message={"role": "assistant", "content": "a", "reasoning_content": "Hm."},
    ),
    "moonshot": Profile(
        events=[ROLE, chunk({"content": "a"}), chunk(finish="stop", choice={"usage": USAGE})],
        message={"role": "assistant", "content": "a"},
        choice={"usage": USAGE},
    ),
    "mistral": Profile(
        events=[
            ROLE,
            chunk({"content": [thought("Hm")]}),
            chunk({"content": [thought(".")]}),
            chunk({"content": "a"}),
            chunk({"content": "b"}, "stop", usage=USAGE),
        ],
        message={"role": "assistant", "content": [thought("Hm."), {"type": "text", "text": "ab"}]},
    ),
    "gemini-tools": Profile(
        events=[
            chunk({"role": "assistant", "content": "", "tool_calls": [{**ROME, "index": 0}]}),
            calls({**UTC, "index": 0}),
            chunk({"role": "assistant"}, "stop", usage=USAGE),
        ],
        message=TWO,
    ),
    "groq": Profile(
        events=[
            chunk({"role": "assistant", "content": ""}, x_groq={"id": "req_1"}),
            chunk({"reasoning": "Hm"}),
            chunk({"content": "a"}),
            chunk(finish="stop", x_groq={"id": "req_1", "usage": USAGE}),
        ],
        message={"role": "assistant", "content": "a", "reasoning": "Hm"},
        body={"x_groq": {"id": "req_1", "usage": USAGE}},
    ),
    "xai": Profile(
        events=[
            chunk({"role": "assistant", "reasoning_content": "Hm"}),
            chunk({"role": "assistant", "content": "a"}),
            chunk(finish="stop", citations=["https://a.test"]),
            usage(citations=["https://a.test"]),
        ],
        message={"role": "assistant", "content": "a", "reasoning_content": "Hm"},
        body={"citations": ["https://a.test"]},
    ),
    "perplexity": Profile(
        events=[
            chunk(
                {"role": "assistant", "content": text},
                finish,
                choice={"message": {"role": "assistant", "content": so_far}},
                citations=["https://a.test"],
                usage=USAGE,
            )
            for text, so_far, finish in (("a", "a", None), ("b", "ab", None), ("", "ab", "stop"))
        ],
        message={"role": "assistant", "content": "ab"},
        body={"citations": ["https://a.test"]},
    ),
    "vllm": Profile(
        events=[
            chunk({"role": "assistant", "content": ""}, prompt_token_ids=[1, 2]),
            chunk({"reasoning": "Hm"}, choice={"token_ids": [3]}),
            chunk({"content": "a"}, choice={"token_ids": [4]}),
            chunk(finish="stop", choice={"stop_reason": 7, "token_ids": [4]}),
            usage(),
        ],
        message={"role": "assistant", "content": "a", "reasoning": "Hm"},
        choice={"stop_reason": 7, "token_ids": [3, 4, 4]},
        body={"prompt_token_ids": [1, 2]},
    ),
    "ollama-tools": Profile(
        events=[
            chunk({"role": "assistant", "content": "", "tool_calls": [{**ROME, "index": 0}]}),
            chunk({"role": "assistant", "content": "", "tool_calls": [{**UTC, "index": 0}]}),
            chunk({"role": "assistant", "content": ""}, "tool_calls"),
            usage(),
        ],
        message=TWO,
        choice={"finish_reason": "tool_calls"},
    ),
    "litellm": Profile(
        events=[
            chunk({"role": "assistant", "content": "", "provider_specific_fields": None}),
            chunk(
                {"content": "", "reasoning_content": "Hm", "thinking_blocks": [{"type": "thinking", "thinking": "Hm"}]}
            ),
            chunk({"content": "a"}),
            STOP,
            usage(),
        ],
        message={
            "role": "assistant",
            "content": "a",
            "provider_specific_fields": None,
            "reasoning_content": "Hm",
            "thinking_blocks": [{"type": "thinking", "thinking": "Hm"}],
        },
    ),
    "tools-without-index": Profile(
        events=[ROLE, calls(ROME), calls(UTC), CALLED, usage()], message=TWO, choice={"finish_reason": "tool_calls"}
    ),
    "tools-without-index-and-id": Profile(
        events=[
            ROLE,
            calls(call("f", '{"a"')),
            calls(call(None, ": 1}")),
            calls(call("f", '{"a": 2}')),
            CALLED,
            usage(),
        ],
        message={"role": "assistant", "content": "", "tool_calls": [call("f", '{"a": 1}'), call("f", '{"a": 2}')]},
        choice={"finish_reason": "tool_calls"},
    ),
    "tool-names-repeated": Profile(
        events=[
            ROLE,
            calls(call("weather", '{"city": ', index=0, id="call_1")),
            calls(call("weather", '"Rome"}', index=0, id="call_1")),
            calls(call("time", '{"zone": ', index=1, id="call_2")),
            calls(call("time", '"UTC"}', index=1, id="call_2")),
            CALLED,
            usage(),
        ],
        message=TWO,
        choice={"finish_reason": "tool_calls"},
    ),
    "tool-ids-in-each-fragment": Profile(
        events=[
            ROLE,
            calls(call("weather", "", index=0, id="call_1")),
            calls(call(None, '{"city": "Rome"}', index=0, id="random")),
            CALLED,
            usage(),
        ],
        message={**TWO, "tool_calls": [ROME]},
        choice={"finish_reason": "tool_calls"},
    ),
    "tool-ids-tell-fragments-at-one-index-apart": Profile(
        events=[
            ROLE,
            calls(call("weather", "", index=0, id="call_1")),
            calls(call("time", "", index=0, id="call_2")),
            calls(call(None, '{"city": "Rome"}', index=0, id="call_1")),
            calls(call(None, '{"zone": "UTC"}', index=0, id="call_2")),
            CALLED,
            usage(),
        ],
        message=TWO,
        choice={"finish_reason": "tool_calls"},
    ),
    "tool-arguments-as-an-object": Profile(
        events=[
            ROLE,
            calls(call("weather", "", index=0, id="call_1")),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": {"city": "Rome"}}}]}),
            CALLED,
            usage(),
        ],
        message={
            **TWO,
            "tool_calls": [{**ROME, "function": {"name": "weather", "arguments": {"city": "Rome"}}}],
        },
        choice={"finish_reason": "tool_calls"},
    ),
    "refusal": Profile(
        events=[ROLE, chunk({"refusal": "I "}), chunk({"refusal": "cannot"}), STOP, usage()],
        message={"role": "assistant", "content": "", "refusal": "I cannot"},
    ),
}
