"""What the user can mend."""

from __future__ import annotations


class UserError(Exception):
    """Something wrong with what was asked for, or a server's refusal; one line that says what, exit code 2."""
