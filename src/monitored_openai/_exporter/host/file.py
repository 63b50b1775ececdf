"""The file with the totals of a host's processes, in SQLite.

Each process writes its own counters and gauges, adds the series that are missing, and numbers its writes. Only the
process that holds the lock for a push changes the rest. An *epoch* is the life of one set of series; its name is a part
of the label `instance`. The next epoch begins after a reboot, or when a sum is lower than the one that a push
contained. While no process lives, it also begins if the label sets run short or the clock was ahead. The last sums of
the previous epoch are then *retired*: a process pushes them once more and removes them.

A commit reaches the system's page cache: it survives the death of the process, but perhaps not a power failure. Sums
reach the disk itself before a push sends them, so that the back end never has more than the file.

No connection stays open, and no process forks during a transaction: SQLite keeps its locks by process, and a child would
believe that it holds the locks of its parent.
"""

from __future__ import annotations

import json
import sqlite3
import struct
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from monitored_openai._exporter.host.lock_holder import Locked, lock_holder
from monitored_openai._exporter.host.merge import (
    Counters,
    add_counters,
    checksum,
    is_below,
    labels_of,
    pack_counters,
    pack_gauges,
    unpack_counters,
    unpack_gauges,
)
from monitored_openai._files.databases import DatabaseKind
from monitored_openai._metrics.series import Labels, Sample

_VERSION = 1
_APPLICATION_ID = 0x6D6F4874  # "moHt"
_SCHEMA = f"""
CREATE TABLE state (
    epoch TEXT, boot TEXT, written INTEGER, noted INTEGER, accepted INTEGER, last_ms INTEGER, due REAL,
    pusher INTEGER, pushed_ns INTEGER, processes INTEGER, shown TEXT);
CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT, labels TEXT, base REAL, pushed REAL);
CREATE UNIQUE INDEX series_key ON series (name, labels);
CREATE TABLE process (id TEXT PRIMARY KEY, pid INTEGER, checksum INTEGER, counters BLOB, gauges TEXT);
CREATE TABLE retired (epoch TEXT, name TEXT, labels TEXT, value REAL, born INTEGER);
INSERT INTO state VALUES ('', '', 0, 0, 0, 0, 0.0, NULL, NULL, 0, '[]');
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
"""  # noqa: S608  # two numbers of this file
KIND = DatabaseKind("the host's totals", _SCHEMA)
_BUSY_SECONDS = 1.0
"""Longest wait for the transaction of another process, which takes milliseconds."""


class State(NamedTuple):
    """The state of the file, which numbers the writes of all processes."""

    epoch: str
    boot: str
    written: int
    """The number of the last write."""
    noted: int
    """The last write whose counters a push contained."""
    accepted: int
    """The last write whose counters the back end has accepted."""
    last_ms: int
    """Time of the last push in milliseconds since the epoch."""
    due: float
    """Time of the next push, in seconds of the system's monotonic clock."""
    pusher: int | None
    """Process that pushed last."""
    pushed_ns: int | None
    """Time of the last accepted push in nanoseconds since the epoch."""
    processes: int
    """Living processes at the last push."""
    shown: str
    """Gauges that the back end may have, as JSON."""


class Total(NamedTuple):
    """The sum of one counter over all processes."""

    id: int
    name: str
    labels: Labels
    value: float
    is_born: bool
    """True if the back end may have the series already."""


class HostFile:
    """A file on disk, without an open connection."""

    def __init__(self, path: Path) -> None:
        """Check an existing file.

        Raises:
            NotOurs: this program did not make the file, or another user can change it.
            OSError: it cannot be read.
            sqlite3.Error: it is damaged.
        """
        self._path = path
        self.found = KIND.recognise(path)
        with self.transaction() as file:
            KIND.check(file.database, path, self.found)

    def is_in_place(self) -> bool:
        """True if the path still names this file."""
        return self.found.is_at(self._path)

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[HostTransaction]:
        """Make all changes of the block, or none. If `durable`, they survive a power failure.

        Raises:
            Locked: another process has not ended its transaction within a second.
            sqlite3.Error: the disk fails, or the file is damaged.
            OSError: another file has replaced this one.
        """
        if not self.is_in_place():
            raise FileNotFoundError("the file was removed or replaced")
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        database = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
        with closing(database):
            self._begin(database, durable=durable)
            try:
                yield HostTransaction(database)
                database.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
                raise

    def _begin(self, database: sqlite3.Connection, *, durable: bool) -> None:
        try:
            database.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = OFF")
            database.execute("PRAGMA journal_mode = TRUNCATE")
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            raise Locked(lock_holder(self._path)) from error


