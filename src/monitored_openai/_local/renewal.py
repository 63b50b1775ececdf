"""Upgrades the calls of an earlier version's history: derives their rows and conversations from their log entries."""

from __future__ import annotations

import sqlite3
import zlib

from monitored_openai._local import strict_json
from monitored_openai._local.call_columns import link_of, renewed
from monitored_openai._local.chains import join


def renew_calls(connection: sqlite3.Connection) -> None:
    """Renew the row of each call whose log entry can be read, oldest first."""
    for (identity,) in connection.execute("SELECT id FROM call ORDER BY at_ns, id").fetchall():
        row, line = connection.execute("SELECT row, line FROM call WHERE id = ?", (identity,)).fetchone()
        try:
            call = strict_json.parse(zlib.decompress(line))
        except (ValueError, zlib.error):  # nested too deep, or damaged
            continue
        connection.execute("UPDATE call SET row = ? WHERE id = ?", (renewed(row, call), identity))
        join(connection, [link_of(identity, call)])
