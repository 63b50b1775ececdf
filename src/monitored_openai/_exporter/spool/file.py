"""One file of the spool: the log entries and the last counter snapshots of a process, in SQLite.

A commit reaches the system's page cache: it survives the death of the process, but perhaps not a power failure. While
the file has less than 1 MiB of data, a power failure may damage all of it. With more data, checkpoints wait for the disk,
and a power failure costs the last 1 MiB of entries at most. Smaller files do not wait: a wait can take 0.1 s, and calls
that end in this time are in memory only. Each entry has a checksum, because the back end would refuse a whole request for
one damaged entry.

Entries are sent in the order of their ids, so the ones that Loki may have stored are the oldest, up to some id. A retry
must use the same labels, so that Loki recognises these entries.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self

from monitored_openai._exporter.spool.lock import Lock
from monitored_openai._exporter.values import CounterSnapshot, Entry
from monitored_openai._files.databases import DatabaseKind

SUFFIX, LOCK_SUFFIX = ".db", ".lock"
_ALL_SUFFIXES = (SUFFIX, f"{SUFFIX}-wal", f"{SUFFIX}-shm")
_VERSION = 1
_APPLICATION_ID = 0x6D6F5370  # "moSp"
_SCHEMA = f"""
PRAGMA auto_vacuum = INCREMENTAL;
CREATE TABLE entry (id INTEGER PRIMARY KEY, at_ns INTEGER, shard INTEGER, checksum INTEGER, encoded BLOB);
CREATE TABLE state (entries INTEGER, sent INTEGER, sent_as_replay INTEGER, stream TEXT);
CREATE TABLE totals (part INTEGER PRIMARY KEY, checksum INTEGER, body BLOB, without_births BLOB);
INSERT INTO state VALUES (0, 0, 0, '{{}}');
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
"""  # noqa: S608  # two numbers of this file
KIND = DatabaseKind("a file of the spool", _SCHEMA, starts_blank=True)
_PRAGMAS = """
PRAGMA wal_autocheckpoint = 256;
PRAGMA journal_size_limit = 1048576;
PRAGMA secure_delete = FAST;
"""
_WORTH_SHRINKING_PAGES = 256
_ROWS_AT_ONCE = 128
"""Older versions of SQLite allow 999 parameters in a statement; a row has five."""
_ROW_BYTES = 64
"""Bytes of an entry's row in addition to the entry."""
_BACKLOG_BYTES = 1024 * 1024
"""Size of the used pages at and above which a checkpoint waits for the disk. A power failure may cost 1 MiB even then,
because the log of SQLite has room for 1 MiB between two checkpoints."""
_MEASURED_EVERY_BYTES = 256 * 1024
_LAST = 2**63 - 1
LONGEST_SPAN_NS = 30 * 60 * 10**9
"""Longest time between the entries of one request: in a retry, the first must not be an hour behind the last."""
EVICTED_AT_ONCE_BYTES = 1024 * 1024


