"""Damaged files of the spool."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.spools import (
    Losses,
    damages,
    entry,
    files,
    left_behind,
    read_all,
    spool,
    survives,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the spool needs locks that end with their process")


def test_damaged_files_stop_nothing_and_what_can_be_read_of_them_is_sent(directory: Path) -> None:
    read = [survives(directory, damage) for damage in damages(cuts=9, flips=10).values()]
    assert max(took for _, took in read) < 4
    assert 0 < sum(number for number, _ in read) < 200 * len(read)
    assert list(directory.glob("*.corrupt"))


def test_what_is_no_entry_and_numbers_that_make_no_sense_are_counted_as_corrupt(directory: Path) -> None:
    path = left_behind(directory, [entry(number) for number in range(4)])
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE entry SET encoded = NULL WHERE id = 1")
        file.execute("UPDATE entry SET at_ns = 'x' WHERE id = 2")
        file.execute("UPDATE entry SET shard = 7 WHERE id = 3")
        file.execute("UPDATE state SET entries = 1000000")
    losses = Losses()
    one = spool(directory, losses)
    (adopted,), _ = one.adopt()
    assert adopted.waiting == 4
    assert [json.loads(json.loads(encoded)[1])["number"] for encoded in read_all(one)] == [3]
    assert losses == {"corrupt": 3}
    one.used_up()
    one.close()
    assert files(directory) == []


def test_only_a_backlog_makes_the_spool_wait_for_the_disk(directory: Path) -> None:
    one = spool(directory)

    def waits() -> bool:
        assert one.own is not None
        return bool(one.own._db.execute("PRAGMA synchronous").fetchone()[0])

    for number in range(20):
        assert one.write([entry(number, size=1000)])
    assert not waits()
    for number in range(20):
        assert one.write([entry(number, size=100_000)])
    assert waits()
    assert one.own is not None
    path = one.own.path
    one.own._db.close()
    one.own._lock.let_go()
    other = spool(directory)
    (adopted,), _ = other.adopt()
    assert adopted.path == path
    assert adopted._db.execute("PRAGMA synchronous").fetchone() == (1,)
    found, _ = adopted.read(500, 2**30)
    adopted.remove(found[0].id, found[-1].id)
    assert adopted._db.execute("PRAGMA synchronous").fetchone() == (0,)
    adopted.close()
    other.close()


def test_a_write_of_many_entries_takes_few_statements(directory: Path) -> None:
    one = spool(directory)
    assert one.write([entry(0)])
    assert one.own is not None
    statements: list[str] = []
    one.own._db.set_trace_callback(statements.append)
    assert one.write([entry(number) for number in range(100)])
    one.own._db.set_trace_callback(None)

    assert len(statements) == 4, statements
    assert len(read_all(one)) == 101
    one.close()
