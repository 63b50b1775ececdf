"""Spools for a test: entries, files of ended processes, damaged files, and killed processes."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from monitored_openai._exporter.encoders.loki import encode_entry
from monitored_openai._exporter.spool.directory import SpoolDirectory
from monitored_openai._exporter.spool.spool import LEAST_FREE_BYTES, Spool
from monitored_openai._exporter.values import Entry
from tests.support.programs import Program

STREAM = {"job": "integrations/openai", "environment": "default"}


class Losses(dict[str, int]):
    def __call__(self, entries: int, reason: str) -> None:
        self[reason] = self.get(reason, 0) + entries


def spool(
    directory: Path,
    losses: Losses | None = None,
    most_bytes: int = 256 * 2**20,
    least_free_bytes: int = LEAST_FREE_BYTES,
) -> Spool:
    return Spool(
        SpoolDirectory(directory, "d"),
        most_bytes=most_bytes,
        most_seconds=86_400,
        stream=STREAM,
        on_evicted=Losses() if losses is None else losses,
        least_free_bytes=least_free_bytes,
    )


def entry(number: int, at_ns: int = 0, size: int = 0) -> Entry:
    at_ns = at_ns or time.time_ns()
    return Entry(None, encode_entry(at_ns, f'{{"number": {number}, "text": "{"x" * size}"}}', {}), at_ns)


def left_behind(directory: Path, entries: list[Entry], destination: str = "d") -> Path:
    """The file of a process that has died."""
    one = Spool(
        SpoolDirectory(directory, destination),
        most_bytes=2**30,
        most_seconds=86_400,
        stream=STREAM,
        on_evicted=Losses(),
    )
    assert one.write(entries)
    assert one.own is not None
    path = one.own.path
    one.own._db.close()
    one.own._lock.let_go()
    return path


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def read_all(one: Spool) -> list[bytes]:
    found: list[bytes] = []
    for file in one.files():
        while entries := one.read(file, time.time_ns(), 500, 2**20):
            found += [each.encoded for each in entries]
            one.remove(file, entries[0].id, entries[-1].id)
    return found


def cut(raw: bytes, share: float) -> bytes:
    return raw[: int(len(raw) * share)]


def flipped(raw: bytes, seed: int) -> bytes:
    damaged = bytearray(raw)
    for number in range(20):
        damaged[(seed * 7919 + number * 104_729) % len(damaged)] ^= 1 << (number % 8)
    return bytes(damaged)


def damages(cuts: int, flips: int) -> dict[str, Callable[[bytes], bytes]]:
    """What may have become of a file: cut off at so many places, so many times with bits flipped, and more."""
    return {
        "empty": lambda raw: b"",
        "no database": lambda raw: b"hello" * 3000,
        "another version": lambda raw: raw[:60] + b"\0\0\0\7" + raw[64:],
        **{f"cut, {number} of {cuts}": partial(cut, share=number / (cuts + 1)) for number in range(1, cuts + 1)},
        **{f"bits flipped, {seed}": partial(flipped, seed=seed) for seed in range(flips)},
    }


def survives(directory: Path, damage: Callable[[bytes], bytes]) -> tuple[int, float]:
    """How many entries of a damaged file were read, beside a healthy one; and how long all of it took."""
    whole = [entry(number, size=300) for number in range(200)]
    path = left_behind(directory, whole)
    path.write_bytes(damage(path.read_bytes()))
    healthy = left_behind(directory, [entry(1000)])
    losses = Losses()
    one = spool(directory, losses)
    started = time.monotonic()
    adopted, _ = one.adopt()
    waiting = sum(file.waiting for file in adopted)
    found = read_all(one)
    took = time.monotonic() - started
    assert len(found) + sum(losses.values()) == waiting, losses
    assert len(set(found) - {each.encoded for each in whole}) == 1  # the healthy one's
    one.used_up()
    one.close()
    assert not healthy.exists()
    for left in directory.glob("*.db"):  # what was neither readable nor damaged enough to say so
        left.unlink()
    assert len(list(directory.glob("*.corrupt"))) <= 3
    return len(found) - 1, took


def calls_in(file: Path) -> list[str]:
    """The calls that a program says that it has made; the last line may be cut."""
    return [line for line in file.read_text().splitlines() if len(line) == 19]


def made_in(file: Path) -> set[str]:
    return set(calls_in(file))


def kill_after(program: Program, file: Path, calls: int) -> int:
    deadline = time.monotonic() + 60
    while not file.exists() or file.stat().st_size < 20 * calls:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    at = time.time_ns()
    program.kill()
    return at


@contextmanager
def no_byte_written_beyond(size: int) -> Iterator[None]:
    """The system fails writes there with an error that SQLite does not know, as those of a broken disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