class SpoolFile:
    """An open file, owned by this process.

    Every method may raise `sqlite3.Error`: `OperationalError` if the disk fails, another one if the file is damaged.
    """

    def __init__(self, path: Path, lock: Lock) -> None:
        """Open an existing file; `close` releases `lock`.

        Raises:
            NotOurs: this program did not make the file, or another user can change it.
        """
        self.path = path
        self._lock = lock
        self._found = KIND.recognise(path)
        # The exporter's thread uses it; at exit without that thread, the main thread does.
        self._db = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
        self._waits_for_disk = False
        self._used_bytes = self._unmeasured = 0
        """Bytes of the used pages when they were measured, and bytes written since."""
        try:
            self._prepare()
            entries, self.sent, self.sent_as_replay, stream = self._state()
            self.stream: dict[str, str] = json.loads(stream)
            last = self._one("SELECT max(id) FROM entry")[0] or 0
            self.waiting = self._counted(entries, last)
        except BaseException:
            self._db.close()
            raise
        self._next_id = last + 1
        self.taken = 0
        """The last id that was read for sending."""
        self.waiting_bytes = 0
        """Bytes of the waiting entries, as far as this process wrote them."""
        self.is_of_this_process = False
        """True if this process created the file, false if it adopted it."""

    @classmethod
    def create(cls, path: Path, stream: Mapping[str, str]) -> Self:
        """Create a file; `stream` are the labels of its entries."""
        lock = Lock.create(path.with_suffix(LOCK_SUFFIX))
        try:
            KIND.create(path)
        except BaseException:
            lock.path.unlink(missing_ok=True)
            lock.let_go()
            raise
        try:
            made = cls(path, lock)
            made._db.execute("UPDATE state SET stream = ?", (json.dumps(dict(stream)),))
            made.stream = dict(stream)
            made.is_of_this_process = True
        except BaseException:
            remove_files(path)
            lock.let_go()
            raise
        return made

    def _prepare(self) -> None:
        KIND.check(self._db, self.path, self._found)
        if self._one("PRAGMA user_version") != (_VERSION,):
            raise sqlite3.DatabaseError("the file has another version")
        self._db.execute("PRAGMA synchronous = OFF")
        if self._one("PRAGMA journal_mode = WAL") != ("wal",):
            raise OSError(errno.ENOTSUP, "the file system does not support a write-ahead log")
        self._db.executescript(_PRAGMAS)
        self._measure()

    def _state(self) -> tuple[int, int, int, str]:
        found: tuple[Any, ...] | None = self._one("SELECT entries, sent, sent_as_replay, stream FROM state")
        if found is None or [type(value) for value in found] != [int, int, int, str]:
            raise sqlite3.DatabaseError("the file's state is missing or damaged")
        entries, sent, sent_as_replay, stream = found
        return entries, sent, sent_as_replay, stream

    def _counted(self, entries: int, last: int) -> int:
        """Return the number of entries: the larger of the rows and the file's own count, if that is plausible."""
        there: int = 0
        with suppress(sqlite3.DatabaseError):  # then only the file's own count is left
            (there,) = self._one("SELECT count(*) FROM entry")
        return max(there, entries if entries <= last else 0)

    @property
    def slot(self) -> str:
        """Short name, unique among the files; also the value of the label `replay`."""
        return self.path.stem[-8:]

    def write(self, entries: Collection[Entry], most_bytes: int) -> int:
        """Add all entries or none, and return the number of older ones evicted to stay below `most_bytes`.

        Raises:
            OSError: no room is left, and no entry can be evicted.
        """
        size = sum(len(entry.encoded) for entry in entries)
        needed = size + _ROW_BYTES * len(entries)
        self._unmeasured += needed
        if self._unmeasured >= _MEASURED_EVERY_BYTES or not self._surely_has_room(most_bytes):
            self._measure()
            self._unmeasured = needed
        with self._transaction():
            evicted = self._make_room(needed, most_bytes)
            self._insert(entries)
            self._db.execute("UPDATE state SET entries = entries + ?", (len(entries) - evicted,))
        self._next_id += len(entries)
        self.waiting += len(entries) - evicted
        self.waiting_bytes += size
        return evicted

    def _insert(self, entries: Collection[Entry]) -> None:
        """Insert rows, many in one statement: each statement releases the GIL, and waits until it gets it back."""
        rows = (
            (number, entry.at_ns, entry.shard, _checksum(entry.at_ns, entry.shard, entry.encoded), entry.encoded)
            for number, entry in enumerate(entries, self._next_id)  # SQLite's own ids would restart at 1
        )
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            self._db.execute(_insert_of(len(some)), [*chain.from_iterable(some)])

    def _make_room(self, needed: int, most_bytes: int) -> int:
        if self._used_bytes + self._unmeasured <= most_bytes:
            return 0
        freed, evicted = 0, []
        for number, size in self._db.execute(
            "SELECT id, length(encoded) FROM entry WHERE id > ? ORDER BY id", (self.taken,)
        ):
            evicted.append(number)
            freed += size + _ROW_BYTES
            if freed >= needed + EVICTED_AT_ONCE_BYTES:
                break
        if freed < needed:
            raise OSError(errno.ENOSPC, "the spool is full of entries that are being sent")
        return self._db.execute("DELETE FROM entry WHERE id > ? AND id <= ?", (self.taken, evicted[-1])).rowcount

    def read(self, most_entries: int, most_bytes: int) -> tuple[list[Entry], int]:
        """Take the oldest entries that are not taken yet and may be sent with the same labels.

        Returns the entries, and the number of damaged or missing ones, which are removed. Reads at most `waiting`
        entries, because a damaged file may list some twice.
        """
        last_of_kind = self.sent if self.taken < self.sent else _LAST
        rows = self._db.execute(
            "SELECT id, at_ns, shard, checksum, encoded FROM entry WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
            (self.taken, last_of_kind, min(most_entries, self.waiting)),
        )
        entries: list[Entry] = []
        damaged: list[int] = []
        size = through = 0
        for number, at_ns, shard, checksum, encoded in rows:
            if _checksum(at_ns, shard, encoded) != checksum:
                damaged.append(number)
            elif entries and (size + len(encoded) > most_bytes or at_ns > entries[0].at_ns + LONGEST_SPAN_NS):
                break
            else:
                size += len(encoded)
                entries.append(Entry(shard, encoded, at_ns, number))
            through = number
        rows.close()
        if not through and self.taken < self.sent:  # all entries that were sent are gone
            self.taken = self.sent
            return self.read(most_entries, most_bytes)
        missing = 0 if through else self.waiting
        self.taken = max(through, self.taken)
        self._no_longer_waiting(len(entries) + len(damaged) + missing, size)
        for number in damaged:
            with suppress(sqlite3.Error):  # the entries already read are valid
                self.remove(number, number)
        return entries, len(damaged) + missing

    def mark(self, through: int, *, as_replay: bool) -> None:
        """Record that the back end may have stored all entries up to this id, with these labels; 0: none."""
        if (self.sent, self.sent_as_replay) != (through, as_replay):
            self._db.execute("UPDATE state SET sent = ?, sent_as_replay = ?", (through, as_replay))
            self.sent, self.sent_as_replay = through, as_replay

    def remove(self, first: int, last: int) -> None:
        """Delete the taken entries with the ids `first` to `last`."""
        with self._transaction():
            removed = self._db.execute("DELETE FROM entry WHERE id >= ? AND id <= ?", (first, last)).rowcount
            self._db.execute("UPDATE state SET entries = entries - ?", (removed,))
        if not self.waiting and self._one("PRAGMA page_count")[0] > _WORTH_SHRINKING_PAGES:
            self._measure()
            # `execute` would free 1 page only.
            self._db.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);")

    def expire(self, before_ns: int) -> int:
        """Delete entries older than `before_ns` that are not taken yet, and return their number."""
        with self._transaction():
            fresh = "SELECT id FROM entry WHERE id > ? AND at_ns >= ? ORDER BY id LIMIT 1"
            row = self._db.execute(fresh, (self.taken, before_ns)).fetchone()
            last = row[0] - 1 if row else _LAST
            expired = self._db.execute("DELETE FROM entry WHERE id > ? AND id <= ?", (self.taken, last)).rowcount
            self._db.execute("UPDATE state SET entries = entries - ?", (expired,))
        expired = min(expired, self.waiting)  # a damaged file may list some twice
        self._no_longer_waiting(expired, 0)
        return expired

    def keep_totals(self, parts: Sequence[CounterSnapshot]) -> None:
        """Replace the counter snapshots for recovery; an empty sequence clears them."""
        with self._transaction():
            self._db.execute("DELETE FROM totals")
            rows = [(number, _checksum_of_totals(*part), *part) for number, part in enumerate(parts)]
            self._db.executemany("INSERT INTO totals VALUES (?, ?, ?, ?)", rows)

    def totals(self) -> tuple[list[CounterSnapshot], int]:
        """Return the counter snapshots, and the number of damaged ones."""
        rows = self._db.execute("SELECT checksum, body, without_births FROM totals ORDER BY part").fetchall()
        whole = [CounterSnapshot(*part) for checksum, *part in rows if checksum == _checksum_of_totals(*part)]
        return whole, len(rows) - len(whole)

    def size(self) -> int:
        """Return the size of the file in bytes, including its free pages."""
        return self._page_bytes("page_count")

    def is_in_place(self) -> bool:
        """True if the file still exists under its name."""
        return os.path.exists(self.path)  # noqa: PTH110 - pathlib's raises without access to the directory

    def is_spent(self) -> bool:
        """True if the file holds neither entries nor counters."""
        (left,) = self._one("SELECT EXISTS (SELECT 1 FROM entry) + EXISTS (SELECT 1 FROM totals)")
        return not left

    def close(self) -> None:
        """Close the file. Remove it if it is empty; otherwise the next process may adopt it."""
        try:
            spent = self.is_spent()
        except sqlite3.Error:
            spent = False
        with suppress(sqlite3.Error):
            self._db.close()
        if spent:
            remove_files(self.path)
        self._lock.let_go()

    def discard(self) -> None:
        """Remove the file with its content."""
        with suppress(sqlite3.Error):
            self._db.close()
        remove_files(self.path)
        self._lock.let_go()

    def set_aside(self) -> None:
        """Close and rename a damaged file, so that no process opens it again."""
        with suppress(sqlite3.Error):
            self._db.close()
        set_aside(self.path)
        self._lock.let_go()

    def forked(self) -> None:
        """Close the parent's lock file in a forked child, which must not even close the parent's connection."""
        self._lock.let_go()

    def _no_longer_waiting(self, entries: int, size: int) -> None:
        self.waiting -= entries
        self.waiting_bytes = max(0, self.waiting_bytes - size) if self.waiting else 0

    def _surely_has_room(self, most_bytes: int) -> bool:
        """True if there is room even if the pages written since the last measurement are half empty."""
        return self._used_bytes + 2 * self._unmeasured + _MEASURED_EVERY_BYTES <= most_bytes

    def _measure(self) -> None:
        """Measure the used pages, and let checkpoints wait for the disk only if these pages are a backlog."""
        self._used_bytes, self._unmeasured = self.size() - self._page_bytes("freelist_count"), 0
        waits = self._used_bytes >= _BACKLOG_BYTES
        if waits != self._waits_for_disk:
            self._db.execute("PRAGMA synchronous = NORMAL" if waits else "PRAGMA synchronous = OFF")
            self._waits_for_disk = waits

    def _page_bytes(self, count: str) -> int:
        return int(self._one(f"PRAGMA {count}")[0] * self._one("PRAGMA page_size")[0])

    def _one(self, query: str) -> Any:
        return self._db.execute(query).fetchone()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise


def _insert_of(rows: int) -> str:
    return "INSERT INTO entry VALUES " + ", ".join(["(?, ?, ?, ?, ?)"] * rows)  # noqa: S608 - no data


def _checksum(at_ns: int, shard: int | None, encoded: object) -> int:
    """Return the checksum of an entry; -1, which no entry has, if `encoded` is not bytes."""
    return zlib.crc32(encoded, zlib.crc32(b"%r %r" % (at_ns, shard))) if isinstance(encoded, bytes) else -1


def _checksum_of_totals(body: object, without_births: object) -> int:
    return zlib.crc32(b"%r %r" % (body, without_births))


def remove_files(path: Path) -> None:
    """Remove a file of the spool, SQLite's files beside it, and its lock last."""
    with suppress(OSError):
        for suffix in (*_ALL_SUFFIXES, LOCK_SUFFIX):
            path.with_suffix(suffix).unlink(missing_ok=True)


def set_aside(path: Path) -> None:
    """Rename a file for later inspection, so that no spool opens it."""
    with suppress(OSError):
        path.rename(path.with_suffix(f".{time.time_ns()}.corrupt"))
        remove_files(path)
