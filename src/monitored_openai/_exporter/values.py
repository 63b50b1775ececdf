"""Values that the queue, the spool and the pushers exchange."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """An encoded log entry on its way to Loki."""

    shard: int | None
    """The shard of its stream; `None` if `log_shards` is 1."""
    encoded: bytes
    at_ns: int
    id: int = 0
    """Its row in the spool."""
    smaller: bytes | None = None
    """A smaller form, after the back end has refused `encoded`."""
    is_cut: bool = False
    """True if `smaller` leaves something out for the first time. The ledger does not count the entry as cut yet."""

    @property
    def sent(self) -> bytes:
        """The form to send."""
        return self.encoded if self.smaller is None else self.smaller

    def as_sent(self, smaller: bytes, *, cut: bool) -> Entry:
        """Return the same entry in a smaller form."""
        return self._replace(smaller=smaller, is_cut=self.is_cut or cut)


class CounterSnapshot(NamedTuple):
    """The counters as the body of a push, for another process to send if this one dies."""

    body: bytes
    without_births: bytes | None
    """The same body without the zeros that begin new series; `None` if it has none."""
