"""The spool: a directory with one file for each exporter, for its entries and counters until the back end has them.

Each handle of a process has an exporter, which owns one file. The next process with the same destination adopts the
files of a process that has died. Any process removes a file without an owner that has not changed for `spool_age`
seconds.
"""

from __future__ import annotations

import errno
import hashlib
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monitored_openai._exporter.spool.directory import SpoolDirectory, is_damage, what_failed
from monitored_openai._exporter.spool.file import SpoolFile
from monitored_openai._exporter.values import CounterSnapshot, Entry
from monitored_openai._logging import warn_sparsely
from monitored_openai._stats import DropReason

if TYPE_CHECKING:
    from monitored_openai._settings.model import MonitoringSettings

_LOOK_SECONDS = 1.0
_PAUSE_SECONDS = 10.0
"""Seconds without use of the disk after it has failed."""
_LOG_BYTES = 2 * 1024 * 1024
"""Room for SQLite's log, in addition to the file itself."""
_MOST_ADOPTED = 4
LEAST_FREE_BYTES = 512 * 1024 * 1024
"""Free space that the spool leaves on the disk for other programs."""


class Spool:
    """The file of this exporter, adopted files, and the bounds of the directory."""

    def __init__(
        self,
        directory: SpoolDirectory,
        *,
        most_bytes: int,
        most_seconds: float,
        stream: Mapping[str, str],
        on_evicted: Callable[[int, DropReason], None],
        least_free_bytes: int = LEAST_FREE_BYTES,
    ) -> None:
        """Open no file before the first entry. `on_evicted` is called with the number of lost entries and the reason."""
        self._directory = directory
        self._most_bytes = most_bytes
        self._most_seconds = most_seconds
        self._stream = stream
        self._on_evicted = on_evicted
        self._least_free_bytes = least_free_bytes
        self.own: SpoolFile | None = None
        self.adopted: list[SpoolFile] = []
        """Files of ended processes, and own files that were removed from the directory."""
        self.bytes = 0
        """Size of the whole directory in bytes when it was last measured."""
        self._room = 0
        self._paused_until = self._look_again_at = 0.0

    def oldest_ns(self, now_ns: int) -> int:
        """Return the time in ns before which entries have expired, also if the system's clock was set back."""
        return min(now_ns, time.time_ns()) - int(self._most_seconds * 1e9)

    def write(self, entries: Collection[Entry]) -> bool:
        """Write entries, and evict older ones if no room is left; false if the disk does not accept them now."""
        if time.monotonic() < self._paused_until:
            return False
        try:
            evicted = self._own_file().write(entries, self._room)
        except (sqlite3.Error, OSError) as error:
            self._fails(self.own, error)
            return False
        if evicted:
            self._lose(evicted, "spool_full")
        return True

    def read(self, file: SpoolFile, now_ns: int, most_entries: int, most_bytes: int) -> list[Entry]:
        """Take the oldest entries of a file that may go in one request."""
        if not file.waiting:
            return []
        try:
            if expired := file.expire(self.oldest_ns(now_ns)):
                self._lose(expired, "expired")
            entries, damaged = file.read(most_entries, most_bytes)
        except (sqlite3.Error, OSError) as error:
            self._fails(file, error)
            return []
        if damaged:
            self._lose(damaged, "corrupt")
        return entries

    def mark(self, file: SpoolFile, through: int, *, as_replay: bool) -> None:
        """Record that the back end may have stored all entries up to the id `through`."""
        try:
            file.mark(through, as_replay=as_replay)
        except sqlite3.Error as error:  # after a crash, the next process may choose other labels: a duplicate in Loki
            self._fails(file, error)

    def remove(self, file: SpoolFile, first: int, last: int) -> None:
        """Remove entries that are delivered or dropped."""
        try:
            file.remove(first, last)
        except sqlite3.Error as error:  # the next process sends them again, and log queries show them once
            self._fails(file, error)

    def keep_totals(self, parts: Sequence[CounterSnapshot]) -> bool:
        """Persist counter snapshots for recovery; an empty sequence clears them. False if the disk refuses."""
        if time.monotonic() < self._paused_until:
            return False
        if self.own is None and not parts:
            return True
        try:
            self._own_file().keep_totals(parts)
        except (sqlite3.Error, OSError) as error:
            self._fails(self.own, error)
            return False
        return True

    def totals(self, file: SpoolFile) -> tuple[list[CounterSnapshot], int]:
        """Return the counter snapshots in a file, and the number of damaged ones."""
        try:
            return file.totals()
        except sqlite3.Error as error:
            self._fails(file, error)
            return [], 0

    def forget_totals(self, file: SpoolFile) -> None:
        """Clear the counter snapshots of a file."""
        try:
            file.keep_totals(())
        except sqlite3.Error as error:
            self._fails(file, error)

    def files(self) -> list[SpoolFile]:
        """Return all files that may hold entries to send."""
        return [*self.adopted, *([self.own] if self.own is not None else [])]

    def used_up(self) -> None:
        """Close adopted files that are empty."""
        for file in self.adopted.copy():
            if not file.waiting and self._is_spent(file):
                self.adopted.remove(file)
                file.close()

    def adopt(self) -> tuple[list[SpoolFile], int]:
        """Adopt files of ended processes with the same destination, and remove expired ones of any destination.

        Returns the adopted files, and the number of expired entries.
        """
        adopted: list[SpoolFile] = []
        expired = 0
        for path in self._directory.unowned(self._known()):
            ours = self._directory.is_of_destination(path)
            if self.is_full_of_adopted or not (ours or self._directory.is_older(path, self._most_seconds)):
                continue
            file = self._directory.take_over(path)
            if file is not None and ours:
                self.adopted.append(file)
                adopted.append(file)
            elif file is not None:
                expired += file.waiting
                file.discard()
        return adopted, expired

    @property
    def is_full_of_adopted(self) -> bool:
        """True if the limit of adopted files is reached, so that more may wait."""
        return len(self.adopted) >= _MOST_ADOPTED

    def purge(self) -> None:
        """Remove everything that waits in the own and adopted files, and every file that no process owns."""
        for file in self.files():
            if file.waiting:
                self._lose(file.waiting, "purged")
            file.discard()
        self.own, self.adopted = None, []
        self._directory.purge(())

    def close(self) -> None:
        """Close all files."""
        for file in self.files():
            file.close()
        self.own, self.adopted = None, []

    def forked(self) -> None:
        """Close the parent's lock files in a forked child; the parent keeps its locks."""
        for file in self.files():
            file.forked()

    def _is_spent(self, file: SpoolFile) -> bool:
        try:
            return file.is_spent()
        except sqlite3.Error as error:
            self._fails(file, error)
            return False

    def _lose(self, entries: int, reason: DropReason) -> None:
        warn_sparsely(f"spool {reason}", "%d log entries in the spool dropped (%s)", entries, reason)
        self._on_evicted(entries, reason)

    def _fails(self, file: SpoolFile | None, error: Exception) -> None:
        """Set a damaged file aside. After other errors, stop using the disk for 10 s."""
        if file is not None and file not in self.files():  # set aside already; its entries in memory are still sent
            return
        if file is not None and is_damage(error):
            warn_sparsely("damaged", "a damaged file of the spool was set aside: %s", what_failed(error))
            if file is self.own:
                self.own = None
            else:
                self.adopted.remove(file)
            lost = file.waiting
            file.set_aside()
            self._directory.keep_few_set_aside()
            if lost:
                self._lose(lost, "corrupt")
        else:
            self._paused_until = time.monotonic() + _PAUSE_SECONDS
            warn_sparsely("spool", "the spool cannot be used now; its data stays in memory: %s", what_failed(error))

    def look(self) -> None:
        """Notice that the own file was removed from the directory."""
        if self.own is not None and not self.own.is_in_place():
            self.adopted.append(self.own)  # it can be read for as long as it is open
            self.own = None

    def _own_file(self) -> SpoolFile:
        if time.monotonic() >= self._look_again_at:
            self._look_again_at = time.monotonic() + _LOOK_SECONDS
            self.look()
            self.bytes, others = self._directory.sizes(self.own)
            may_grow = max(0, self._directory.free_bytes() - self._least_free_bytes)
            # SQLite reuses the free pages of the file, so the whole size of the file counts as room.
            own = self.own.size() if self.own is not None else 0
            self._room = min(
                self._most_bytes - others - _LOG_BYTES, own + may_grow if may_grow else min(self._room, own)
            )
        if self.own is None:
            if self._room <= 0:
                raise OSError(errno.ENOSPC, "the size limit or the disk leaves no room for a file")
            self.own = self._directory.create(self._stream)
        return self.own

    def _known(self) -> list[Path]:
        return [file.path for file in self.files()]


def open_spool(
    settings: MonitoringSettings, stream: Mapping[str, str], on_evicted: Callable[[int, DropReason], None]
) -> Spool:
    """Return the spool for the settings; `spool_dir` must be set."""
    return Spool(
        SpoolDirectory(Path(settings.spool_dir or ""), _destination(settings)),
        most_bytes=settings.spool_bytes,
        most_seconds=settings.spool_age,
        stream=stream,
        on_evicted=on_evicted,
    )


def _destination(settings: MonitoringSettings) -> str:
    """Return a hash of the back ends and accounts. Processes adopt files with the same hash; a token may change meanwhile."""
    where = (settings.logs_url, settings.logs_username, settings.metrics_url, settings.metrics_username)
    return hashlib.sha256(repr((*where, settings.metrics_protocol, settings.tenant_id)).encode()).hexdigest()[:12]
