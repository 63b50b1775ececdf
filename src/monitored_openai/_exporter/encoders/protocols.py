"""The push protocols for metrics, each as a set of functions that encode samples as the body of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitored_openai._exporter.encoders import influx, remote_write


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The pure functions of one protocol."""

    headers: Mapping[str, str]
    encode_labels: Callable[[str, Iterable[tuple[str, str]]], bytes]
    """Encodes a name and labels as the bytes that identify a series."""
    encode_series: Callable[[bytes, Sequence[tuple[float | None, int]]], bytes]
    """Encodes one series as a part of a body, from the bytes of `encode_labels` and samples in the order of time.

    A sample is (value, milliseconds); the value `None` ends the series.
    """
    encode_push: Callable[[Iterable[bytes]], bytes]
    """Joins parts into a body."""


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
"""The protocols by value of the setting `metrics_protocol`."""
