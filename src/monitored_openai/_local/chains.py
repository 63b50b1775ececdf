"""Joins calls into conversations if each continues the response of another (`previous_response_id`).

The id of the chain's first known response names its conversation, unless a call of the chain names one itself. A call
can arrive before the call that it continues. It then waits in a conversation that its `previous_response_id` names.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_ID = re.compile(r"[\w.:/+=-]{8,200}")
"""Ids of responses; a pattern of `redact` may have replaced one by another text, which names no response."""
_MOST_WAITING = 100
"""Calls that move to another conversation at once: a limit for the time that an entry needs."""
_SET = "UPDATE call SET row = json_set(row, '$.conversation', ?) WHERE id = ?"
_SET_CONTINUED = "UPDATE call SET row = json_set(row, '$.conversation', ?) WHERE response = ? AND conversation IS NULL"
_MOVE = "UPDATE call SET row = json_set(row, '$.conversation', ?) WHERE conversation = ?"
_OF_RESPONSE = "SELECT conversation FROM call WHERE response = ? AND conversation IS NOT NULL LIMIT 1"
_WAITING = "SELECT count(*) FROM (SELECT 1 FROM call WHERE conversation = ? LIMIT ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A call's place in a chain of responses."""

    identity: str
    """The id of the call."""
    response: str | None
    previous: str | None
    """The id of the response that the call continues."""
    conversation: str | None
    """The conversation that the call itself names."""


def response_of(call: Mapping[str, Any]) -> str | None:
    """Return the id of a call's response."""
    return _id(call.get("response_id"))


def previous_of(call: Mapping[str, Any]) -> str | None:
    """Return the id of the response that a call continues."""
    for part in (call.get("identifiers"), call.get("request")):
        if isinstance(part, dict) and (previous := _id(part.get("previous_response_id"))):
            return previous
    return None


def join(connection: sqlite3.Connection, links: Iterable[Link]) -> None:
    """Set the conversations of stored calls; the oldest call comes first."""
    for link in links:
        conversation = link.conversation
        if conversation is None and link.previous is not None:
            conversation = _conversation_of(connection, link.previous) or link.previous
            connection.execute(_SET_CONTINUED, (conversation, link.previous))
        if link.response is not None:
            conversation = _with_waiting(connection, link.response, conversation)
        if conversation is not None and link.conversation is None:
            connection.execute(_SET, (conversation, link.identity))


def _with_waiting(connection: sqlite3.Connection, response: str, conversation: str | None) -> str | None:
    """Return the conversation of a call and of the calls that wait for its response."""
    (waiting,) = connection.execute(_WAITING, (response, _MOST_WAITING + 1)).fetchone()
    if conversation is None:
        return response if waiting else _conversation_of(connection, response)
    if conversation != response and 0 < waiting <= _MOST_WAITING:
        connection.execute(_MOVE, (conversation, response))
    return conversation


def _conversation_of(connection: sqlite3.Connection, response: str) -> str | None:
    found = connection.execute(_OF_RESPONSE, (response,)).fetchone()
    return None if found is None else str(found[0])


def _id(value: Any) -> str | None:
    return value if isinstance(value, str) and _ID.fullmatch(value) else None
