"""An immutable mapping for settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

_Item_co = TypeVar("_Item_co", covariant=True)


class FrozenMapping(Mapping[str, _Item_co]):
    """An immutable, hashable mapping, so that settings can be compared and shared."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, _Item_co] | None = None) -> None:
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> _Item_co:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)