@contextmanager
def _read() -> Iterator[None]:
    """Report a value that this program cannot have written as damage to the file."""
    try:
        yield
    except (ValueError, TypeError, struct.error) as error:
        raise sqlite3.DatabaseError("a value in the file is damaged") from error


class HostTransaction:
    """A transaction on the file. Every method may raise `sqlite3.Error`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = self._db = database

    def state(self) -> State:
        """Return the state."""
        row = self._db.execute("SELECT * FROM state").fetchone()
        if row is None or not isinstance(row[0], str) or not all(isinstance(number, int) for number in row[2:6]):
            raise sqlite3.DatabaseError("the file's state is missing or damaged")
        return State(*row)

    # The values of one process

    def has(self, process: str) -> bool:
        """True if the file has the values of this process."""
        return self._db.execute("SELECT 1 FROM process WHERE id = ?", (process,)).fetchone() is not None

    def label_sets(self, name: str) -> set[Labels]:
        """Return the label sets of all series of this name."""
        rows = self._db.execute("SELECT labels FROM series WHERE name = ?", (name,)).fetchall()
        with _read():
            return {labels_of(json.loads(labels)) for (labels,) in rows}

    def find_series(self, name: str, labels: Labels) -> int | None:
        """Return the id of a series; `None` if the file does not have it."""
        row = self._db.execute(
            "SELECT id FROM series WHERE name = ? AND labels = ?", (name, json.dumps(labels))
        ).fetchone()
        return None if row is None else row[0]

    def add_series(self, name: str, labels: Labels) -> int:
        """Add a series, and return its id."""
        added = self._db.execute("INSERT INTO series VALUES (NULL, ?, ?, 0.0, NULL)", (name, json.dumps(labels)))
        if added.lastrowid is None:
            raise sqlite3.DatabaseError("a series was not stored")
        return added.lastrowid

    def write(self, process: str, pid: int, counters: Counters, gauges: Iterable[Sample]) -> int:
        """Replace the values of a process, and return the number of this write."""
        packed = (pack_counters(counters), pack_gauges(gauges))
        row = (process, pid, checksum(*packed), *packed)
        self._db.execute("INSERT OR REPLACE INTO process VALUES (?, ?, ?, ?, ?)", row)
        self._db.execute("UPDATE state SET written = written + 1")
        return int(self._db.execute("SELECT written FROM state").fetchone()[0])

    # Pushes. Only the process that holds the lock for a push calls these methods.

    def processes(self) -> list[str]:
        """Return the ids of all processes with values."""
        return [process for (process,) in self._db.execute("SELECT id FROM process ORDER BY rowid")]

    def fold(self, dead: Iterable[str]) -> int:
        """Add the counters of ended processes to the base, and remove their values; return the number of damaged ones."""
        damaged = 0
        for process in dead:
            counters = self._counters(process)
            damaged += counters is None
            added = [(value, number) for number, value in (counters or {}).items()]
            self._db.executemany("UPDATE series SET base = base + ? WHERE id = ?", added)
            self._db.execute("DELETE FROM process WHERE id = ?", (process,))
        return damaged

    def note_sums(self, *, pusher: int, due: float, boot: str) -> None:
        """Record the sum of each counter before a push sends it, or begin the next epoch."""
        state, sums, pushed = self.state(), self._sums(), self.born()
        if not state.epoch or state.boot != boot or any(is_below(sums.get(one, 0.0), pushed[one]) for one in pushed):
            self.begin_epoch(boot)
            return
        changed = [
            (max(value, pushed.get(number, 0.0)), number)  # rounding may give a little less than before
            for number, value in sums.items()
            if number not in pushed or value > pushed[number]
        ]
        self._db.executemany("UPDATE series SET pushed = ? WHERE id = ?", changed)
        (processes,) = self._db.execute("SELECT count(*) FROM process").fetchone()
        self._db.execute(
            "UPDATE state SET noted = written, pusher = ?, due = ?, processes = ?", (pusher, due, processes)
        )

    @property
    def most_label_sets(self) -> int:
        """The largest number of label sets of a metric."""
        (most,) = self._db.execute(
            "SELECT max(size) FROM "
            "(SELECT count(*) AS size FROM series WHERE name NOT LIKE '%\\_bucket' ESCAPE '\\' GROUP BY name)"
        ).fetchone()
        return most or 0

    def begin_epoch(self, boot: str, *, forgets_time: bool = False) -> None:
        """Retire the present epoch, and begin the next one without series.

        With `forgets_time`, its pushes may be earlier than the last one, because the clock was ahead.
        """
        state, sums, pushed = self.state(), self._sums(), self.born()
        rows = self._db.execute("SELECT id, name, labels FROM series").fetchall()
        retired = [
            (state.epoch, name, labels, max(sums.get(number, 0.0), pushed.get(number, 0.0)), number in pushed)
            for number, name, labels in rows
        ]
        self._db.executemany("INSERT INTO retired VALUES (?, ?, ?, ?, ?)", retired)
        self._db.execute("DELETE FROM series")
        self._db.execute("DELETE FROM process")
        self._db.execute(
            "UPDATE state SET epoch = ?, boot = ?, noted = written, accepted = written, due = 0.0, shown = '[]'",
            (uuid.uuid4().hex[:12], boot),
        )
        if forgets_time:
            self._db.execute("UPDATE state SET last_ms = 0")

    def totals(self, born: Mapping[int, float]) -> list[Total]:
        """Return the recorded sums; `born`: the series of earlier pushes, which the back end may have."""
        query = "SELECT id, name, labels, pushed FROM series WHERE pushed IS NOT NULL ORDER BY id"
        rows = self._db.execute(query).fetchall()
        with _read():
            return [
                Total(number, name, labels_of(json.loads(labels)), value, number in born)
                for number, name, labels, value in rows
            ]

    def born(self) -> dict[int, float]:
        """Return the recorded sums by the ids of their series."""
        return self._numbers("SELECT id, pushed FROM series WHERE pushed IS NOT NULL")

    def forget_births(self, series: Iterable[int]) -> None:
        """Record that the back end does not have these series, so that the next push sends them as new."""
        self._db.executemany("UPDATE series SET pushed = NULL WHERE id = ?", [(number,) for number in series])

    def note_time(self, last_ms: int) -> None:
        """Record the time of a push before it is sent, so that no later push has an earlier one."""
        self._db.execute("UPDATE state SET last_ms = max(last_ms, ?)", (last_ms,))

    def note_result(self, *, accepted: bool, due: float, now_ns: int) -> None:
        """Record the result of a push, and when the next one is due."""
        if accepted:
            self._db.execute("UPDATE state SET accepted = noted, pushed_ns = ?, due = ?", (now_ns, due))
        else:
            self._db.execute("UPDATE state SET due = ?", (due,))

    def gauges(self) -> list[list[Sample]]:
        """Return the gauges of each process."""
        rows = self._db.execute("SELECT checksum, counters, gauges FROM process ORDER BY rowid").fetchall()
        with _read():
            return [unpack_gauges(packed[1]) for found, *packed in rows if found == checksum(*packed)]

    def shown(self) -> list[Sample]:
        """Return the gauges that the back end may have."""
        with _read():
            return unpack_gauges(self.state().shown)

    def show(self, gauges: Iterable[Sample]) -> None:
        """Record the gauges that the back end may have."""
        self._db.execute("UPDATE state SET shown = ?", (pack_gauges(gauges),))

    def retired(self) -> dict[str, list[Total]]:
        """Return the last sums of each retired epoch."""
        epochs: dict[str, list[Total]] = {}
        rows = self._db.execute("SELECT epoch, name, labels, value, born FROM retired ORDER BY rowid").fetchall()
        with _read():
            for epoch, name, labels, value, born in rows:
                total = Total(0, name, labels_of(json.loads(labels)), value, bool(born))
                epochs.setdefault(epoch, []).append(total)
        return epochs

    def forget_retired(self, epoch: str) -> None:
        """Remove the last sums of a retired epoch."""
        self._db.execute("DELETE FROM retired WHERE epoch = ?", (epoch,))

    def _sums(self) -> dict[int, float]:
        bases = self._numbers("SELECT id, base FROM series")
        living = [self._counters(process) for process in self.processes()]
        return add_counters([bases, *(counters for counters in living if counters is not None)])

    def _numbers(self, query: str) -> dict[int, float]:
        with _read():
            return {number: value + 0.0 for number, value in self._db.execute(query).fetchall()}

    def _counters(self, process: str) -> dict[int, float] | None:
        """Return the counters of a process; `None` if they are damaged."""
        row: Any = self._db.execute(
            "SELECT checksum, counters, gauges FROM process WHERE id = ?", (process,)
        ).fetchone()
        if row is None or checksum(*row[1:]) != row[0]:
            return None
        try:
            return unpack_counters(row[1])
        except (struct.error, TypeError):
            return None
