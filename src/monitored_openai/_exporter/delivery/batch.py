"""Log entries that go in one request, and how they are divided."""

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
    """Where they are on disk, if they are."""
    sent_as_replay: bool | None = None
    """Under which labels the back end may have them already; `None` when it cannot."""
    as_replay: bool = False
    """Under which labels they go now."""
    reformed: Form | None = None
    """The part of its one entry that was made smaller last."""
    few_labels: bool = False
    """Whether they go with few labels."""
    is_trial: bool = False
    """Goes in full although the back end has refused that before."""
    tries_form: bool = False
    """The trial includes an entry that would go in a smaller form."""
    due_at: float | None = None
    """Put aside until then, in monotonic seconds, while others go first."""
    retry: RetryState = field(default_factory=RetryState)

    @property
    def size(self) -> int:
        """Bytes, as the books in memory have them."""
        return sum(len(entry.encoded) for entry in self.entries)

    def halves(self) -> tuple[Batch, Batch]:
        """The two that it is split into."""
        middle = len(self.entries) // 2
        return self._part(self.entries[:middle], self.retry), self._part(self.entries[middle:], self.retry)

    def cut(self, most_bytes: int) -> tuple[Batch, Batch | None]:
        """As many of its first entries as fit, at least one, and the rest. Failures so far were those of the whole."""
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
        """Entries that lost something on the way, and nothing before."""
        return sum(entry.is_cut or (loses_labels and not is_cut_line(entry)) for entry in self.entries)
