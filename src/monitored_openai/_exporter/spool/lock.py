"""Locks a file for one process."""

from __future__ import annotations

import fcntl  # not on Windows
import os
from pathlib import Path
from typing import Self

from monitored_openai._files.private import SAFELY, check, make_file

_MARK = b"monitored-openai spool\n"


class Lock:
    """Ownership of a file, held until `let_go` or the end of the process.

    The lock is on a separate file, because closing the spool file anywhere in the process would release SQLite's own
    locks on it.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock on the file `path`.

        Raises:
            OSError: another process or exporter holds it, or the file is missing.
            NotOurs: the file is not private to this user.
        """
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | SAFELY)
        try:
            self._take(path)
            self.is_marked = os.pread(self._descriptor, len(_MARK), 0) == _MARK
            """True if this program certainly made the spool file, even if its content is damaged."""
        except BaseException:
            os.close(self._descriptor)
            raise

    @classmethod
    def create(cls, path: Path) -> Self:
        """Create the lock file, and take the lock.

        Raises:
            OSError: the file cannot be created, or its name exists already.
        """
        make_file(path, _MARK)
        return cls(path)

    def _take(self, path: Path) -> None:
        check(os.fstat(self._descriptor))
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(self._descriptor), path.lstat()):
            raise OSError("its owner has just removed the lock file")

    def release(self) -> None:
        """Release the lock, also if a forked process still has the file open."""
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.let_go()

    def let_go(self) -> None:
        """Close the lock file, which releases the lock unless a forked process has the file open too.

        A forked child calls this, because its copy would hold the lock after the parent's end.
        """
        descriptor, self._descriptor = self._descriptor, -1  # the number may soon name another file
        if descriptor >= 0:
            os.close(descriptor)
