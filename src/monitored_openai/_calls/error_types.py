"""Maps errors to the values of the label `error_type`.

Identifies an exception by the class names in its method resolution order, because this module imports neither the SDK
nor an HTTP library. In the middle of a stream, SDK 1.x and 2.x raise transport errors of httpx; SDK 3.x uses httpx2 and
wraps its errors.
"""

from __future__ import annotations

import re
from typing import Any

from monitored_openai._record import ErrorType

SPECIFIC: frozenset[ErrorType] = frozenset(
    {"insufficient_quota", "content_filter", "context_length_exceeded", "model_not_found", "invalid_api_key"}
)
"""Types that a code in the error can reveal; they replace the type of the status, which several causes may share."""
STATUSES: dict[int, ErrorType] = {
    400: "bad_request",
    401: "authentication",
    402: "insufficient_quota",
    403: "permission_denied",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    422: "unprocessable_entity",
    429: "rate_limit",
}
CLASSES: dict[str, ErrorType] = {
    "CancelledError": "cancelled",
    "Cancelled": "cancelled",  # trio's
    "KeyboardInterrupt": "cancelled",
    "SystemExit": "cancelled",
    "GeneratorExit": "abandoned",
    "APITimeoutError": "timeout",
    "APIConnectionError": "connection",
    "APIResponseValidationError": "invalid_response",
    "LengthFinishReasonError": "length_limit",
    "ContentFilterFinishReasonError": "content_filter",
    "TimeoutException": "timeout",
    "TransportError": "connection",
    "DecodingError": "invalid_response",
    "ValidationError": "invalid_response",
    "JSONDecodeError": "invalid_response",
    "UnicodeDecodeError": "invalid_response",
    "TimeoutError": "timeout",
    "ConnectionError": "connection",
}
CODES: dict[str, ErrorType] = {
    "rate_limit_exceeded": "rate_limit",
    "insufficient_quota": "insufficient_quota",
    "billing_hard_limit_reached": "insufficient_quota",
    "billing_not_active": "insufficient_quota",
    "billing_error": "insufficient_quota",  # Anthropic
    "exceeded_current_quota_error": "insufficient_quota",  # Moonshot
    "Arrearage": "insufficient_quota",  # Alibaba
    "budget_exceeded": "insufficient_quota",  # LiteLLM
    "server_error": "server_error",
    "server_is_overloaded": "server_error",
    "overloaded_error": "server_error",  # Anthropic
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
    "moderation_blocked": "content_filter",
    "bio_policy": "content_filter",
    "misalignment_policy_violation": "content_filter",
    "image_content_policy_violation": "content_filter",
    "ResponsibleAIPolicyViolation": "content_filter",  # Azure
    "data_inspection_failed": "content_filter",  # Alibaba
    "context_length_exceeded": "context_length_exceeded",
    "exceed_context_size_error": "context_length_exceeded",  # llama.cpp
    "model_not_found": "model_not_found",
    "DeploymentNotFound": "model_not_found",  # Azure
    "invalid_model": "model_not_found",  # Mistral, Perplexity
    "model_not_available": "model_not_found",  # Together
    "invalid_api_key": "invalid_api_key",
    "API_KEY_INVALID": "invalid_api_key",  # Google
    "wrong_api_key": "invalid_api_key",  # Cerebras
    "invalid_authentication_error": "invalid_api_key",  # Moonshot
    "token_not_found_in_db": "invalid_api_key",  # LiteLLM
    "invalid_request_error": "bad_request",
    "vector_store_timeout": "timeout",
}
# Codes of the Responses API for faults in the request, most of them in its images.
_BAD_REQUEST = re.compile(r"(invalid|image|unsupported|empty|failed_to_download)_[a-z0-9_]*")
_STATUS = re.compile(r"[45]\d\d")


def error_type(error: BaseException) -> ErrorType:
    """Return the error type of an exception that a call raised."""
    status = status_of(error)
    if status is not None and status >= 400:
        return _of_status(status)
    for cls in type(error).__mro__:
        if cls.__name__ in CLASSES:
            return CLASSES[cls.__name__]
    # An error event inside a stream with status 200 has a code or a type only.
    facts: Any = error
    kind = error_type_of_code(str(getattr(facts, "code", None)))
    return kind if kind != "other" else error_type_of_code(str(getattr(facts, "type", None)))


def error_type_of_code(code: str) -> ErrorType:
    """Return the error type of a code that a response with a good status contains."""
    if code in CODES:
        return CODES[code]
    if _STATUS.fullmatch(code):  # OpenRouter's codes are statuses
        return _of_status(int(code))
    return "bad_request" if _BAD_REQUEST.fullmatch(code) else "other"


def _of_status(status: int) -> ErrorType:
    return STATUSES.get(status, "server_error" if status >= 500 else "other")


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an exception; `None` if it has none."""
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) and not isinstance(status, bool) else None
