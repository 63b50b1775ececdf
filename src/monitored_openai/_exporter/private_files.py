"""A directory and lock files that are this user's alone: what the spool holds may be anybody's secret."""

from __future__ import annotations

import fcntl  # not on Windows
import os
import stat
from pathlib import Path

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_CREATE = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class NotPrivate(OSError):
    """A place that somebody else could read, write or swap."""


def make_directory(path: Path) -> None:
    """Make the directory if there is none, for this user alone.

    Raises:
        OSError: it cannot be made, or is somebody else's.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    check(path.lstat(), is_directory=True)


def make_file(path: Path) -> None:
    """Make an empty file that there was not, whatever the umask says.

    Raises:
        OSError: it cannot be made, or is there.
    """
    descriptor = os.open(path, _CREATE | os.O_EXCL, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def check(found: os.stat_result, *, is_directory: bool = False) -> None:
    """Whether what was found is ours.

    Raises:
        NotPrivate: it is not.
    """
    if not (stat.S_ISDIR if is_directory else stat.S_ISREG)(found.st_mode):
        raise NotPrivate("is a symbolic link, or no " + ("directory" if is_directory else "plain file"))
    if found.st_uid != os.geteuid():
        raise NotPrivate("belongs to another user")
    if found.st_mode & _OTHERS_MAY_WRITE:
        raise NotPrivate("can be written by other users")


class Lock:
    """The ownership of a file of the spool: held until let go, or until the process is gone.

    The lock is on a file beside the one it is about: closing that one anywhere in the process would undo SQLite's own
    locks on it.
    """

    def __init__(self, path: Path) -> None:
        """Take it, and make the lock's file if there is none.

        Raises:
            OSError: somebody else has it, or the file cannot be made or is not ours.
        """
        self.path = path
        self._descriptor = os.open(path, _CREATE, 0o600)
        try:
            self._take(path)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _take(self, path: Path) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(self._descriptor)
        check(found)
        if not os.path.samestat(found, path.lstat()):
            raise OSError("its owner has just removed it")

    def let_go(self) -> None:
        """Give it up; in a forked child, give up the share in the parent's, which would outlive the parent."""
        os.close(self._descriptor)
