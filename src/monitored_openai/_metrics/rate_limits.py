"""The rate limits that replies tell of, as gauges that hold until the limit is reset.

One value belongs to a provider, a model, an organization and a project, whichever kind of call asked. Of several replies
the newest speaks: the one whose headers came last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from monitored_openai._labels import clip_label_value
from monitored_openai._metrics.store import Labels, Metric, Sample
from monitored_openai._record import CallRecord
from monitored_openai._redaction.redactor import without_secrets

LIMIT = Metric("openai_ratelimit_limit", "gauge", "What may be used until the reset, as the newest reply said.")
REMAINING = Metric("openai_ratelimit_remaining", "gauge", "What is left of the limit, as the newest reply said.")
RESET = Metric("openai_ratelimit_reset_timestamp_seconds", "gauge", "When all of the limit is available again.")
RATE_LIMIT_METRICS = (LIMIT, REMAINING, RESET)

_RESOURCES = tuple(
    (resource, *(f"x-ratelimit-{what}-{resource}" for what in ("limit", "remaining", "reset")))
    for resource in ("requests", "tokens")
)
"""Each resource, and the headers that tell of it."""
_NUMBER = re.compile(r"[0-9]{1,16}(?:\.[0-9]{1,12})?", re.ASCII)
_PART = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,12})?)(d|h|ms|m|us|µs|μs|ns|s)", re.ASCII)
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_LONGEST_TEXT = 64
_LONGEST_SECONDS = 31 * 86400.0
"""A larger number is no duration; some servers give the time of the reset."""
_WITHOUT_RESET_SECONDS = 60.0
"""How long a limit is believed whose reply does not say when it is reset: limits are per minute."""
_SET_BACK_SECONDS = 300.0
"""No call ends that much before the one whose record came before it: the clock has been set back in between."""


def number(text: str | None) -> float | None:
    """A plain number of zero or more, or `None` for what is none."""
    return float(text) if text is not None and _NUMBER.fullmatch(text) else None


def seconds(text: str | None) -> float | None:
    """A duration such as `1h0m3s`, `1m2.5s`, `6ms`, or plain seconds; `None` for what is none."""
    if text is None or not text or len(text) > _LONGEST_TEXT:
        return None
    total = number(text)
    if total is None:
        if _PART.sub("", text):
            return None
        total = sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(text))
    return total if total <= _LONGEST_SECONDS else None


_Who: TypeAlias = tuple[str, str | None, str | None, str | None, str]
"""Provider, model, organization, project and resource, as they came."""


class _Told(NamedTuple):
    """What one reply, whose headers came so many seconds since the epoch, said of one resource."""

    at: float
    limit: float | None
    remaining: float | None
    reset: str | None


class RateLimits:
    """What the newest replies said, for one reader or writer at a time."""

    def __init__(self, *, max_label_sets: int, shown_seconds: float) -> None:
        """Each value is shown for `shown_seconds` at least, as many a reset is over before anybody could have read it.

        There are no more than `max_label_sets`; a gauge of several models together would say nothing.
        """
        self._max_label_sets = max_label_sets
        self._shown_seconds = shown_seconds
        self._told: dict[Labels, _Told] = {}
        self._labels: dict[_Who, Labels] = {}
        self.left_out = 0

    def fold(self, record: CallRecord) -> None:
        """Take in what a call's reply said."""
        headers = record.headers
        for resource, limited, left, reset in _RESOURCES:
            limit, remaining = number(headers.get(limited)), number(headers.get(left))
            if limit is None and remaining is None:
                continue
            labels = self._labels_of(record, resource)
            told = _Told(_headers_came_at(record), limit, remaining, headers.get(reset))
            before = self._told.get(labels)
            if before is None and len(self._told) >= self._max_label_sets:
                self.left_out += 1
            elif before is None or told.at >= before.at or before.at - record.ended_ns / 1e9 > _SET_BACK_SECONDS:
                self._told[labels] = told

    def samples(self, now: float) -> Iterator[Sample]:
        """What holds at this time, in seconds since the epoch."""
        for labels, told in self._told.items():
            wait = seconds(told.reset)
            lasts = max(_WITHOUT_RESET_SECONDS if wait is None else wait, self._shown_seconds)
            if told.at - _SET_BACK_SECONDS < now < told.at + lasts:
                resets_at = None if wait is None else told.at + wait
                for metric, value in ((LIMIT, told.limit), (REMAINING, told.remaining), (RESET, resets_at)):
                    if value is not None:
                        yield Sample(metric.name, labels, value, cumulative=False)

    def _labels_of(self, record: CallRecord, resource: str) -> Labels:
        """The labels of one resource, which take longer to make than all else here."""
        headers = record.headers
        organization, project = headers.get("openai-organization"), headers.get("openai-project")
        who = (record.provider, record.request_model, organization, project, resource)
        labels = self._labels.get(who)
        if labels is None:
            labels = _labels(*who)
            if len(self._labels) < self._max_label_sets:
                self._labels[who] = labels
        return labels


def _headers_came_at(record: CallRecord) -> float:
    """A stream's headers come with its first chunk and are old by its end."""
    if record.time_to_first_chunk is None:
        return record.ended_ns / 1e9
    return record.started_ns / 1e9 + record.time_to_first_chunk


def _labels(provider: str, model: str | None, organization: str | None, project: str | None, resource: str) -> Labels:
    told = (("gen_ai_request_model", model), ("organization", organization), ("project", project))
    texts = tuple((name, clip_label_value(without_secrets(text))) for name, text in told if text)
    return (("gen_ai_provider_name", provider), *texts, ("resource", resource))
