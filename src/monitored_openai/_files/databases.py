"""Recognises this program's SQLite files before it writes to them.

A file is ours if it has SQLite's magic, our application id and our schema. Early versions set no application id; their
files need only the schema. This module never changes a file that is not ours: SQLite opens it as immutable, and so takes
no lock, creates no file and replays no journal.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from monitored_openai._files.private import NotOurs, check, hide, make_file, opened

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_WAL_MAGICS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_JOURNAL_MAGICS = (b"\xd9\xd5\x05\xf9",)
_SHM_MAGICS = ((3_007_000).to_bytes(4, sys.byteorder),)
_UNUSED = b"\0\0\0\0"
_SIDE_FILES = {"-wal": _WAL_MAGICS, "-shm": _SHM_MAGICS, "-journal": _JOURNAL_MAGICS}
SUFFIXES = ("", *_SIDE_FILES)
"""Suffixes of the names of a database's files."""

_Objects = set[tuple[str, str, str]]
"""Type, name and SQL of tables, indexes, triggers and views."""


class Unreadable(NotOurs):
    """A file whose content does not show whether it is ours: empty, damaged, or not a database."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file that this program made."""

    identity: os.stat_result
    version: int

    def is_at(self, path: Path) -> bool:
        """Return true if the path still names this file."""
        try:
            return os.path.samestat(self.identity, path.lstat())
        except OSError:
            return False


@dataclass(frozen=True)
class DatabaseKind:
    """A kind of database that this program makes."""

    name: str
    """Name with its article, for messages."""
    schema: str
    """SQL that creates an empty database and sets `application_id` and `user_version`, which is 1 with `upgrades`."""
    upgrades: tuple[str, ...] = ()
    """SQL statements that turn version 1 into 2, 2 into 3, and so on; they add tables, columns and indexes."""
    renew: Callable[[sqlite3.Connection], None] | None = None
    """Renews the stored rows after the upgrades, in the same transaction."""
    starts_blank: bool = False
    """True if the file may have no schema, because earlier versions wrote it to the write-ahead log first."""

    @cached_property
    def image(self) -> bytes:
        """The content of an empty database."""
        with closing(sqlite3.connect(":memory:")) as memory:
            memory.executescript(self.schema)
            for upgrade in self.upgrades:
                memory.executescript(upgrade)
            return memory.serialize()

    @property
    def version(self) -> int:
        """The version that this program writes."""
        return _numbers(self.image)[1]

    @cached_property
    def _objects(self) -> list[_Objects]:
        """The objects of each version that this program reads."""
        with closing(sqlite3.connect(":memory:")) as memory:
            versions = list[_Objects]()
            for script in (self.schema, *self.upgrades):
                memory.executescript(script)
                versions.append(_objects(memory))
            return versions

    def create(self, path: Path) -> None:
        """Create an empty database.

        Raises:
            OSError: it cannot be created, or its name or the name of one of its side files is in use.
        """
        for suffix in SUFFIXES:
            if os.path.lexists(f"{path}{suffix}"):
                raise FileExistsError(f"{path.name}{suffix} exists already")
        make_file(path, self.image)

    def recognise(self, path: Path) -> Found:
        """Check that a file is ours, and make it private.

        Raises:
            OSError: it cannot be read.
            Unreadable: it is not a database, or too damaged to recognise.
            NotOurs: another program, another user or a newer version made it, or other users can change it.
        """
        with opened(path) as descriptor:
            identity, header = os.fstat(descriptor), os.read(descriptor, _HEADER_BYTES)
        if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
            raise Unreadable("is not a database" if header else "is empty")
        application, version = _numbers(header)
        ours, newest = _numbers(self.image)
        if application not in (ours, 0):
            raise NotOurs("is a database of another program")
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
                self._check_objects(_objects(database), is_marked=application == ours)
        except sqlite3.Error as error:
            if application != ours:
                raise Unreadable("is damaged, and does not show that it is ours") from error
        if version > newest:
            raise NotOurs(f"was made by a newer version: {version} instead of {newest}")
        self._check_side_files(path)
        for suffix in SUFFIXES:
            with suppress(FileNotFoundError):  # missing, or another process has just closed the database
                hide(Path(f"{path}{suffix}"))
        return Found(identity, version)

    def check(self, database: sqlite3.Connection, path: Path, found: Found) -> None:
        """Check an open database, including its write-ahead log, before the first write, and mark it as ours.

        Raises:
            sqlite3.Error: it cannot be read.
            NotOurs: it has objects that are not ours, or is not the file that was found.
        """
        if not found.is_at(path):
            raise NotOurs("was replaced by another file")
        objects = _objects(database)
        if not objects or not self._has(objects):
            raise NotOurs("has tables, triggers or views that are not ours")
        ours, _ = _numbers(self.image)
        if database.execute("PRAGMA application_id").fetchone() != (ours,):
            mark = f"PRAGMA application_id = {ours}"
            database.execute(mark)

    def upgrade(self, database: sqlite3.Connection) -> None:
        """Turn an older version into the current one, in one transaction; the database must have no open transaction.

        Raises:
            sqlite3.Error: the upgrade failed; the database did not change.
        """
        database.execute("BEGIN IMMEDIATE")
        try:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if 1 <= version < self.version:
                for script in self.upgrades[version - 1 :]:
                    for statement in filter(str.strip, script.split(";")):
                        database.execute(statement)
                if self.renew is not None:
                    self.renew(database)
        except BaseException:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def _check_objects(self, objects: _Objects, *, is_marked: bool) -> None:
        if not objects and self.starts_blank:
            return
        if not self._has(objects):
            text = (
                "has tables, triggers or views that are not ours" if is_marked else "is a database of another program"
            )
            raise NotOurs(text)

    def _has(self, objects: _Objects) -> bool:
        """Return true if all tables of one version and no foreign objects exist; indexes may be missing."""
        return any({one for one in ours if one[0] == "table"} <= objects <= ours for ours in self._objects)

    def _check_side_files(self, path: Path) -> None:
        for suffix, magics in _SIDE_FILES.items():
            try:
                with opened(Path(f"{path}{suffix}")) as descriptor:
                    start = os.read(descriptor, 4)
            except FileNotFoundError:  # missing, or another process has just closed the database
                continue
            except NotOurs as error:
                raise NotOurs(f"has a {suffix} file beside it that {error}") from error
            if start not in (b"", _UNUSED, *magics):
                raise NotOurs(f"has a {suffix} file beside it that is not SQLite's")


def set_aside(path: Path, found: Found, aside: Path) -> None:
    """Rename one of our databases together with its side files.

    Raises:
        OSError: they cannot be renamed.
        NotOurs: the path now names another file.
    """
    if not found.is_at(path):
        raise NotOurs("was replaced by another file")
    if os.path.lexists(aside):
        raise FileExistsError(f"{aside.name} exists already")
    for suffix in reversed(SUFFIXES):
        one = Path(f"{path}{suffix}")
        if os.path.lexists(one):
            check(one.lstat())
            one.rename(f"{aside}{suffix}")


def _numbers(header: bytes) -> tuple[int, int]:
    """Return application id and version."""
    return int.from_bytes(header[68:72]), int.from_bytes(header[60:64])


def _objects(database: sqlite3.Connection) -> _Objects:
    rows = database.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    return {(kind, name, " ".join((sql or "").split())) for kind, name, sql in rows}
