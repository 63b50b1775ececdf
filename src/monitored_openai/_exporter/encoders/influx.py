"""Influx line protocol: samples to lines, without state; for Grafana Cloud, VictoriaMetrics and InfluxDB.

    openai,environment=default,job=integrations/openai promptTokens=12.0 1764000000000000000

A receiver for Prometheus joins measurement and field by an underscore, so a metric's name is cut at its last one.
Nanoseconds are what every receiver reads alike: they are the default, which Grafana Cloud holds to, and too long for
VictoriaMetrics to take them for anything else, which guesses the unit by the number of digits.
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
"""A line break in a tag would end the line, whatever is put before it; each control has a picture in Unicode."""
_STAND_INS = {
    **_PICTURES,
    **{ord(picture): _BACKSLASH_LIKE + picture for picture in _PICTURES.values()},
    ord(_BACKSLASH_LIKE): f"{_BACKSLASH_LIKE}.",
}
"""What stands for something else is marked where it stands for itself, so that no two texts become one series."""
_AMBIGUOUS_BACKSLASH = re.compile(r"\\(?=[\\,= ]|$)")
"""One that a parser may take for the escape of what follows; some know it escaped by a second one, some do not."""
_SPECIAL = re.compile(r"([,= ])")


def encode_labels(name: str, labels: Iterable[tuple[str, str]]) -> bytes:
    """The beginning of a line, up to the value: tags sorted, empty ones left out. Worth keeping per series."""
    measurement, _, field = name.rpartition("_")
    tags = "".join(f",{_escaped(label)}={_escaped(value)}" for label, value in sorted(labels) if value)
    return f"{_escaped(measurement)}{tags} {_escaped(field)}=".encode("utf-8", "replace")


def encode_series(labels: bytes, samples: Sequence[tuple[float | None, int]]) -> bytes:
    """A line for each sample; samples are (value, milliseconds).

    What is no finite number has no line, nor has the `None` by which a series ends: lines cannot say that.
    """
    return b"".join(
        b"%b%b %d\n" % (labels, repr(float(value)).encode("ascii"), milliseconds * 1_000_000)
        for value, milliseconds in samples
        if value is not None and math.isfinite(value)
    )


def encode_push(series: Iterable[bytes]) -> bytes:
    """The body of a request."""
    return gzip.compress(b"".join(series), _LEVEL, mtime=0)


def _escaped(text: str) -> str:
    """The text as a tag's key or value that no receiver takes for anything else than the whole of it."""
    plain = _AMBIGUOUS_BACKSLASH.sub(_BACKSLASH_LIKE, text.translate(_STAND_INS))
    return _SPECIAL.sub(r"\\\1", plain)
