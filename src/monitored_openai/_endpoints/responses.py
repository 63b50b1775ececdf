"""Responses: create, compact, retrieve and cancel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from monitored_openai._endpoints.base import BACKGROUND, Endpoint, ParsedResponse, dictionary, text
from monitored_openai._endpoints.parsing import plain_facts
from monitored_openai._endpoints.response_stream import ResponseAccumulator
from monitored_openai._endpoints.tools import response_tools
from monitored_openai._endpoints.usage import cache_retention

_UNFINISHED = frozenset({"queued", "in_progress"})


def parse_response(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse the body of a response."""
    return ParsedResponse(**_facts(body), **response_tools(body))


def parse_compacted(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse the body of a compacted response, which repeats the tool calls of other responses."""
    return ParsedResponse(**_facts(body))


def _facts(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `ParsedResponse`, without those about tools."""
    status, error = text(body.get("status")), dictionary(body.get("error"))
    facts, finished = plain_facts(body), status not in _UNFINISHED
    background = body.get("background") is True
    failed = bool(error) or status == "failed"
    reason = "failed" if failed else text(dictionary(body.get("incomplete_details")).get("reason")) or status
    if background and not finished and facts["usage"] is None:
        facts["usage_unknown"] = BACKGROUND
    facts["finish_reasons"] = (reason,) if reason else ()
    return {
        **facts,
        "error_code": text(error.get("code")) or "failed" if failed else None,
        "error_message": text(error.get("message")),
        "finished": finished,
        "cache_retention": cache_retention(body),
        "background": background,
    }


_endpoint = partial(Endpoint, api_type="responses", parse=parse_response, accumulator=ResponseAccumulator)
RESPONSES = _endpoint("/responses", "chat", defers_usage=True)
COMPACT = _endpoint("/responses/compact", "compaction", parse=parse_compacted, returns_model=False)
RETRIEVE = _endpoint("/responses/{response_id}", "retrieve", method="get", reports_deferred_usage=True)
CANCEL = _endpoint("/responses/{response_id}/cancel", "cancel", reports_deferred_usage=True)
