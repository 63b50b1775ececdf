"""The directory of the spool, which many processes share: its files and their owners."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import time
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from monitored_openai._exporter.spool.file import LOCK_SUFFIX, SUFFIX, SpoolFile, remove_files, set_aside
from monitored_openai._exporter.spool.lock import Lock
from monitored_openai._files.databases import Unreadable
from monitored_openai._files.private import NotOurs, check, make_directory
from monitored_openai._logging import warn_sparsely

_MOST_SET_ASIDE = 3
_OURS = re.compile(rf".+-[0-9a-f]{{32}}{re.escape(SUFFIX)}", re.DOTALL)
_SET_ASIDE = re.compile(r".+-[0-9a-f]{32}\.[0-9]+\.corrupt", re.DOTALL)
"""Names of this program's files. It never opens, renames or removes a file with another name."""
_DISK_TROUBLE = frozenset({
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_LOCKED),
    *(sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY),
})  # fmt: skip


class SpoolDirectory:
    """The files of one directory, as one exporter sees them."""

    def __init__(self, path: Path, destination: str) -> None:
        """Processes with the same `destination` may send the entries of each other's files."""
        self._path = path
        self._prefix = f"{destination}-"

    def create(self, stream: Mapping[str, str]) -> SpoolFile:
        """Create a file that this process owns."""
        make_directory(self._path)
        return SpoolFile.create(self._path / f"{self._prefix}{uuid.uuid4().hex}{SUFFIX}", stream)

    def sizes(self, own: SpoolFile | None) -> tuple[int, int]:
        """Return the bytes of all files, and of all except `own`."""
        make_directory(self._path)
        every = others = 0
        with os.scandir(self._path) as found:
            for one in found:
                try:
                    size = one.stat(follow_symlinks=False).st_size
                except FileNotFoundError:  # removed meanwhile
                    continue
                every += size
                others += 0 if own is not None and one.name.startswith(own.path.stem) else size
        return every, others

    def free_bytes(self) -> int:
        """Return the free bytes of the disk."""
        return shutil.disk_usage(self._path).free

    def unowned(self, known: Collection[Path]) -> list[Path]:
        """Return the files that may have no owner, the oldest first, without those in `known`."""
        try:
            named = {path for path in self._path.iterdir() if _OURS.fullmatch(path.name)}
            return sorted(named - set(known), key=_modified)
        except OSError:  # a file was removed meanwhile: the next attempt finds the others
            return []

    def is_of_destination(self, path: Path) -> bool:
        """True if the file has the destination of this exporter."""
        return path.name.startswith(self._prefix)

    def is_older(self, path: Path, seconds: float) -> bool:
        """True if the file has not changed for `seconds`."""
        try:
            wal = path.with_suffix(f"{SUFFIX}-wal")
            return max(_modified(one) for one in (path, wal) if one.exists()) < time.time() - seconds
        except OSError:
            return False

    def take_over(self, path: Path) -> SpoolFile | None:
        """Open the file if this program made it and its owner is gone; `None` if that fails."""
        try:
            lock = Lock(path.with_suffix(LOCK_SUFFIX))
        except OSError as error:
            if isinstance(error, (NotOurs, FileNotFoundError)) and os.path.lexists(path):
                _warn_of_foreign("has no lock file of this program beside it")
            return None
        try:
            return SpoolFile(path, lock)
        except Exception as error:
            if is_damage(error) or (isinstance(error, Unreadable) and lock.is_marked):
                warn_sparsely("damaged", "a damaged file of the spool was set aside: %s", what_failed(error))
                set_aside(path)
                self.keep_few_set_aside()
            elif isinstance(error, NotOurs):
                _warn_of_foreign(str(error))
            elif not path.exists():
                remove_files(path)
            lock.let_go()
            return None

    def keep_few_set_aside(self, most: int = _MOST_SET_ASIDE) -> None:
        """Remove the files that were set aside, except the `most` latest."""
        damaged = [path for path in self._path.glob("*.corrupt") if _SET_ASIDE.fullmatch(path.name)]
        damaged.sort(key=lambda path: int(path.suffixes[-2][1:]))
        for path in damaged[: max(0, len(damaged) - most)]:
            with suppress(OSError):
                check(path.lstat())
                path.unlink()

    def purge(self, known: Collection[Path]) -> None:
        """Remove every file that no process owns, of any destination, readable or not."""
        for path in self.unowned(known):
            file = self.take_over(path)
            if file is not None:
                file.discard()
        self.keep_few_set_aside(0)


def is_damage(error: Exception) -> bool:
    """True if the file is damaged, false if the disk has failed for now."""
    if isinstance(error, OSError):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or (code & 0xFF) not in _DISK_TROUBLE


def what_failed(error: Exception) -> str:
    """Return the text of an error, without a path."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else f"SQLite: {error}"


def _warn_of_foreign(reason: str) -> None:
    warn_sparsely("foreign", "a file in the spool's directory was left as it is: it %s", reason)


def _modified(path: Path) -> float:
    return path.lstat().st_mtime
