"""A few entries of the log, as short as the terminal is wide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from monitored_openai._cli.demo.workload import FEATURES
from monitored_openai._cli.terminal import Terminal
from monitored_openai._local.ingest import ReceivedEntry

_KINDS: tuple[Callable[[Mapping[str, Any]], bool], ...] = (
    lambda call: "error_type" not in call and "chunks" not in call and call["attributes"]["feature"] == FEATURES[0],
    lambda call: "error_type" not in call and "chunks" in call and call["attributes"]["feature"] == FEATURES[1],
    lambda call: call.get("error_type") == "rate_limit",
    lambda call: call.get("error_type") == "abandoned" and "response" in call,
)
"""One of each is shown."""


def show_entries(terminal: Terminal, entries: Sequence[ReceivedEntry]) -> None:
    """Show the first entry of each kind."""
    for is_of_kind in _KINDS:
        for entry in entries:
            if is_of_kind(entry.call):
                _show(terminal, entry)
                break


def _show(terminal: Terminal, entry: ReceivedEntry) -> None:
    call = entry.call
    at = datetime.fromtimestamp(entry.timestamp_ns / 1e9).astimezone()
    facts = ", ".join(_facts(call))
    terminal.line(f"  {terminal.fitted(f'{at:%H:%M:%S}  {facts}', terminal.width - 3)}")
    texts = {"asked": _asked(call), "answered": _answered(call), "error": call.get("error_message")}
    for name, text in texts.items():
        if text:
            terminal.line(f"    {terminal.dim(f'{name:<9}')} {terminal.fitted(text, terminal.width - 15)}")


def _facts(call: Mapping[str, Any]) -> list[str]:
    facts = [call["request_model"], *call.get("attributes", {}).values(), f"{call['duration_seconds']:.2f} s"]
    if "chunks" in call:
        facts.append("streamed")
    if call.get("retries"):
        facts.append("1 retry" if call["retries"] == 1 else f"{call['retries']} retries")
    if "usage" in call:
        facts.append(f"{call['usage']['input_tokens']}+{call['usage']['output_tokens']} tokens")
    if "cost" in call:
        facts.append(f"${call['cost']['total_usd']:.6f}")
    return [*facts, call["error_type"]] if "error_type" in call else facts


def _asked(call: Mapping[str, Any]) -> str:
    request = call.get("request", {})
    return str(request["messages"][-1]["content"] if "messages" in request else request.get("prompt", ""))


def _answered(call: Mapping[str, Any]) -> str:
    choices = call.get("response", {}).get("choices")
    if not choices:
        return ""
    return str(choices[0]["message"]["content"] if "message" in choices[0] else choices[0]["text"])
