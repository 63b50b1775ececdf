"""Writes files into a folder of the user; replaces a file only if this program wrote it and it is unchanged.

A record beside the files keeps their SHA-256. An export never replaces a file that is not in the record or was changed
since the last export.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from monitored_openai._cli.errors import UserError
from monitored_openai._files.private import SAFELY, NotOurs

RECORD = ".monitored-openai-export"
_TITLE = "# SHA-256 of the files that monitored-openai wrote here; it does not replace a file that was changed since."
_MAX_BYTES = 16 * 1024 * 1024
"""Larger than any exported file."""


def write(folder: Path, texts: Mapping[str, str]) -> Iterator[Path]:
    """Write each text to the file of its name; yield the paths. Write no file if an existing one is foreign.

    A file is foreign if its content is neither the new text nor the text that the last export wrote.

    Raises:
        UserError: a file is foreign, or the folder is not writable.
    """
    contents = {name: text.encode() for name, text in texts.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        record = _read_record(folder / RECORD)
        missing = [
            name for name, content in contents.items() if not _is_current(folder / name, content, record.get(name))
        ]
        for name in missing:
            _write_file(folder / name, contents[name], record.get(name))
        _write_record(folder / RECORD, record, {name: _digest(content) for name, content in contents.items()})
    except NotOurs as error:
        raise UserError(f"{error}; it stays as it is: move it away, or name another folder") from error
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; name another folder") from error
    for name in contents:
        yield folder / name


def _read_record(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each file by its name, from the last export."""
    try:
        descriptor = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return {}
    title, *lines = _read(descriptor, path).decode(errors="replace").splitlines() or [""]
    if title != _TITLE:
        raise NotOurs(f"{path} is not the record of an export")
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _write_record(path: Path, before: Mapping[str, str], written: Mapping[str, str]) -> None:
    if before.items() >= written.items():
        return
    was, now = (_format_record(digests) for digests in (before, {**before, **written}))
    _write_file(path, now, _digest(was))


def _format_record(digests: Mapping[str, str]) -> bytes:
    return "".join(f"{line}\n" for line in (_TITLE, *(f"{digests[name]}  {name}" for name in sorted(digests)))).encode()


def _is_current(path: Path, content: bytes, written: str | None) -> bool:
    """Return true if the file has this content, false if it is missing or has the SHA-256 `written`.

    Raises:
        NotOurs: it has any other content.
    """
    try:
        descriptor = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    return _compare(_read(descriptor, path), path, content, written)


def _write_file(path: Path, content: bytes, written: str | None) -> None:
    """Write the file; check it again through the descriptor used for writing, against a race."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFELY, 0o666)
    except FileExistsError:
        descriptor = _open(path, os.O_RDWR)
        if _compare(_read(os.dup(descriptor), path), path, content, written):
            os.close(descriptor)
            return
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(0)
            file.seek(0)
            file.write(content)
        return
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def _compare(found: bytes, path: Path, content: bytes, written: str | None) -> bool:
    if found == content:
        return True
    if _digest(found) != written:
        raise NotOurs(f"{path} is not as this program wrote it")
    return False


def _open(path: Path, access: int) -> int:
    """Open an existing regular file; refuse links, FIFOs and devices."""
    _check(path.lstat(), path)
    descriptor = os.open(path, access | SAFELY)
    try:
        _check(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise NotOurs(f"{path} is a link or not a regular file")


def _read(descriptor: int, path: Path) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise NotOurs(f"{path} is not as this program wrote it")
    return content


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
