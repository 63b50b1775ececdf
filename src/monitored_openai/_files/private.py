"""Creates and checks private files and directories; opens no symbolic links and no files of other users.

Windows has no such owners and modes, so the module does not check them there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40
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
        raise NotOurs("is not a directory" if is_directory else "is not a regular file")
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
        NotOurs: it exists and is not private to this user, or another user can replace it.
    """
    check_folders(path.parent)
    _make_missing(path)
    check(path.lstat(), is_directory=True)


def make_parents(path: Path) -> None:
    """Create the missing parents of a file, each with mode 0700.

    Raises:
        OSError: they cannot be created.
        NotOurs: another user can replace the file, its directory, or one above it.
    """
    check_folders(path.parent)
    _make_missing(path.parent)
    if not path.parent.is_dir():
        raise NotOurs("is not in a directory")


def check_folders(folder: Path) -> None:
    """Raise if another user can replace the folder, one above it, or a link on the way; ignore missing ones.

    Each folder must belong to root or to this user. Only its owner may write to it, with three exceptions: a directory
    with the sticky bit, because it protects files from renames by other users; the private group of its owner; and a
    mount point of root, because container runtimes mount volumes with mode 0777 or for a group.

    Raises:
        OSError: one cannot be read.
        NotOurs: another user can replace one, or one is not a directory.
    """
    if not _HAS_OWNERS:
        return
    here, *parts = folder.absolute().parts
    left, links = parts[::-1], 0
    path = Path(here)
    while left:
        path = path.parent if (part := left.pop()) == ".." else path / part
        try:
            found = path.lstat()
        except FileNotFoundError:
            return
        _check_folder(path, found)
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise NotOurs(f"is below {str(path)!r}, and behind too many symbolic links")
            target = path.readlink()
            left += target.parts[::-1]  # the root of an absolute target replaces the path
            path = path.parent


def _check_folder(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()) and not _is_outside_of_namespace(found.st_uid):
        raise NotOurs(f"is below {str(path)!r}, which belongs to another user, who can replace it")
    if stat.S_ISLNK(found.st_mode):
        return
    if not stat.S_ISDIR(found.st_mode):
        raise NotOurs(f"is below {str(path)!r}, which is not a directory")
    by_others = found.st_mode & _OTHERS_MAY_WRITE
    if by_others == stat.S_IWGRP and _is_private_group(found):
        return
    is_volume = found.st_uid == 0 and path != path.parent and os.path.ismount(path)
    if by_others and not found.st_mode & stat.S_ISVTX and not is_volume:
        raise NotOurs(f"is below {str(path)!r}, where other users can replace it; chmod go-w removes their right")


def _is_outside_of_namespace(uid: int) -> bool:
    """Return true if this uid stands for all owners outside of this process's user namespace.

    Sandboxes map one user only, so that even the root directory seems to belong to `nobody`.
    """
    try:
        overflow = int(Path("/proc/sys/kernel/overflowuid").read_text())
        ranges = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except (OSError, ValueError):  # not Linux
        return False
    return uid == overflow and not any(first <= uid < first + number for first, _, number in ranges)


def _is_private_group(found: os.stat_result) -> bool:
    """Return true if the group is the owner's primary group, has the owner's name, and has no other members."""
    import grp  # Windows has neither
    import pwd

    try:
        owner, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    is_owners = owner.pw_gid == group.gr_gid and group.gr_name == owner.pw_name
    return is_owners and set(group.gr_mem) <= {owner.pw_name}


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
    """Open an existing private file for reading.

    SQLite must not have the file open in this process, because closing a descriptor drops SQLite's locks.

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
