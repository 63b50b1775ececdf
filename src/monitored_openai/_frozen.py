"""Makes frozen dataclasses cheap to create: the exporter creates several for each call."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from functools import wraps
from typing import Any, TypeVar

_Class = TypeVar("_Class", bound=type[Any])


def quick_init(cls: _Class) -> _Class:
    """Give a frozen dataclass with keyword arguments and without slots an `__init__` that takes a third of the time.

    The `__init__` of `dataclass` sets each field by a call of `object.__setattr__`; this one writes into the instance's
    dictionary. All else stays the same: the signature, the defaults, and that instances cannot be changed.
    """
    members: tuple[Field[Any], ...] = fields(cls)
    # The names are those of the class's own fields, so nothing from outside becomes code.
    parameters = "".join(f", {one.name}={_default(one)}" if _default(one) else f", {one.name}" for one in members)
    lines = (f"    _quick_values[{one.name!r}] = {_value(one)}\n" for one in members)
    source = f"def __init__(self, *{parameters}):\n    _quick_values = self.__dict__\n{''.join(lines)}"
    scope: dict[str, Any] = {"_QUICK_MISSING": MISSING, "_quick_fields": {one.name: one for one in members}}
    exec(source, scope)  # noqa: S102  # see above; `dataclass` itself creates its methods in this way
    cls.__init__ = wraps(cls.__init__)(scope["__init__"])
    return cls


def _default(one: Field[Any]) -> str:
    """Return the source of a parameter's default; empty if the parameter has none."""
    if one.default is not MISSING:
        return f"_quick_fields[{one.name!r}].default"
    return "_QUICK_MISSING" if one.default_factory is not MISSING else ""


def _value(one: Field[Any]) -> str:
    """Return the source of the value that a field gets."""
    if one.default_factory is MISSING:
        return one.name
    return f"_quick_fields[{one.name!r}].default_factory() if {one.name} is _QUICK_MISSING else {one.name}"
