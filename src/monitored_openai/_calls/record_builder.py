"""Builds the record of a finished call, on the exporter's thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from monitored_openai._calls.api_errors import ApiError, error_body
from monitored_openai._calls.billing import read_bill, without_bill
from monitored_openai._calls.error_types import STATUSES, error_type_of_code
from monitored_openai._calls.finished_call import FinishedCall
from monitored_openai._calls.pending_usage import PendingUsage
from monitored_openai._calls.request_fields import billed_fields, identifiers
from monitored_openai._endpoints.base import BACKGROUND, ParsedResponse
from monitored_openai._record import CallRecord, Cost, ErrorType, Usage, UsageUnknown

_FROM_API = frozenset({*STATUSES.values(), "server_error", "other"}) - {"timeout"}
"""Types of errors that an API reports."""
Price = Callable[[FinishedCall, ParsedResponse], "Cost | str"]
"""Returns the cost of a response of a call, or the reason why it is unknown."""


def build_record(finished: FinishedCall, call_id: str, *, price: Price, pending_usage: PendingUsage) -> CallRecord:
    """Return the record of a finished call.

    Reads and updates `pending_usage`, so that the usage of a response counts once even if two calls report it.
    """
    request = finished.request_body()
    billed = finished.billed_fields or billed_fields(request, finished.provider)
    parsed = read_bill(finished.provider, finished.parse(), billed)
    parsed = _resolve_usage(finished, parsed, billed, pending_usage)
    api_error = finished.read_error(parsed)
    error, message = _error(finished, parsed, api_error)
    unknown = _usage_unknown(finished, parsed, error)
    cost = _cost(finished, parsed, unknown, price)
    headers = finished.recorded_headers()
    trace_id, span_id = finished.trace or (None, None)
    waits, streamed = finished.chunk_waits, finished.streamed
    return CallRecord(
        id=call_id,
        operation=finished.endpoint.operation,
        api_type=finished.endpoint.api_type,
        provider=finished.provider,
        server=finished.server,
        request_model=finished.request_model,
        response_model=parsed.model,
        response_id=parsed.id,
        request_id=headers.pop("x-request-id", None),
        started_ns=finished.started_ns,
        ended_ns=finished.ended_ns,
        duration=finished.wait_before_chunks + sum(waits) + finished.wait_after_chunks,
        streamed=streamed,
        time_to_first_chunk=finished.wait_before_chunks + waits[0] if streamed and waits else None,
        chunk_intervals=tuple(waits[1:]) if streamed else (),
        chunks=len(waits) if streamed and finished.response is None else None,
        error_type=error,
        error_message=message,
        api_error=api_error.fields if error is not None else {},
        http_status=finished.status,
        retries=finished.retries,
        finish_reasons=parsed.finish_reasons,
        service_tier=parsed.service_tier,
        usage=parsed.usage,
        usage_unknown=unknown,
        cost=cost if isinstance(cost, Cost) else None,
        unpriced=cost if isinstance(cost, str) else None,
        tool_calls=parsed.tool_calls,
        provider_cost=parsed.provider_cost,
        headers=headers,
        request=request if finished.captures_content else None,
        response=_response(finished, parsed) if finished.captures_content else None,
        content_captured=finished.captures_content,
        attributes=dict(finished.attributes),
        identifiers=finished.identifiers or identifiers(request),
        trace_id=trace_id,
        span_id=span_id,
    )


def _resolve_usage(
    finished: FinishedCall, parsed: ParsedResponse, billed: Mapping[str, Any], pending_usage: PendingUsage
) -> ParsedResponse:
    """Add the billed part of the request, and remove usage that another call already counted for the same response."""
    if finished.billed_request is not None:
        parts = {
            field.name: value
            for field in dataclasses.fields(Usage)
            if (value := getattr(finished.billed_request, field.name)) is not None
        }
        return dataclasses.replace(parsed, usage=dataclasses.replace(parsed.usage or Usage(), **parts))
    repeats = finished.endpoint.reports_deferred_usage
    if not parsed.id:
        return without_bill(parsed) if repeats else parsed
    if repeats:
        asked = pending_usage.resolve(finished.server, parsed.id) if parsed.finished else None
        if asked is None:
            return dataclasses.replace(without_bill(parsed), error_code=None)
        return read_bill(finished.provider, parsed, asked)
    if finished.endpoint.defers_usage and parsed.usage is None and not (parsed.finished and parsed.error_code):
        pending_usage.add(finished.server, parsed.id, billed)
        return parsed if parsed.finished else without_bill(parsed)
    return parsed


def _error(finished: FinishedCall, parsed: ParsedResponse, api_error: ApiError) -> tuple[ErrorType | None, str | None]:
    """Return type and message of the error that the call raised, else of the error in the response."""
    if finished.error is not None:
        return _refined(finished.error, api_error), finished.message
    if parsed.error_code is None:
        return None, finished.message
    message = parsed.error_message if finished.captures_content else parsed.error_code
    return api_error.specific_type or error_type_of_code(parsed.error_code), message


def _refined(error: ErrorType, api_error: ApiError) -> ErrorType:
    """Return the more specific type, unless the caller or the connection, not the API, ended the call."""
    return api_error.specific_type or error if error in _FROM_API else error


def _response(finished: FinishedCall, parsed: ParsedResponse) -> Mapping[str, Any] | str | None:
    """Return the body of the response; for a stream that ended with an error object, the chunks with this object."""
    if finished.error_body is None:
        return parsed.body
    error = error_body(finished.error_body)
    if _is_refused(finished):
        return error
    return {**parsed.body, "error": error} if isinstance(parsed.body, Mapping) else parsed.body


def _usage_unknown(finished: FinishedCall, parsed: ParsedResponse, error: ErrorType | None) -> UsageUnknown | None:
    """Return the reason for an unknown usage; `None` if it is known, or if the call used no tokens of its own."""
    endpoint = finished.endpoint
    if endpoint.reports_deferred_usage or not endpoint.billed or parsed.usage is not None or _is_refused(finished):
        return None
    reason = error or parsed.usage_unknown or "not_reported"
    return reason if endpoint.reports_usage or reason != "not_reported" else "never_told"


def _cost(finished: FinishedCall, parsed: ParsedResponse, unknown: str | None, price: Price) -> Cost | str | None:
    """Return the cost, the reason for an unknown cost, or `None` if the call costs nothing of its own."""
    endpoint = finished.endpoint
    if _is_refused(finished) or not endpoint.billed or (endpoint.reports_deferred_usage and parsed.usage is None):
        return None
    if parsed.cost is not None or parsed.unpriced is not None:
        return parsed.cost or parsed.unpriced
    if unknown == BACKGROUND:
        return BACKGROUND
    if parsed.model is None and not endpoint.returns_model:
        parsed = dataclasses.replace(parsed, model=finished.request_model)
    return price(finished, parsed)


def _is_refused(finished: FinishedCall) -> bool:
    return finished.status is not None and finished.status >= 400
