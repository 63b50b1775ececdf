"""Tokens that a command is given: from a file or an environment variable, as `ps` shows arguments to everybody."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from monitored_openai._cli.errors import UserError

_MOST_BYTES = 64 * 1024
_BEARER = re.compile(r"[!-~]+")
_PASSWORD = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def token(argument: str | None, file: Path | None, variable: str, *, password: bool = False) -> str | None:
    """The token from `--token-file`, else from the environment variable; `None` if neither has one.

    `argument` is the value of `--token`, which is still taken, with a warning. A `password` may have spaces in it.

    Raises:
        Mistake: the token is empty or cannot be sent, or the file cannot be read; the message never repeats it.
    """
    if argument is not None and file is not None:
        raise UserError("--token and --token-file exclude each other: leave --token out")
    if argument is not None:
        found = _checked(argument, "--token", password=password)
        print(
            f"monitored-openai: --token can be seen by all users of this machine (ps): use --token-file or {variable}",
            file=sys.stderr,
        )
        return found
    if file is not None:
        return _checked(_content(file), "--token-file", password=password)
    text = os.environ.get(variable, "").strip()
    return _checked(text, variable, password=password) if text else None


def _content(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise UserError(f"--token-file {file}: more than {_MOST_BYTES} bytes are no token: name another file")
        return content.decode().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(f"--token-file {file} cannot be read ({reason}): name another file") from error


def _checked(text: str, source: str, *, password: bool) -> str:
    if not text:
        raise UserError(f"{source}: the token is empty: copy it again")
    if not (_PASSWORD if password else _BEARER).fullmatch(text):
        raise UserError(f"{source}: the token has spaces, line breaks or letters that no token has: copy it again")
    return text
