"""Reads the tool calls in a response, and the units of hosted tools that the server bills in addition to the tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from monitored_openai._endpoints.base import count, dictionary, text
from monitored_openai._endpoints.usage import read_usage
from monitored_openai._record import CostIncomplete, Usage

TOOL_OF_ITEM: Mapping[str, str] = {
    "function_call": "function",
    "custom_tool_call": "custom",
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation",
    "computer_call": "computer",
    "mcp_call": "mcp",
    "shell_call": "shell",
    "local_shell_call": "local_shell",
    "apply_patch_call": "apply_patch",
    "tool_search_call": "tool_search",
    "multi_agent_call": "other",
}
"""The bounded name of the tool that an output item calls, by the item's type. Other calls count as `other`."""
_UNIT_OF_ITEM = {
    "file_search_call": "file_searches",
    "computer_call": "computer_actions",
    "mcp_call": "mcp_calls",
}
"""Units with one price for each call, by the type of the output item."""
CONTAINER_SIZES = ("1g", "4g", "16g", "64g")
_DEFAULT_CONTAINER_SIZE = "1g"
_FIXED_SEARCH_TOKENS = ("gpt-4o-mini", "gpt-4.1-mini")
"""Models whose web searches bill a fixed number of tokens; the documentation does not state if the usage has them."""
REPORTED_FEES = frozenset(
    {
        *("num_search_queries", "num_sources_used", "num_server_side_tools_used", "server_side_tool_usage_details"),
        *("server_tool_use", "tool_calls_details"),
    }
)
"""Fields in which xAI, OpenRouter and Perplexity count hosted tools. Only the charge in such a usage has the fees."""
_FEE_UNKNOWN: tuple[CostIncomplete, ...] = ("tool_fee",)
_MARKS = frozenset({"tool_calls", "function_call", "executed_tools", "annotations"})
"""Fields of a message that may name a tool."""
_WITHOUT_CALL = frozenset({"message", "reasoning"})
"""The types of the most common output items, which call no tool."""
_EXECUTED_TOOLS = {"search": "web_search", "python": "code_interpreter"}
"""The bounded names of tools that Groq's compound systems run, by their type."""


class _Bill:
    """Collects billed units, and whether a fee is unknown."""

    def __init__(self) -> None:
        self.units: Counter[str] = Counter()
        self.parts: list[tuple[str | None, Usage]] = []
        self.fee_unknown = False

    def facts(self, tool_calls: Counter[str]) -> dict[str, Any]:
        """Return the fields of `ParsedResponse` about tools."""
        return {
            "tool_calls": {name: number for name, number in tool_calls.items() if number},
            "units": {name: float(number) for name, number in self.units.items() if number},
            "incomplete": _FEE_UNKNOWN if self.fee_unknown else (),
            "parts": tuple(self.parts),
        }


