"""Finds the known cause of a refusal in its text, and describes the cause in a fixed phrase. Does no I/O.

The text of a reply may quote the request, which holds prompts, answers and credentials. A log line gets only these
phrases.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Cause(StrEnum):
    """Why a back end refuses a push; the value is the phrase for a log line."""

    NO_TENANT = "no tenant"
    TENANT = "wrong tenant"
    TIME = "timestamp out of range or order"
    METADATA_OFF = "structured metadata not allowed"
    METADATA = "structured metadata limit"
    STREAM_RATE = "per-stream rate limit"
    STREAMS = "stream limit"
    SERIES = "series limit"
    RATE = "rate limit"
    LABELS = "label limit"
    SIZE = "size limit"
    RECEIVER = "remote write receiver not enabled"


_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN = 400, 401, 403
_ACCESS = frozenset({_UNAUTHORIZED, _FORBIDDEN, 407})
_QUOTED = re.compile(
    r"stream '?\{[^{}]*\}'?|(series|label|metric): '[^']*'|to adjust the related per-tenant limit.*", re.DOTALL
)
"""Parts of a text that are not about the cause: labels that were sent, and Mimir's hint to its administrator."""
_CREDENTIALS = re.compile(r"user ?name|password|credential|token|api.?key")


def _rule(cause: Cause, pattern: str) -> tuple[re.Pattern[str], Cause]:
    return re.compile(pattern, re.DOTALL), cause


_NO_TENANT = _rule(Cause.NO_TENANT, r"no org ?id|no tenant|missing tenant|x-scope-orgid")
_TENANT = _rule(Cause.TENANT, r"tenant|org ?id")
_RULES = (
    _rule(
        Cause.TIME,
        r"timestamp (is )?too (old|new|far)|too far (behind|in the (future|past))|too old sample|out of (bounds|order)"
        r"|duplicate sample|same timestamp",
    ),
    _rule(Cause.METADATA_OFF, r"structured metadata, but|structured metadata (is )?(not allowed|disallowed|disabled)"),
    _rule(Cause.METADATA, r"structured metadata"),
    _rule(Cause.STREAM_RATE, r"per.stream rate"),
    _rule(Cause.STREAMS, r"streams? limit|max(imum)?[ _](active[ _])?streams"),
    _rule(Cause.SERIES, r"max[ -](global[ -])?series|per-(user|metric) series limit|series limit"),
    _rule(Cause.RATE, r"(ingestion|request)[ -]rate|rate[ -]limit|too many requests"),
    _rule(Cause.LABELS, r"number of labels|label names?\b|label.value|labels? .{0,80}(limit|too long)|max[ -]label"),
    _rule(Cause.SIZE, r"larger than|too large|entry size|exceeds? .{0,80}(size|length)|body size"),
    _rule(Cause.RECEIVER, r"remote write receiver"),
    _NO_TENANT,
)
_BY_STATUS = {
    **dict.fromkeys(_ACCESS, (_NO_TENANT, _TENANT)),
    _BAD_REQUEST: (*_RULES, _TENANT),
}


def cause_of(status: int, text: str) -> Cause | None:
    """Return the cause that a refusal names; `None` for an unknown text."""
    text = _QUOTED.sub(" ", text.lower())
    cause = next((cause for pattern, cause in _BY_STATUS.get(status, _RULES) if pattern.search(text)), None)
    if cause is Cause.TENANT and status in _ACCESS and _CREDENTIALS.search(text):
        return None
    return cause
