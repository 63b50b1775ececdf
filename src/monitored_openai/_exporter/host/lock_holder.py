"""Finds the process that keeps a file of SQLite locked, in the list of locks that Linux provides."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import NamedTuple

_STOPPED = frozenset("Tt")


class LockHolder(NamedTuple):
    """A process that keeps others from writing to a file."""

    pid: int
    is_stopped: bool
    """True if a signal or a debugger has stopped the process."""

    def __str__(self) -> str:
        return f"process {self.pid}, which is stopped" if self.is_stopped else f"process {self.pid}"


class Locked(sqlite3.OperationalError):
    """Another process has not ended its transaction in time."""

    def __init__(self, holder: LockHolder | None) -> None:
        """`holder`: the process with the transaction; `None` if it is unknown."""
        super().__init__("the database is locked" if holder is None else f"the database is locked by {holder}")
        self.sqlite_errorcode = sqlite3.SQLITE_BUSY
        self.holder = holder


def lock_holder(path: Path) -> LockHolder | None:
    """Return the process that has locked a file; `None` if the system does not tell, or if the lock is gone."""
    try:
        status = path.stat()
        pid = pid_in(Path("/proc/locks").read_text(), status.st_dev, status.st_ino)
    except OSError:  # not Linux
        return None
    return None if pid is None else LockHolder(pid, _is_stopped(pid))


def pid_in(locks: str, device: int, inode: int) -> int | None:
    """Return the process with a lock for writing on a file, from the text of `/proc/locks`; `None` without one.

    A process outside of this process's container has the id 0.
    """
    file = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    for line in locks.splitlines():
        match line.split():
            case [_, "POSIX", _, "WRITE", pid, where, *_] if where == file and int(pid) > 0:
                return int(pid)
    return None


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] in _STOPPED
    except OSError:  # the process has ended
        return False
