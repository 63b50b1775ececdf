"""A history of an earlier version becomes one of the present version in place; newer and unknown versions are not touched."""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from monitored_openai._files.private import NotOurs
from monitored_openai._local.history import _VERSION_2, History
from tests.support.local_page import CALL, open_page

VERSION_1 = """
CREATE TABLE series (key BLOB PRIMARY KEY, value REAL NOT NULL, at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dimension (id INTEGER PRIMARY KEY, name TEXT NOT NULL, labels TEXT NOT NULL, UNIQUE (name, labels));
CREATE TABLE point (
    resolution INTEGER, slot INTEGER, dimension INTEGER, value REAL NOT NULL,
    PRIMARY KEY (resolution, slot, dimension)
) WITHOUT ROWID;
CREATE TABLE call (
    id TEXT PRIMARY KEY, at_ns INTEGER NOT NULL, size INTEGER NOT NULL, failed INTEGER NOT NULL,
    labels TEXT NOT NULL, row TEXT NOT NULL, search TEXT NOT NULL, line BLOB NOT NULL
);
CREATE INDEX call_at ON call (at_ns, size);
PRAGMA application_id = 1836009577;
PRAGMA user_version = 1;
"""
"""The schema as version 1 wrote it."""
OLD_COLUMNS = "id, at_ns, size, failed, labels, search, line"


def old_row(number: int) -> tuple[Any, ...]:
    """A call as version 1 stored it: without session, conversation, trace and marks."""
    labels = {"model": "gpt-5", "session_id": f"s{number % 2}"}
    row = {
        "id": f"old{number}", "at_ns": str(time.time_ns() - number), "labels": labels, "error": None, "retries": 0,
        "duration": number / 2, "first_chunk": None, "input_tokens": number, "output_tokens": None, "cost": None,
        "cost_incomplete": False, "asked": "q", "answered": "a",
    }  # fmt: skip
    line = json.dumps(CALL).encode()
    texts = json.dumps(labels), json.dumps(row), "q\na"
    return (row["id"], int(str(row["at_ns"])), len(line), 0, *texts, zlib.compress(line))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "history.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(VERSION_1)
        database.execute("PRAGMA journal_mode = WAL")
        database.executemany("INSERT INTO call VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(old_row, range(5)))
        database.execute("INSERT INTO series VALUES (x'00', 1, 2)")
        database.execute("INSERT INTO dimension VALUES (1, 'n', '{}')")
        database.execute("INSERT INTO point VALUES (5, 1, 1, 3)")
        database.commit()
    path.chmod(0o600)
    return path


def content(path: Path) -> list[Any]:
    """What a version-1 history holds, without the rows of the list, to which an upgrade adds."""
    with closing(sqlite3.connect(path)) as database:
        tables = (OLD_COLUMNS, "call"), ("*", "series"), ("*", "dimension"), ("*", "point")
        return [database.execute(f"SELECT {columns} FROM {table}").fetchall() for columns, table in tables]  # noqa: S608


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def test_a_history_of_version_1_keeps_everything(old: Path) -> None:
    before, said = content(old), list[str]()

    for _ in range(2):  # the second time, it already has version 3
        History(old, say=said.append).close()

    assert (content(old), version(old), said) == (before, 3, [])


def rows(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return [json.loads(row) for (row,) in database.execute("SELECT row FROM call ORDER BY id")]


@pytest.mark.parametrize("upgrades", [(), (_VERSION_2,)])
def test_old_calls_get_marks_and_conversations(old: Path, upgrades: tuple[str, ...]) -> None:
    before = rows(old)
    requests: list[Any] = [
        {"stream": True, "tools": [{}, {}]},
        {"previous_response_id": "resp_0000"},
        {"previous_response_id": "resp_0001", "text": {"format": {"type": "json_schema"}}},
    ]
    with closing(sqlite3.connect(old)) as database:
        for upgrade in upgrades:
            database.executescript(upgrade)
        for number, request in enumerate(requests):
            line = json.dumps({**CALL, "request": request, "response_id": f"resp_{number:04}"}).encode()
            database.execute("UPDATE call SET line = ? WHERE id = ?", (zlib.compress(line), f"old{number}"))
        database.execute("UPDATE call SET line = x'00' WHERE id = 'old4'")  # damaged
        database.commit()

    History(old, say=print).close()

    now = rows(old)
    assert [{name: row[name] for name in before[0]} for row in now] == before
    assert [(row["streamed"], row["tools"], row["structured"]) for row in now[:3]] == [
        (True, 2, False),
        (False, 0, False),
        (False, 0, True),
    ]
    assert [row["conversation"] for row in now[:4]] == ["resp_0000"] * 3 + [None]
    assert now[4] == before[4]


def test_old_calls_are_sorted_and_grouped_beside_new_ones(old: Path) -> None:
    for page in open_page(old):
        assert (
            page.log({**CALL, "id": "new", "duration_seconds": 0.75, "usage": {"input_tokens": 9}}).status_code == 204
        )

        by_duration = [call["id"] for call in page.get("/api/calls", order="duration").json()]
        assert by_duration == ["old4", "old3", "old2", "new", "old1", "old0"]
        assert page.get("/api/calls", order="tokens").json()[0]["id"] == "new"
        groups = page.get("/api/groups", by="session").json()
        assert {one["key"]: one["calls"] for one in groups} == {"s0": 3, "s1": 2}
        assert len(page.get("/api/calls", **{"group.session": "s1"}).json()) == 2


def test_an_upgraded_history_equals_a_new_one(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.sqlite3"
    schemas = list[Any]()
    for path in (old, new):
        History(path, say=print).close()
        with closing(sqlite3.connect(path)) as database:
            schemas.append(database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall())

    assert schemas[0] == schemas[1]


def test_an_upgrade_that_fails_changes_nothing(old: Path) -> None:
    with closing(sqlite3.connect(old)) as database:
        database.execute("UPDATE call SET row = 'no JSON' WHERE id = 'old0'")  # an index of version 2 cannot contain it
        database.commit()
    before = content(old)

    with pytest.raises(OSError, match="malformed JSON"):
        History(old, say=print)

    assert (content(old), version(old)) == (before, 1)


@pytest.mark.parametrize("statement", ["CREATE TABLE foreign_one (x)", "CREATE VIEW foreign_one AS SELECT 1"])
def test_a_history_of_version_1_with_foreign_objects_is_refused(old: Path, statement: str) -> None:
    with closing(sqlite3.connect(old)) as database:
        database.execute(statement)
        database.commit()
    before = old.read_bytes()

    with pytest.raises(NotOurs, match="not ours"):
        History(old, say=print)

    assert old.read_bytes() == before


def test_a_newer_version_is_refused_and_an_unknown_one_is_set_aside(old: Path) -> None:
    for number in (4, 0):
        with closing(sqlite3.connect(old)) as database:
            database.execute(f"PRAGMA user_version = {number}")
        said = list[str]()
        if number:
            with pytest.raises(NotOurs, match="newer version: 4 instead of 3"):
                History(old, say=said.append)
            assert (version(old), said) == (4, [])
        else:
            History(old, say=said.append).close()
            assert "version 0 instead of 3" in said[0]
            assert version(old) == 3
