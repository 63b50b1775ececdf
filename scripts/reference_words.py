"""What the fields, errors and reasons in docs/reference.md mean; `reference_tables.py` holds them to the code."""

# ruff: noqa: INP001 - beside a script, no module of a package

from __future__ import annotations

FIELDS = {
    "id": "of this call, in all processes and on all hosts",
    "operation": "OpenTelemetry's `gen_ai.operation.name`",
    "provider": "OpenTelemetry's `gen_ai.provider.name`",
    "server": "host, and port if it was given, of the client's base URL",
    "request_model": "the model that was asked for; on Azure the deployment",
    "response_model": "the model that answered, by its dated name",
    "response_id": "as the answer has it",
    "request_id": "the header `x-request-id`, which the provider's support asks for",
    "started": "when the call began, in UTC; the entry's own time is that of its end",
    "duration_seconds": "to the last byte received, without the time that the caller spent between chunks",
    "time_to_first_chunk_seconds": "of a stream",
    "chunks": "of a stream, without the one that only carries the usage",
    "error_type": "absent when all is well, else [one of these](#errors-of-calls)",
    "error_message": "the exception's; without content its name and code",
    "http_status": "of the last reply",
    "retries": "how often the SDK sent the request again",
    "finish_reasons": "of each choice, or the status of a response",
    "service_tier": "as the answer names it",
    "usage": "the tokens that the answer reports; a count with a longer name is a part of `input_tokens` or `output_tokens`",
    "usage_unknown": "[why there is no `usage`](#why-tokens-are-not-known)",
    "cost": "in US dollars; `input_usd`, `input_cached_usd` and `output_usd` add up to `total_usd`",
    "unpriced": "[why there is no `cost`](#why-a-call-has-no-price)",
    "provider_cost": "what the answer itself says that the call cost, in a unit of its own",
    "headers": "rate limits, `openai-processing-ms`, `openai-organization`, `openai-project`",
    "trace_id": "of OpenTelemetry's span around the call",
    "span_id": "of that span",
    "attributes": "what `attributes()` says of the call",
    "request": "the body that was sent, redacted; absent without content",
    "response": "the body that came, of a stream put together; absent without content",
    "identifiers": "the request's `user`, `safety_identifier`, `prompt_cache_key` and `metadata`",
    "cut": "present when the line holds less than the call did",
    "content_left_out": "why the content is missing: its redaction raised",
}

METADATA = {
    "operation": "as in the line",
    "provider": "as in the line",
    "model": "the one that answered, else the one that was asked for",
    "request_id": "as in the line",
    "trace_id": "as in the line",
    "span_id": "as in the line",
    "error_type": "as in the line",
    "finish_reason": "the first of the line's `finish_reasons`",
    "input_tokens": "of `usage`",
    "output_tokens": "of `usage`",
    "cost_usd": "the `total_usd` of `cost`",
    "openai_user": "the request's `user`",
    "openai_safety_identifier": "the request's `safety_identifier`",
    "openai_prompt_cache_key": "the request's `prompt_cache_key`",
}

ERRORS = {
    "bad_request": "the server finds fault with the request",
    "authentication": "no key, or a wrong one",
    "permission_denied": "the key may not do this",
    "not_found": "no such model, response or path",
    "conflict": "what is asked for does not go with what is there",
    "unprocessable_entity": "well-formed, and cannot be done",
    "rate_limit": "too many requests or tokens, or no money left",
    "server_error": "the server failed; any status from 500 on",
    "timeout": "no answer in time",
    "connection": "the connection could not be made, or broke",
    "invalid_response": "the answer is not what the SDK can read",
    "length_limit": "`parse()` of an answer that the length limit cut off",
    "content_filter": "a filter stopped the question or the answer",
    "cancelled": "the caller's task or program was ended while it waited",
    "abandoned": "the caller let go of a stream before its end",
    "other": "none of these",
}

USAGE_UNKNOWN = {
    "not_reported": "the answer does not say",
    "never_told": "no answer of this endpoint says: videos, training, sessions and [others](endpoints.md)",
    "invalid": "its `usage` cannot be read",
    "invalid_body": "the answer is no JSON object",
    "unreadable": "reading the answer failed; the library's log says how",
    "not_read": "the caller never read the answer's body, or it was too large to be kept",
    "background": "the response is still being made; what a later look at it tells is counted then",
}

DROPPED = {
    "queue_full": "more comes than the back end takes, or it takes nothing: `queue_bytes` and the number of calls are full",
    "sampled": "left out of the log on purpose, by `log_sample_ratio`",
    "fault": "a mistake of this library; its log has the traceback",
    "rejected": "the back end refuses it, and always will; the library's log has its words",
    "too_large": "one entry is more than the back end takes",
    "misconfigured": "address, token or path were wrong for as long as is waited for",
    "retry_exhausted": "the back end was away or failing for as long as is waited for",
    "unconfirmed": "a sample was sent and no answer came; sending it again might count it twice",
    "clock": "the machine's clock was set back, and the time of a new sample would have to be far in the future",
    "shutdown": "the process ended before it could be delivered",
    "closed": "the call ended after `close()`, or `close()` could not deliver it in time",
    "spool_full": "the oldest in the spool made room for newer ones: `spool_bytes`",
    "expired": "it was in the spool for longer than `spool_age`",
    "corrupt": "a file of the spool was damaged",
    "purged": "somebody called `client.monitoring.purge()`",
}
