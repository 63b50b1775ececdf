"""Validates the names and values of labels by the rules of Prometheus, Mimir and Loki."""

from __future__ import annotations

import re

from monitored_openai._redaction.redactor import without_secrets

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
_RESERVED_NAMES = frozenset(
    "job instance environment service_name shard replay detected_level le quantile error_type kind reason signal"
    " resource organization project id operation provider model request_model request_id trace_id span_id"
    " finish_reason input_tokens output_tokens cost_usd".split()
)
"""Names of labels and structured metadata that this library or a back end sets."""
_RESERVED_PREFIXES = ("__", "gen_ai_", "openai_")
OPTIONAL_LABELS = {
    "service_tier": "openai_response_service_tier",
    "server_address": "server_address",
    "input_size": "input_size",
}
"""Labels by their names in the setting `optional_labels`. The setting adds them to all metrics of finished calls."""
_MOST_VALUE_BYTES = 1024
"""Half of the default limit of Mimir and Loki, because the library appends text to the label `instance`."""


class InvalidValue(ValueError):
    """An invalid value. The message states the fault and the fix, and never contains the value."""


def label_name(text: str) -> str:
    """Return the name if a user may choose it for a label or an attribute.

    Raises:
        InvalidValue: The name is illegal or reserved, or the library sets it itself.
    """
    if not _NAME.fullmatch(text):
        raise InvalidValue("has an illegal label name; use 1 to 128 of A-Z a-z 0-9 _ and no digit first")
    if text.startswith(_RESERVED_PREFIXES):
        raise InvalidValue(
            "has a label name that begins with __, gen_ai_ or openai_, which are reserved; choose another"
        )
    if text in _RESERVED_NAMES:
        raise InvalidValue("has a label name that the library sets itself; choose another")
    return text


def check_label_value(text: str) -> str:
    """Return the value of a label in the settings if it has one line and at most 1,024 bytes.

    Raises:
        InvalidValue: The value is empty, too long or not printable.
    """
    if not text.strip():
        raise InvalidValue("is empty; give it a value or leave it out")
    if not text.isprintable():  # lone surrogates are not printable either
        raise InvalidValue("has a line break, a control character or broken Unicode in it; remove it")
    if len(text.encode()) > _MOST_VALUE_BYTES:
        raise InvalidValue(f"is longer than {_MOST_VALUE_BYTES} bytes; shorten it")
    return text


def is_short(text: str) -> bool:
    """Return true if `clip_label_value` surely returns the text, and any part of it, unchanged."""
    return len(text) <= _MOST_VALUE_BYTES // 4 and text.isascii()


def clip_label_value(text: str) -> str:
    """Return the text as valid UTF-8, cut to 1,024 bytes; a value of a call is never refused."""
    if is_short(text):
        return text
    whole = without_secrets(text)  # before the cut, because no rule finds a secret whose end is cut off
    return whole.encode("utf-8", "replace")[:_MOST_VALUE_BYTES].decode("utf-8", "ignore")