def chat_tools(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts about the tool calls in a chat completion; empty if it has none."""
    choices = _dictionaries(body.get("choices"))
    messages = [message for choice in choices if (message := _marked(choice.get("message"))) is not None]
    unit = search_unit_of_model(body.get("model"))
    if unit is None and not messages:
        return {"incomplete": _FEE_UNKNOWN} if _reports_fees(body) else {}
    calls: Counter[str] = Counter()
    bill = _Bill()
    for message in messages:
        calls.update(
            "custom" if call.get("type") == "custom" else "function"
            for call in _dictionaries(message.get("tool_calls"))
        )
        calls.update(["function"] if dictionary(message.get("function_call")) else [])
        executed = _dictionaries(message.get("executed_tools"))
        calls.update(_EXECUTED_TOOLS.get(str(tool.get("type")), "other") for tool in executed)
        cites = any(mark.get("type") == "url_citation" for mark in _dictionaries(message.get("annotations")))
        bill.fee_unknown = bill.fee_unknown or bool(executed) or cites
    if unit is not None:
        calls["web_search"] += 1
        bill.units[unit] = 1
        bill.fee_unknown = False
    bill.fee_unknown = bill.fee_unknown or _reports_fees(body)
    return bill.facts(calls)


def _marked(message: object) -> Mapping[str, Any] | None:
    """Return a message that may name a tool; `None` for any other."""
    if not isinstance(message, dict) or _MARKS.isdisjoint(message):
        return None
    return message if any(map(message.get, _MARKS)) else None  # OpenAI sends an empty list of annotations


def run_tools(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts about the functions that a run requests. Its steps, which the run does not contain, use hosted tools."""
    requested = dictionary(dictionary(body.get("required_action")).get("submit_tool_outputs")).get("tool_calls")
    bill = _Bill()
    bill.fee_unknown = any(tool.get("type") != "function" for tool in _dictionaries(body.get("tools")))
    return bill.facts(Counter(function=len(_dictionaries(requested))))


def search_unit_of_model(model: object) -> str | None:
    """Return the unit that each call of a chat model with built-in search bills; `None` for any other model."""
    if not isinstance(model, str) or "-search-" not in model:
        return None
    name = model.lower()
    if "-search-preview" in name:
        return "web_searches_preview_non_reasoning"
    return "web_searches" if "-search-api" in name else None


def response_tools(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts about the tool calls in a response of the Responses API; empty if it has none."""
    items, used = _dictionaries(body.get("output")), dictionary(body.get("tool_usage"))
    if all(item.get("type") in _WITHOUT_CALL for item in items) and not _counts_anything(used):
        return {"incomplete": _FEE_UNKNOWN} if _reports_fees(body) else {}
    tools, bill = _dictionaries(body.get("tools")), _Bill()
    calls: Counter[str] = Counter()
    for item in items:
        kind = str(item.get("type"))
        name = TOOL_OF_ITEM.get(kind)
        if name is None and kind.endswith("_call"):
            name, bill.fee_unknown = "other", True
        if name is not None:
            calls[name] += 1
        if kind in _UNIT_OF_ITEM and item.get("status") != "failed":
            bill.units[_UNIT_OF_ITEM[kind]] += 1
    _add_searches(bill, items, tools, used.get("web_search"), text(body.get("model")))
    _add_containers(bill, items, tools, may_continue=bool(body.get("previous_response_id") or body.get("conversation")))
    _add_images(bill, items, tools, used.get("image_gen"))
    others = (value for family, value in used.items() if family not in ("web_search", "image_gen"))
    bill.fee_unknown = bill.fee_unknown or any(map(_counts_anything, others)) or _reports_fees(body)
    return bill.facts(calls)


def _add_searches(
    bill: _Bill, items: list[Mapping[str, Any]], tools: list[Mapping[str, Any]], reported: object, model: str | None
) -> None:
    """Add the web searches: those that the server counts as billed, else those among the items."""
    number = dictionary(reported).get("num_requests")
    searches = sum(map(_is_search, items)) if number is None else count(number)
    if searches is None:
        bill.fee_unknown = True
    elif searches:
        unit = _search_unit(tools, (model or "").lower().removeprefix("ft:"))
        bill.fee_unknown = bill.fee_unknown or unit is None
        if unit is not None:
            bill.units[unit] += searches
        if unit == "web_searches" and model is not None and model.lower().startswith(_FIXED_SEARCH_TOKENS):
            bill.fee_unknown = True


def _is_search(item: Mapping[str, Any]) -> bool:
    if item.get("type") != "web_search_call" or item.get("status") == "failed":
        return False
    return dictionary(item.get("action")).get("type") in (None, "search")  # the server does not bill opened pages


def _search_unit(tools: list[Mapping[str, Any]], model: str) -> str | None:
    """Return the unit of the web searches by the kind of the tool; `None` if the response does not reveal it."""
    kinds = {"preview" in kind for tool in tools if (kind := str(tool.get("type"))).startswith("web_search")}
    if len(kinds) > 1:
        return None
    if True not in kinds:
        return "web_searches"
    if model.startswith(("gpt-4", "chatgpt-4")):
        return "web_searches_preview_non_reasoning"
    return None if "-chat" in model or not model else "web_searches_preview"


def _add_containers(
    bill: _Bill, items: list[Mapping[str, Any]], tools: list[Mapping[str, Any]], *, may_continue: bool
) -> None:
    """Add a session for each container that the server started for this response.

    `may_continue`: True if an earlier response may have started the container and paid for a part of its time.
    """
    started: dict[str, Mapping[str, Any]] = {}
    for item in items:
        kind = item.get("type")
        if kind == "code_interpreter_call":
            identifier, source = text(item.get("container_id")), _tool(tools, "code_interpreter").get("container", {})
        elif kind == "shell_call" and dictionary(item.get("environment")).get("type") == "container_reference":
            identifier, source = text(item["environment"].get("container_id")), _tool(tools, "shell").get("environment")
        else:
            continue
        if not isinstance(source, dict) or source.get("type") == "container_reference" or identifier is None:
            bill.fee_unknown = True
        else:
            started[identifier] = source
    for source in started.values():
        size = source.get("memory_limit") or _DEFAULT_CONTAINER_SIZE
        if may_continue or size not in CONTAINER_SIZES:
            bill.fee_unknown = True
        else:
            bill.units[f"container_sessions_{size}"] += 1


def _add_images(bill: _Bill, items: list[Mapping[str, Any]], tools: list[Mapping[str, Any]], reported: object) -> None:
    """Add the usage of the image model, and of the models that write SVG drawings."""
    drawings = [item for item in items if item.get("type") == "image_generation_call"]
    models = {text(tool.get("model")) for tool in tools if tool.get("type") == "image_generation"}
    usage = read_usage(reported).usage
    if usage is not None and (usage.input_tokens or usage.output_tokens):
        model = models.pop() if len(models) == 1 else None
        bill.parts.append((model, usage))
        bill.fee_unknown = bill.fee_unknown or model is None
    elif _counts_anything(reported) or any(item.get("result") for item in drawings):
        bill.fee_unknown = True
    for drawing in drawings:
        if (author := svg_part(drawing.get("svg_usage"))) is not None:
            bill.parts.append(author)
        elif drawing.get("svg_usage") is not None:
            bill.fee_unknown = True


def svg_part(reported: object) -> tuple[str, Usage] | None:
    """Return model and usage of the model that wrote an SVG drawing; `None` if one of them is unknown."""
    fields = dictionary(reported)
    reasoning = {"output_tokens_details": {"reasoning_tokens": fields.get("reasoning_tokens")}}
    model, usage = text(fields.get("model")), read_usage({**fields, **reasoning}).usage
    return None if model is None or usage is None else (model, usage)


def _tool(tools: list[Mapping[str, Any]], kind: str) -> Mapping[str, Any]:
    return next((tool for tool in tools if tool.get("type") == kind), {})


def _reports_fees(body: Mapping[str, Any]) -> bool:
    usage = dictionary(body.get("usage"))
    if REPORTED_FEES.isdisjoint(usage):
        return False
    return any(_counts_anything(usage.get(name)) for name in REPORTED_FEES)


def _counts_anything(value: object) -> bool:
    """Return whether a value is a number other than zero, or contains one."""
    if isinstance(value, dict):
        return any(map(_counts_anything, value.values()))
    if isinstance(value, list):
        return any(map(_counts_anything, value))
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value != 0


def _dictionaries(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
