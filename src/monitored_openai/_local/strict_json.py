"""Parses untrusted JSON: counts values before it creates any, and returns only finite numbers."""

from __future__ import annotations

import json
import math
import re
from itertools import islice
from typing import Any

_UP_TO_A_MARK = re.compile(
    rb"""(?: [^"\[{,:]++ | "(?: [^"\\]++ | \\. )*+ (?: " | \\?+\Z ) )*+  # plain text, and strings, the last without end
         (?: [\[{,:] | \Z )""",
    re.DOTALL | re.VERBOSE,
)
"""Matches up to a mark that a value follows, as each value except the first does; needs linear time and no memory."""


def values_in(text: bytes, most: int) -> int:
    """Count the values of the JSON, including keys, arrays and objects, up to `most` + 1."""
    return sum(1 for _ in islice(_UP_TO_A_MARK.finditer(text), most + 1))


def parse(text: str | bytes) -> Any:
    """Parse JSON; a number that is not finite becomes `None`.

    Raises:
        ValueError: the text is not JSON, or nested too deep.
    """
    return _loads(text)


def parse_unambiguous(text: str | bytes) -> Any:
    """Parse JSON; reject an object that has the same key twice.

    Raises:
        ValueError: the text is not JSON, is nested too deep, or an object has the same key twice.
    """
    return _loads(text, object_pairs_hook=_object)


def _loads(text: str | bytes, **more: Any) -> Any:
    try:
        return json.loads(text, parse_constant=_nothing, parse_float=_finite, **more)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _nothing(_: str) -> None:
    return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same key twice")
    return found
