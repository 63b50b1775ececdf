"""The history file: one SQLite database, bounded in size and replaced when damaged."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from monitored_openai._files.databases import DatabaseKind, set_aside
from monitored_openai._files.private import NotOurs, make_parents
from monitored_openai._local.renewal import renew_calls

FILE_NAME = "history.sqlite3"
"""The default name of the file."""
RESOLUTIONS = {5: 2 * 3600, 120: 26 * 3600, 3600: 32 * 86400}
"""Length of a time slot in seconds, and retention of such slots in seconds."""

_APPLICATION_ID = 0x6D6F4869  # "moHi"
_VERSION_1 = f"""
CREATE TABLE series (key BLOB PRIMARY KEY, value REAL NOT NULL, at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dimension (id INTEGER PRIMARY KEY, name TEXT NOT NULL, labels TEXT NOT NULL, UNIQUE (name, labels));
CREATE TABLE point (
    resolution INTEGER, slot INTEGER, dimension INTEGER, value REAL NOT NULL,
    PRIMARY KEY (resolution, slot, dimension)
) WITHOUT ROWID;
CREATE TABLE call (
    id TEXT PRIMARY KEY, at_ns INTEGER NOT NULL, size INTEGER NOT NULL, failed INTEGER NOT NULL,
    labels TEXT NOT NULL, row TEXT NOT NULL, search TEXT NOT NULL, line BLOB NOT NULL
);
CREATE INDEX call_at ON call (at_ns, size);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = 1;
"""
_VERSION_2 = """
ALTER TABLE call ADD COLUMN duration REAL AS (json_extract(row, '$.duration'));
ALTER TABLE call ADD COLUMN first_chunk REAL AS (json_extract(row, '$.first_chunk'));
ALTER TABLE call ADD COLUMN cost REAL AS (json_extract(row, '$.cost'));
ALTER TABLE call ADD COLUMN input_tokens INTEGER AS (json_extract(row, '$.input_tokens'));
ALTER TABLE call ADD COLUMN output_tokens INTEGER AS (json_extract(row, '$.output_tokens'));
ALTER TABLE call ADD COLUMN tokens INTEGER AS (coalesce(input_tokens + output_tokens, input_tokens, output_tokens));
ALTER TABLE call ADD COLUMN error TEXT AS (json_extract(row, '$.error'));
ALTER TABLE call ADD COLUMN session TEXT AS (
    coalesce(json_extract(row, '$.session'), json_extract(labels, '$.session_id'), json_extract(labels, '$.session')));
ALTER TABLE call ADD COLUMN conversation TEXT AS (json_extract(row, '$.conversation'));
ALTER TABLE call ADD COLUMN trace TEXT AS (json_extract(row, '$.trace'));
CREATE INDEX call_cost ON call (coalesce(cost, -1), at_ns, id);
CREATE INDEX call_duration ON call (coalesce(duration, -1), at_ns, id);
CREATE INDEX call_tokens ON call (coalesce(tokens, -1), at_ns, id);
CREATE INDEX call_session ON call (session, at_ns) WHERE session IS NOT NULL;
CREATE INDEX call_conversation ON call (conversation, at_ns) WHERE conversation IS NOT NULL;
CREATE INDEX call_trace ON call (trace, at_ns) WHERE trace IS NOT NULL;
PRAGMA user_version = 2;
"""
"""Columns that SQLite computes from the row."""
_VERSION_3 = """
ALTER TABLE call ADD COLUMN response TEXT AS (json_extract(row, '$.response'));
CREATE INDEX call_response ON call (response) WHERE response IS NOT NULL;
PRAGMA user_version = 3;
"""
_HISTORIES = DatabaseKind("a history of monitored-openai", _VERSION_1, (_VERSION_2, _VERSION_3), renew=renew_calls)
_WAIT_SECONDS = 10.0
_MANY_CALLS = 10_000
"""Calls whose upgrade takes some seconds, which the user should know."""
_PRUNE_SECONDS, _SWEEP_SECONDS = 30.0, 3600.0
_MOST_SERIES = 500_000
_DELETE_OLDEST_SERIES = "DELETE FROM series WHERE key IN (SELECT key FROM series ORDER BY at_ms DESC LIMIT -1 OFFSET ?)"
_DELETE_OLDEST_CALLS = """
DELETE FROM call WHERE at_ns <= (
    SELECT max(at_ns) FROM (
        SELECT at_ns, row_number() OVER newest AS number, sum(size) OVER newest AS bytes FROM call
        WINDOW newest AS (ORDER BY at_ns DESC)
    ) WHERE number > ? OR bytes > ?
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Limits of the history; the oldest calls are deleted first."""

    days: float = 30
    calls: int = 200_000
    bytes: int = 512 * 1024 * 1024
    """Size of all log lines before compression; with the search texts, they make up most of the file."""


class History:
    """Allows one writer and one reader at a time; moves a damaged file aside and starts a new one.

    It never changes, renames or removes a file that this program did not make.
    """

    def __init__(self, path: Path, *, bounds: Bounds | None = None, say: Callable[[str], None]) -> None:
        """Open the file or create it; `say` receives a line about a damaged file, and about a long upgrade.

        Raises:
            OSError: the file cannot be created or used.
            NotOurs: this program did not make the file, or another user can change it.
        """
        self.path = path
        self.version = 0
        """Number of write transactions."""
        self._bounds = bounds or Bounds()
        self._say = say
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._pruned = self._swept = 0.0
        self._damage: str | None = None
        make_parents(path)
        self._create_or_recognise()
        try:
            try:
                self._connect()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._start_new(str(error))
        except sqlite3.Error as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        """Close the file."""
        with self._writing, self._reading:
            self._disconnect()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction that commits unless the block raises; a retry may help after `sqlite3.OperationalError`."""
        self._recover()
        with self._writing, self._detect_damage():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._prune()
            except BaseException:
                with suppress(sqlite3.Error):  # a damaged file may not even allow a rollback
                    self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")
            self.version += 1

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open a connection that reads committed data."""
        self._recover()
        with self._reading, self._detect_damage():
            yield self._reader

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Open a connection that reads the same committed data in the whole block."""
        with self.reading() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                with suppress(sqlite3.Error):  # the caller needs the error that ended the block
                    connection.execute("ROLLBACK")

    @contextmanager
    def _detect_damage(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._damage = str(error)
            raise sqlite3.OperationalError(f"the history is damaged: {error}") from error

    def _recover(self) -> None:
        if self._damage is None:
            return
        with self._writing, self._reading:
            if self._damage is not None:
                self._disconnect()
                try:
                    self._start_new(self._damage)
                except OSError as error:
                    reason = f"it {error}" if isinstance(error, NotOurs) else error.strerror or str(error)
                    text = f"the history is damaged, and a new one cannot be created: {reason}"
                    raise sqlite3.OperationalError(text) from error

    def _disconnect(self) -> None:
        self._writer.close()
        self._reader.close()

    def _create_or_recognise(self) -> None:
        """Create the file if it is missing, and check that it is ours."""
        if not os.path.lexists(self.path):
            try:
                _HISTORIES.create(self.path)
            except FileExistsError:
                if not os.path.lexists(self.path):
                    raise
        self._found = _HISTORIES.recognise(self.path)

    def _start_new(self, reason: str) -> None:
        moment = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**9:09d}"
        aside = self.path.with_name(f"{self.path.name}.damaged-{moment}")
        set_aside(self.path, self._found, aside)
        self._say(f"the history could not be read ({reason}); it was renamed to {aside}, and a new one was created")
        self._create_or_recognise()
        self._connect()
        self._damage = None

    def _connect(self) -> None:
        with closing(sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None)) as first:
            _HISTORIES.check(first, self.path, self._found)
            (version,) = first.execute("PRAGMA user_version").fetchone()  # the write-ahead log may contain a newer one
            if not 1 <= version <= _HISTORIES.version:
                raise sqlite3.DatabaseError(f"it has version {version} instead of {_HISTORIES.version}")
            (verdict,) = first.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            if version < _HISTORIES.version:
                (calls,) = first.execute("SELECT count(*) FROM call").fetchone()
                if calls >= _MANY_CALLS:
                    self._say(f"upgrading the history of an earlier version: {calls:,} calls")
            _HISTORIES.upgrade(first)
        self._writer, self._reader = _open(self.path), _open(self.path)

    def _prune(self) -> None:
        now = time.time()
        if now - self._pruned < _PRUNE_SECONDS:
            return
        self._pruned = now
        write = self._writer.execute
        for seconds, kept in RESOLUTIONS.items():
            write("DELETE FROM point WHERE resolution = ? AND slot < ?", (seconds, int((now - kept) / seconds)))
        write("DELETE FROM call WHERE at_ns < ?", (int((now - self._bounds.days * 86400) * 1e9),))
        calls, size = write("SELECT count(*), total(size) FROM call").fetchone()
        if calls > self._bounds.calls or size > self._bounds.bytes:
            write(_DELETE_OLDEST_CALLS, (self._bounds.calls, self._bounds.bytes))
        if now - self._swept > _SWEEP_SECONDS:
            self._swept = now
            write("DELETE FROM dimension WHERE id NOT IN (SELECT dimension FROM point)")
            write("DELETE FROM series WHERE at_ms < ?", (int((now - max(RESOLUTIONS.values())) * 1000),))
            write(_DELETE_OLDEST_SERIES, (_MOST_SERIES,))


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Return true if the content of the file is damaged, false for errors of the disk, of a lock or of our SQL."""
    return type(error) is sqlite3.DatabaseError
