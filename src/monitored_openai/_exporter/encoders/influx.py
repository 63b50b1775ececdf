"""Encodes samples in the Influx line protocol, for Grafana Cloud, VictoriaMetrics and InfluxDB. Has no state.

    openai,environment=default,job=integrations/openai promptTokens=12.0 1764000000000000000

A receiver for Prometheus joins measurement and field with an underscore, so a metric's name is split at its last one.
Timestamps are in nanoseconds, because every receiver reads these correctly. They are the protocol's default, which
Grafana Cloud requires. VictoriaMetrics guesses the unit from the number of digits, and recognises nanoseconds.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterable, Sequence

HEADERS = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}

_LEVEL = 1
_BACKSLASH_LIKE = "\uff3c"
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
"""Unicode's pictures of control characters. A line break in a tag would end the line, even if escaped."""
_STAND_INS = {
    **_PICTURES,
    **{ord(picture): _BACKSLASH_LIKE + picture for picture in _PICTURES.values()},
    ord(_BACKSLASH_LIKE): f"{_BACKSLASH_LIKE}.",
}
"""A stand-in that occurs in the original text is marked, so that no two texts become one series."""
_AMBIGUOUS_BACKSLASH = re.compile(r"\\(?=[\\,= ]|$)")
"""A backslash that a parser may read as an escape. Only some parsers accept a second backslash as its escape."""
_SPECIAL = re.compile(r"([,= ])")


def encode_labels(name: str, labels: Iterable[tuple[str, str]]) -> bytes:
    """Return a line up to its value, with sorted tags and without empty ones. Worth caching per series."""
    measurement, _, field = name.rpartition("_")
    tags = "".join(f",{_escaped(label)}={_escaped(value)}" for label, value in sorted(labels) if value)
    return f"{_escaped(measurement)}{tags} {_escaped(field)}=".encode("utf-8", "replace")


def encode_series(labels: bytes, samples: Sequence[tuple[float | None, int]]) -> bytes:
    """Return a line for each sample; samples are (value, milliseconds).

    NaN, infinities and the `None` that ends a series have no line, because the protocol cannot express them.
    """
    return b"".join(
        b"%b%b %d\n" % (labels, repr(float(value)).encode("ascii"), milliseconds * 1_000_000)
        for value, milliseconds in samples
        if value is not None and math.isfinite(value)
    )


def encode_push(series: Iterable[bytes]) -> bytes:
    """Return the body of a request."""
    return gzip.compress(b"".join(series), _LEVEL, mtime=0)


def _escaped(text: str) -> str:
    """Return the text as a tag's key or value that every receiver reads in full."""
    plain = _AMBIGUOUS_BACKSLASH.sub(_BACKSLASH_LIKE, text.translate(_STAND_INS))
    return _SPECIAL.sub(r"\\\1", plain)
