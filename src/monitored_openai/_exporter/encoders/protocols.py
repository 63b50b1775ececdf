"""The protocols that metrics are pushed by, each as a value: how samples become the body of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitored_openai._exporter.encoders import influx, remote_write


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The pure functions of one protocol."""

    headers: Mapping[str, str]
    encode_labels: Callable[[str, Iterable[tuple[str, str]]], bytes]
    """Name and labels to the bytes that stand for a series."""
    encode_series: Callable[[bytes, Sequence[tuple[float | None, int]]], bytes]
    """Such bytes, and (value, milliseconds) in the order of time, to a part of a body; `None` ends the series."""
    encode_push: Callable[[Iterable[bytes]], bytes]
    """Parts to a body."""


PROTOCOLS: Mapping[str, Protocol] = {
    "remote_write": Protocol(
        headers=remote_write.HEADERS,
        encode_labels=remote_write.encode_labels,
        encode_series=remote_write.encode_series,
        encode_push=remote_write.encode_push,
    ),
    "influx": Protocol(
        headers=influx.HEADERS,
        encode_labels=influx.encode_labels,
        encode_series=influx.encode_series,
        encode_push=influx.encode_push,
    ),
}
"""By the value of the setting `metrics_protocol`."""
