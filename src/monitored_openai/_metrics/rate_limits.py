"""Rate limits from the headers of responses, as gauges that are valid until the reset.

Each provider, model, organization and project has its own limits, common to all kinds of calls. The newest headers apply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from monitored_openai._labels import clip_label_value
from monitored_openai._metrics.names import LIMIT, REMAINING, RESET
from monitored_openai._metrics.series import Labels, Sample
from monitored_openai._record import CallRecord
from monitored_openai._redaction.redactor import without_secrets

_RESOURCES = tuple(
    (resource, *(f"x-ratelimit-{what}-{resource}" for what in ("limit", "remaining", "reset")))
    for resource in ("requests", "tokens")
)
"""Each resource, with the names of its headers."""
_MOST_DIGITS = 16
_NUMBER = re.compile(r"[0-9]{1,16}(?:\.[0-9]{1,12})?", re.ASCII)
_PART = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,12})?)(d|h|ms|m|us|µs|μs|ns|s)", re.ASCII)
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_LONGEST_TEXT = 64
_LONGEST_SECONDS = 31 * 86400.0
"""Limit for a duration. Some servers send the time of the reset instead, which is a larger number."""
_WITHOUT_RESET_SECONDS = 60.0
"""Validity of a limit without a reset header, because limits are per minute."""
_SET_BACK_SECONDS = 300.0
"""The clock was set back if a call ends this many seconds before the newest headers."""


def number(text: str | None) -> float | None:
    """Parse a number of zero or more; return `None` for other texts."""
    if text is None:
        return None
    whole = text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS  # fast, and true for most headers
    return float(text) if whole or _NUMBER.fullmatch(text) else None


def seconds(text: str | None) -> float | None:
    """Parse a duration such as `1h0m3s`, `1m2.5s`, `6ms` or plain seconds to seconds; return `None` for other texts."""
    if text is None or not text or len(text) > _LONGEST_TEXT:
        return None
    total = number(text)
    if total is None:
        if _PART.sub("", text):
            return None
        total = sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(text))
    return total if total <= _LONGEST_SECONDS else None


_Key: TypeAlias = tuple[str, str | None, str | None, str | None, str]
"""Provider, model, organization, project and resource, unchanged."""


class _Observation(NamedTuple):
    """The limit of one resource in one response."""

    at: float
    """Time of the headers, in seconds since the epoch."""
    limit: float | None
    remaining: float | None
    reset: str | None


class RateLimits:
    """The newest rate limits; not thread-safe."""

    def __init__(self, *, max_label_sets: int, shown_seconds: float) -> None:
        """Create an empty store.

        Args:
            max_label_sets: the largest number of label sets. The store ignores limits beyond it, because one gauge for
                several models would be meaningless.
            shown_seconds: the shortest validity of a value in seconds, because many resets precede the next push.
        """
        self._max_label_sets = max_label_sets
        self._shown_seconds = shown_seconds
        self._observations: dict[Labels, _Observation] = {}
        self._labels: dict[_Key, Labels] = {}
        self.left_out = 0

    def fold(self, record: CallRecord) -> None:
        """Add the limits in the headers of a call's response."""
        headers = record.headers
        for resource, limited, left, reset in _RESOURCES:
            limit, remaining = number(headers.get(limited)), number(headers.get(left))
            if limit is None and remaining is None:
                continue
            labels = self._labels_of(record, resource)
            observation = _Observation(_headers_came_at(record), limit, remaining, headers.get(reset))
            before = self._observations.get(labels)
            if before is None and len(self._observations) >= self._max_label_sets:
                self.left_out += 1
            elif before is None or observation.at >= before.at or before.at - record.ended_ns / 1e9 > _SET_BACK_SECONDS:
                self._observations[labels] = observation

    def samples(self, now: float) -> Iterator[Sample]:
        """Yield the values that are valid at this time, in seconds since the epoch."""
        for labels, observation in self._observations.items():
            wait = seconds(observation.reset)
            lasts = max(_WITHOUT_RESET_SECONDS if wait is None else wait, self._shown_seconds)
            if observation.at - _SET_BACK_SECONDS < now < observation.at + lasts:
                resets_at = None if wait is None else observation.at + wait
                for metric, value in (
                    (LIMIT, observation.limit),
                    (REMAINING, observation.remaining),
                    (RESET, resets_at),
                ):
                    if value is not None:
                        yield Sample(metric.name, labels, value, cumulative=False, at=observation.at)

    def _labels_of(self, record: CallRecord, resource: str) -> Labels:
        """Return the labels of one resource, from a cache, because building them is the slowest step."""
        headers = record.headers
        organization, project = headers.get("openai-organization"), headers.get("openai-project")
        key = (record.provider, record.request_model, organization, project, resource)
        labels = self._labels.get(key)
        if labels is None:
            labels = _labels(*key)
            if len(self._labels) < self._max_label_sets:
                self._labels[key] = labels
        return labels


def _headers_came_at(record: CallRecord) -> float:
    """Return the latest possible time of the headers, in seconds since the epoch: the first chunk, or the end."""
    if record.time_to_first_chunk is None:
        return record.ended_ns / 1e9
    return record.started_ns / 1e9 + record.time_to_first_chunk


def _labels(provider: str, model: str | None, organization: str | None, project: str | None, resource: str) -> Labels:
    optional = (("gen_ai_request_model", model), ("organization", organization), ("project", project))
    texts = tuple((name, clip_label_value(without_secrets(text))) for name, text in optional if text)
    return (("gen_ai_provider_name", provider), *texts, ("resource", resource))
