"""Reads a token from a file or an environment variable, because `ps` shows the arguments of a command to all users."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from monitored_openai._cli.errors import UserError

_MAX_BYTES = 64 * 1024
_MIN_TOKEN_CHARACTERS = 8
_BEARER = re.compile(r"[!-~]+")
_PASSWORD = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def read_token(argument: str | None, file: Path | None, variable: str, *, password: bool = False) -> str | None:
    """Return the token from `--token-file`, else from the environment variable, else `None`.

    `argument` is the value of `--token`, which still works with a warning. A `password` may contain spaces.

    Raises:
        UserError: the token is empty, too short or invalid, or the file cannot be read; the message does not repeat the token.
    """
    if argument is not None and file is not None:
        raise UserError("--token and --token-file exclude each other: leave --token out")
    if argument is not None:
        found = _check(argument, "--token", password=password)
        print(
            f"monitored-openai: --token can be seen by all users of this machine (ps): use --token-file or {variable}",
            file=sys.stderr,
        )
        return found
    if file is not None:
        return _check(_read(file), "--token-file", password=password)
    text = os.environ.get(variable, "").strip()
    return _check(text, variable, password=password) if text else None


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise UserError(f"--token-file {file}: more than {_MAX_BYTES} bytes are not a token: name another file")
        return content.decode().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(f"--token-file {file} cannot be read ({reason}): name another file") from error


def _check(text: str, source: str, *, password: bool) -> str:
    if not text:
        raise UserError(f"{source}: the token is empty: copy it again")
    if not (_PASSWORD if password else _BEARER).fullmatch(text):
        raise UserError(f"{source}: the token has spaces, line breaks or characters that are not valid: copy it again")
    if not password and len(text) < _MIN_TOKEN_CHARACTERS:
        raise UserError(
            f"{source}: the token is shorter than {_MIN_TOKEN_CHARACTERS} characters: copy it again or choose another with --token-file"
        )
    return text
