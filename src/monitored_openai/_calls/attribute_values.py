"""Converts the value of an attribute to text."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from monitored_openai._json import enum_value

_WRITTEN: tuple[tuple[type[Any], Callable[[Any], str]], ...] = (
    (bool, lambda value: "true" if value else "false"),
    (int, int.__repr__),
    (float, lambda value: float.__repr__(value) if math.isfinite(value) else ""),
    (Decimal, lambda value: str(Decimal(value)) if value.is_finite() else ""),
    (UUID, UUID.__str__),
    (date, lambda value: value.isoformat() if value == value else ""),  # noqa: PLR0124 - the NaT of pandas is a date
    (time, time.isoformat),
)
"""The first matching row decides; `bool` comes first because it is a subclass of `int`."""


def attribute_text(value: object) -> str | None:
    """Return the text form of a value; `None` if it has no text form or the text is empty. Never raises.

    Texts, numbers, `UUID`, `date`, `datetime`, `time`, enum members (by their values) and NumPy scalars have one.
    Containers, bytes, NaN, infinities, `None` and other objects have none, because their `str` is useless as a label.
    """
    if type(value) is str:
        return value or None
    try:
        return _written(enum_value(_unpacked(value))) or None
    except Exception:  # a subclass may override any method, and an error must not stop the caller's request
        return None


def _written(value: object) -> str | None:
    if isinstance(value, str):
        return str.__str__(value)
    for kind, write in _WRITTEN:
        if isinstance(value, kind):
            text = write(value)
            return str.__str__(text)
    return None


def _unpacked(value: object) -> object:
    """Return the Python value of a NumPy scalar, without an import of NumPy."""
    numpy: Any = sys.modules.get("numpy")
    scalar: Any = value
    return scalar.item() if numpy is not None and isinstance(value, numpy.generic) else value
