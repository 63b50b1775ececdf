"""The lock of a file of the spool."""

from __future__ import annotations

import fcntl  # not on Windows
import os
from pathlib import Path
from typing import Self

from monitored_openai._files.private import SAFELY, check, make_file

_MARK = b"monitored-openai spool\n"


class Lock:
    """The ownership of a file of the spool: held until let go, or until the process is gone.

    The lock is on a file beside the one it is about: closing that one anywhere in the process would undo SQLite's own
    locks on it.
    """

    def __init__(self, path: Path) -> None:
        """Take it.

        Raises:
            OSError: another process or exporter has it, or the file is missing.
            NotOurs: the file is not this user's alone.
        """
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | SAFELY)
        try:
            self._take(path)
            self.is_marked = os.pread(self._descriptor, len(_MARK), 0) == _MARK
            """Whether this program certainly made the file that the lock is for, whatever that file contains."""
        except BaseException:
            os.close(self._descriptor)
            raise

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make the lock's file and take it.

        Raises:
            OSError: the file cannot be made, or something has its name already.
        """
        make_file(path, _MARK)
        return cls(path)

    def _take(self, path: Path) -> None:
        check(os.fstat(self._descriptor))
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(self._descriptor), path.lstat()):
            raise OSError("its owner has just removed it")

    def let_go(self) -> None:
        """Give it up; in a forked child, give up the share in the parent's, which would outlive the parent."""
        os.close(self._descriptor)
