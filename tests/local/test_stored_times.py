"""The times of the stored calls in memory equal those in the history, whatever arrives late or is deleted."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from monitored_openai._local import calls, counters, stored_times
from monitored_openai._local.history import Bounds, History
from monitored_openai._local.ingest import ReceivedEntry
from monitored_openai._local.remote_write_decoder import Series
from monitored_openai._local.stored_times import StoredTimes
from monitored_openai._metrics.names import DURATION
from tests.support.local_page import CALL

SQL = "SELECT coalesce(json_extract(labels, ?), ''), duration, first_chunk FROM call WHERE at_ns >= ? AND at_ns < ?"
MOST_CALLS = 400


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    kept = History(tmp_path / "history.sqlite3", bounds=Bounds(calls=MOST_CALLS), say=lambda _: None)
    yield kept
    kept.close()


def entry(number: int, at_ns: int, **facts: Any) -> ReceivedEntry:
    return ReceivedEntry(timestamp_ns=at_ns, call={**CALL, "id": f"c{number}", **facts}, stream={}, metadata={})


def random_entry(number: int, at_ns: int, chance: random.Random) -> ReceivedEntry:
    model, feature = f"m{chance.randrange(5)}", chance.choice(["", "a", "ä\u2028", "b" * 3000])
    duration, first_chunk = (chance.choice([None, chance.random(), 1, 0]) for _ in range(2))
    times = {"duration_seconds": duration, "time_to_first_chunk_seconds": first_chunk}
    return entry(number, at_ns, request_model=model, attributes={"feature": feature, "user": str(number)}, **times)


def in_the_history(
    history: History, bounds_ns: list[int], by: str, where: dict[str, str]
) -> list[dict[str, tuple[list[float], ...]]]:
    """The same as `StoredTimes.between`, from SQL alone."""
    found = []
    for both in pairwise(bounds_ns):
        groups: defaultdict[str, tuple[list[float], ...]] = defaultdict(lambda: ([], []))
        condition = "".join(f" AND coalesce(json_extract(labels, '$.\"{name}\"'), '') = ?" for name in where)
        with history.reading() as connection:
            for name, *values in connection.execute(SQL + condition, (f'$."{by}"', *both, *where.values())):
                for times, value in zip(groups[name], values, strict=True):
                    times.extend([] if value is None else [value])
        found.append({name: tuple(map(sorted, times)) for name, times in groups.items()})
    return found


def without_empty(found: Any) -> list[dict[str, tuple[list[float], ...]]]:
    return [{name: tuple(times) for name, times in part.items() if any(times)} for part in found]


@pytest.mark.parametrize("most_label_sets", [stored_times._MOST_LABEL_SETS, 10])
def test_the_times_in_memory_are_those_in_the_history(
    history: History, most_label_sets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_times, "_MOST_LABEL_SETS", most_label_sets)
    chance, stored, now = random.Random(7), StoredTimes(history), time.time_ns()
    start = now - 10**12
    filters: list[tuple[str, dict[str, str]]] = [
        ("model", {}),
        ("feature", {"model": "m1"}),
        ("nothing", {"feature": "", "model": "m2"}),
        ("user", {"feature": "ä\u2028"}),
    ]
    for push in range(40):
        at = start + push * 10**9
        late = [
            at - chance.choice([0, 10**9, 5 * 10**9]) + chance.randrange(10**9) for _ in range(chance.randrange(40))
        ]
        calls.keep(history, [random_entry(1000 * push + place, at_ns, chance) for place, at_ns in enumerate(late)])
        if push % 10 == 9:  # deletes the oldest calls
            history._pruned = 0.0
            with history.writing():
                pass
        bounds = sorted([start, start + chance.randrange(40 * 10**9), at, now])
        for by, where in filters:
            assert without_empty(stored.between(bounds, by, where)) == without_empty(
                in_the_history(history, bounds, by, where)
            )
    assert calls.number(history) <= MOST_CALLS


def test_a_new_call_with_the_row_of_a_deleted_one_is_found(history: History) -> None:
    now, stored = time.time_ns(), StoredTimes(history)
    bounds = [0, now + 1]
    calls.keep(history, [entry(1, now, duration_seconds=1.0)])
    calls.keep(
        history, [entry(2, now - 10**9, duration_seconds=2.0)]
    )  # late, so it is the oldest one with the newest row
    assert stored.between(bounds, "model", {})[0]["gpt-4o"].duration == [1.0, 2.0]

    with history.writing() as connection:
        connection.execute("DELETE FROM call WHERE id = 'c2'")
    calls.keep(history, [entry(3, now, duration_seconds=3.0)])

    assert stored.between(bounds, "model", {})[0]["gpt-4o"].duration == [1.0, 3.0]


def test_a_damaged_history_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    now, path, said = time.time_ns(), tmp_path / "history.sqlite3", list[str]()
    kept = History(path, say=said.append)
    stored = StoredTimes(kept)
    calls.keep(kept, [entry(1, now, duration_seconds=1.0)])
    assert stored.between([0, now + 1], "model", {})[0]["gpt-4o"].duration == [1.0]

    kept._damage = "damaged"
    calls.keep(kept, [entry(2, now, duration_seconds=2.0)])

    assert stored.between([0, now + 1], "model", {})[0]["gpt-4o"].duration == [2.0]
    kept.close()
    assert len(said) == 1


@pytest.mark.alone
def test_a_second_answer_reads_only_the_new_calls(tmp_path: Path) -> None:
    now = time.time_ns()
    kept = History(tmp_path / "history.sqlite3", say=lambda _: None)
    stored = StoredTimes(kept)
    calls.keep(kept, [entry(number, now - number * 10**6, duration_seconds=number / 7) for number in range(4_000)])

    def cost() -> float:
        started = time.thread_time()
        assert stored.between([0, now + 10**9], "model", {})
        return time.thread_time() - started

    first = cost()
    calls.keep(kept, [entry(20_000, now, duration_seconds=2.0)])
    assert 3 * min(cost() for _ in range(3)) < first
    kept.close()


@pytest.mark.parametrize("most", [counters._MOST_KEPT_VALUES, 30, 0])
def test_growth_is_the_same_at_the_second_reading(history: History, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "_MOST_KEPT_VALUES", most)
    now_ms = time.time_ns() // 10**6
    received = [
        Series(
            labels={"__name__": DURATION.count, "gen_ai_request_model": f"m{number % 7}"},
            value=float(number),
            timestamp_ms=now_ms - 5000 * (50 - number),
        )
        for number in range(50)
    ]
    counters.keep(history, received)
    end = now_ms // 1000 // 60 * 60 + 60
    with counters.growth(history, since=end - 900, until=end, step=60) as read:
        first = list(read())
        assert sum(sum(one.steps.values()) for one in first) == sum(range(43, 50))
        assert list(read()) == first
        assert list(read()) == first
