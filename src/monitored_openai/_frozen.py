"""Makes frozen dataclasses cheap to create: the exporter creates several for each call."""

from __future__ import annotations

from dataclasses import MISSING, fields
from functools import wraps
from typing import Any, TypeVar

_Class = TypeVar("_Class", bound=type[Any])


def quick_init(cls: _Class) -> _Class:
    """Replace the `__init__` of a frozen dataclass by one that takes a third of the time.

    The dataclass must have keyword arguments only and no slots. Its own `__init__` sets each field by a call of
    `object.__setattr__`; the new one fills the instance's dictionary in one step. The signature, the defaults and the
    immutability stay the same.
    """
    members = fields(cls)
    defaults = {one.name: one.default for one in members if one.default is not MISSING}
    factories = [(one.name, one.default_factory) for one in members if one.default_factory is not MISSING]
    required = {one.name for one in members} - defaults.keys() - {name for name, _ in factories}
    official, number, names = cls.__init__, len(members), frozenset(one.name for one in members)

    @wraps(official)
    def init(self: Any, /, **given: Any) -> None:
        values = self.__dict__
        if given.keys() == names:  # no default is needed, which saves a quarter of the time
            values.update(given)
            return
        values.update(defaults)
        for name, factory in factories:
            if name not in given:
                values[name] = factory()
        values.update(given)
        if len(values) != number or not required <= given.keys():
            values.clear()
            official(self, **given)  # raises the usual TypeError

    setattr(cls, "__init__", init)  # noqa: B010  # type checkers see the `__init__` of `dataclass`
    return cls
