"""The error that a command reports on one line."""

from __future__ import annotations


class UserError(Exception):
    """A wrong argument or setting, or a server's refusal: one line with the fix, and exit code 2."""
