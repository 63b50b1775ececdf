"""Log entries that one request sends together, and the division of such a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from monitored_openai._exporter.delivery.reduced_entries import Form, is_cut_line
from monitored_openai._exporter.delivery.retry import RetryState
from monitored_openai._exporter.values import Entry

if TYPE_CHECKING:
    from monitored_openai._exporter.spool.file import SpoolFile


@dataclass(slots=True, eq=False)
class Batch:
    """Entries that go in one request."""

    entries: Sequence[Entry]
    file: SpoolFile | None
    """The spool file that holds the entries; `None` if they are in memory only."""
    sent_as_replay: bool | None = None
    """`None` if the back end surely has not stored the entries; else whether they had the label `replay` when sent."""
    as_replay: bool = False
    """True if the next request has the label `replay`."""
    reformed: Form | None = None
    """The part that was made smaller last, if the batch has a single entry."""
    few_labels: bool = False
    """True if the entries go with few labels."""
    is_trial: bool = False
    """True if the batch goes in full although the back end has refused that before."""
    tries_form: bool = False
    """True if the trial includes an entry that would otherwise go in a smaller form."""
    due_at: float | None = None
    """Monotonic seconds until which the batch is put aside while others go first; `None` if it is not."""
    retry: RetryState = field(default_factory=RetryState)

    @property
    def size(self) -> int:
        """Bytes of the entries in full, as the ledger counts them."""
        return sum(len(entry.encoded) for entry in self.entries)

    def halves(self) -> tuple[Batch, Batch]:
        """Return the two halves of the batch."""
        middle = len(self.entries) // 2
        return self._part(self.entries[:middle], self.retry), self._part(self.entries[middle:], self.retry)

    def cut(self, most_bytes: int) -> tuple[Batch, Batch | None]:
        """Return the first entries that fit, at least one, and the rest; if divided, both start without failures."""
        size = 0
        for number, entry in enumerate(self.entries):
            size += len(entry.encoded)
            if number and size > most_bytes:
                first, rest = self.entries[:number], self.entries[number:]
                return self._part(first, RetryState()), self._part(rest, RetryState())
        return self, None

    def _part(self, entries: Sequence[Entry], retry: RetryState) -> Batch:
        return Batch(
            entries, self.file, self.sent_as_replay, self.as_replay, self.reformed, self.few_labels, retry=retry
        )

    def cuts(self, *, loses_labels: bool) -> int:
        """Return the number of entries that the delivery cut, without those that were cut before."""
        return sum(entry.is_cut or (loses_labels and not is_cut_line(entry)) for entry in self.entries)
