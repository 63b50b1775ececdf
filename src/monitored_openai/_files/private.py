"""Private files and directories: follows no links and uses nothing that another user owns.

Windows has no such owners and modes; this module checks only the type of file there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_HAS_OWNERS = hasattr(os, "geteuid")
SAFELY = sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY"))
"""Flags for `os.open`: follow no link, inherit no descriptor, do not block on a FIFO, convert no line ends."""


class NotOurs(OSError):
    """A file or directory that this program did not make, or that another user can change."""


def check(found: os.stat_result, *, is_directory: bool = False) -> None:
    """Raise if a file or directory is not private to this user.

    Raises:
        NotOurs: it is a link or of another type, has another owner or a second name, or other users can change it.
    """
    if stat.S_ISLNK(found.st_mode):
        raise NotOurs("is a symbolic link")
    if not (stat.S_ISDIR if is_directory else stat.S_ISREG)(found.st_mode):
        raise NotOurs("is no directory" if is_directory else "is no regular file")
    if not is_directory and found.st_nlink > 1:
        raise NotOurs("has a second name (hard link)")
    if _HAS_OWNERS and found.st_uid != os.geteuid():
        raise NotOurs("belongs to another user")
    if _HAS_OWNERS and found.st_mode & _OTHERS_MAY_WRITE:
        raise NotOurs("can be written by other users")


def make_directory(path: Path) -> None:
    """Create the directory and its missing parents, each with mode 0700.

    Raises:
        OSError: it cannot be created.
        NotOurs: it exists and is not private to this user.
    """
    _make_missing(path)
    check(path.lstat(), is_directory=True)


def make_parents(path: Path) -> None:
    """Create the missing parents of a file, each with mode 0700.

    Raises:
        OSError: they cannot be created.
        NotOurs: every user can replace the files of the directory.
    """
    _make_missing(path.parent)
    mode = path.parent.stat().st_mode
    if not stat.S_ISDIR(mode):
        raise NotOurs("is in no directory")
    if _HAS_OWNERS and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise NotOurs("is in a directory where every user can replace it")


def make_file(path: Path, content: bytes = b"") -> None:
    """Create a file of mode 0600 with this content; a failure leaves no file.

    Raises:
        OSError: it cannot be created or written, or the name is in use.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFELY, 0o600)
    try:
        try:
            _make_private(descriptor)
            while content:
                content = content[os.write(descriptor, content) :]
        finally:
            os.close(descriptor)
    except BaseException:
        path.unlink()
        raise


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open an existing private file for reading; this process must not have it open in SQLite.

    Raises:
        OSError: it cannot be opened.
        NotOurs: it is not private to this user.
    """
    check(path.lstat())  # before opening, because opening a device can have effects
    descriptor = os.open(path, os.O_RDONLY | SAFELY)
    try:
        check(os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def hide(path: Path) -> None:
    """Remove all rights of other users.

    Raises:
        OSError: the file cannot be opened or changed.
        NotOurs: it is not private to this user.
    """
    with opened(path) as descriptor:
        _make_private(descriptor)


def _make_private(descriptor: int) -> None:
    if _HAS_OWNERS and stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o600:
        os.fchmod(descriptor, 0o600)


def _make_missing(path: Path) -> None:
    missing = [one for one in (path, *path.parents) if not os.path.lexists(one)]
    for one in reversed(missing):
        try:
            one.mkdir(mode=0o700)
        except FileExistsError:  # another process created it
            continue
        if stat.S_IMODE(one.lstat().st_mode) & 0o777 != 0o700:  # the umask removed rights of the owner
            one.chmod(0o700)
