"""Validators for the settings that name files and directories."""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path

from monitored_openai._labels import InvalidValue
from monitored_openai._settings.forms import listed, plain_text


def path_text(value: object) -> str:
    path = value if isinstance(value, Path) else Path(plain_text(value))
    if value == "":
        raise InvalidValue("is empty; set a path or remove it")
    try:
        return str(path.expanduser())
    except (RuntimeError, ValueError):  # no such user
        raise InvalidValue("begins with ~ and the name of an unknown user; write the full path") from None


def host_dir(value: object) -> str:
    path = Path(path_text(value))
    if not path.is_absolute():
        raise InvalidValue("is relative, so it would depend on the working directory; write the full path")
    return str(path)


def spool_dir(value: object) -> str:
    path = Path(host_dir(value))
    try:
        found = path.lstat()
    except OSError:  # created at first use
        return str(path)
    if not stat.S_ISDIR(found.st_mode):
        raise InvalidValue(
            "is a symbolic link or not a directory; use a directory that only this user owns and can write"
        )
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise InvalidValue("belongs to another user; use a directory that only this user owns and can write")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and os.name == "posix":
        raise InvalidValue("is writable by other users; use a directory that only this user owns and can write")
    return str(path)


def require_files(*paths: str) -> None:
    """Reject files such as a FIFO, which could block a reader forever; follow links.

    Raises:
        OSError: A path is not a regular file.
    """
    for path in paths:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise OSError("is not a regular file")


def verify(value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    path = path_text(value)
    if path.lower() in ("true", "1", "yes", "on"):
        return True
    if path.lower() in ("false", "0", "no", "off"):
        raise InvalidValue(
            "cannot be switched off by text or by the environment; set the path of your CA's certificate"
        )
    try:
        if not Path(path).is_dir():
            require_files(path)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError):
        raise InvalidValue(
            "is not a PEM file of CA certificates, nor a directory of such files; correct the path"
        ) from None
    return path


def client_cert(value: object) -> tuple[str, ...]:
    items = [value] if isinstance(value, Path) else listed(value) if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or len(items) not in (1, 2):
        raise InvalidValue("must be one path, or the two paths of certificate and key")
    paths = tuple(path_text(item) for item in items)
    certificate, key = paths[0], paths[-1] if len(paths) > 1 else None
    try:
        require_files(*paths)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError):
        raise InvalidValue(
            "must name a certificate and its unencrypted key, in one PEM file or two; correct the path"
        ) from None
    return paths
