"""Ways to read a call's result. Each takes the result out of a list of one, so that it can be released."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from tests.conformance._ways import DONE, Way

See = Callable[[Any], None]
Read = Callable[[Way, list[Any], See], Awaitable[None]]


class UserError(Exception):
    """The caller's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How far the caller reads; `error` is what becomes of the call if nothing else is wrong with it."""

    read: Read
    error: str | None = None
    only_core: bool = False


async def nothing(way: Way, box: list[Any], see: See) -> None:
    """There is nothing to read."""


async def loop(way: Way, box: list[Any], see: See) -> None:
    await way.each(box[0], see)


async def steps(way: Way, box: list[Any], see: See) -> None:
    while (item := await way.step(box[0])) is not DONE:
        see(item)
    see(await way.step(box[0]))


async def loop_twice(way: Way, box: list[Any], see: See) -> None:
    await loop(way, box, see)
    await loop(way, box, see)


async def loop_and_close_twice(way: Way, box: list[Any], see: See) -> None:
    await loop(way, box, see)
    await close_unread(way, box, see)


async def loop_inside_with(way: Way, box: list[Any], see: See) -> None:
    async with AsyncExitStack() as stack:
        see(await way.enter(stack, box[0]))
        await loop(way, box, see)


async def close_unread(way: Way, box: list[Any], see: See) -> None:
    see(await way.get(box[0].close()))
    see(await way.get(box[0].close()))


async def break_and_close(way: Way, box: list[Any], see: See) -> None:
    await way.each(box[0], see, 2)
    see(await way.get(box[0].close()))


async def leave_with_early(way: Way, box: list[Any], see: See) -> None:
    async with AsyncExitStack() as stack:
        await way.enter(stack, box[0])
        see(await way.step(box[0]))


async def raise_inside_with(way: Way, box: list[Any], see: See) -> None:
    async with AsyncExitStack() as stack:
        await way.enter(stack, box[0])
        see(await way.step(box[0]))
        raise UserError("mine")


async def break_and_drop(way: Way, box: list[Any], see: See) -> None:
    await way.each(box[0], see, 2)
    box.clear()
    await way.collect()


async def drop_unread(way: Way, box: list[Any], see: See) -> None:
    box.clear()
    await way.collect()


async def parse_raw(way: Way, box: list[Any], see: See) -> None:
    raw = box[0]
    see(raw.content)
    see(raw.parse())
    see(raw.parse() is raw.parse())
    see(raw.text)


async def drop_unparsed(way: Way, box: list[Any], see: See) -> None:
    see(box[0].content)
    box.clear()
    await way.collect()


async def leave_unread(way: Way, box: list[Any], see: See) -> None:
    see(box[0].is_closed)


async def parse(way: Way, box: list[Any], see: See) -> None:
    see(await way.get(box[0].parse()))
    see(await way.get(box[0].parse()))
    see(box[0].is_closed)


async def read_whole(way: Way, box: list[Any], see: See) -> None:
    see(await way.get(box[0].read()))
    see(await way.get(box[0].text()))


async def read_json(way: Way, box: list[Any], see: See) -> None:
    see(await way.get(box[0].json()))


async def read_text(way: Way, box: list[Any], see: See) -> None:
    see(await way.get(box[0].text()))


async def read_bytes(way: Way, box: list[Any], see: See) -> None:
    await _joined(way, box[0].iter_bytes(), b"", see)


async def read_small_bytes(way: Way, box: list[Any], see: See) -> None:
    await way.each(box[0].iter_bytes(50), see)


async def read_raw_bytes(way: Way, box: list[Any], see: See) -> None:
    response = box[0].http_response
    await _joined(way, response.aiter_raw() if way.is_async else response.iter_raw(), b"", see)


async def read_pieces_of_text(way: Way, box: list[Any], see: See) -> None:
    await _joined(way, box[0].iter_text(), "", see)


async def read_lines(way: Way, box: list[Any], see: See) -> None:
    await way.each(box[0].iter_lines(), see)


async def read_a_line(way: Way, box: list[Any], see: See) -> None:
    await way.each(box[0].iter_lines(), see, 1)


async def _joined(way: Way, pieces: Any, empty: Any, see: See) -> None:
    """Where the pieces begin and end is up to the network."""
    taken: list[Any] = []
    await way.each(pieces, taken.append)
    see(empty.join(taken))


def _named(*reads: Read, error: str | None = None, only_core: bool = False) -> dict[str, Reading]:
    return {read.__name__: Reading(read=read, error=error, only_core=only_core) for read in reads}


_BYTES = (
    _named(read_whole)
    | _named(read_text, read_bytes, read_small_bytes, read_raw_bytes, read_pieces_of_text, read_lines, only_core=True)
    | _named(leave_unread, error="abandoned")
)

VALUE = {"": Reading(read=nothing)}
RAW = _named(parse_raw) | _named(drop_unparsed, only_core=True)
BODY = _named(parse, read_json) | _BYTES
EVENTS = _BYTES | _named(read_a_line, error="abandoned")
UNPARSED = _named(drop_unread, error="abandoned")
STREAM = (
    _named(loop, steps)
    | _named(loop_twice, loop_and_close_twice, loop_inside_with, only_core=True)
    | _named(break_and_close, raise_inside_with, error="abandoned")
    | _named(close_unread, leave_with_early, break_and_drop, drop_unread, error="abandoned", only_core=True)
)
KINDS: Mapping[str, Mapping[str, Reading]] = {
    "value": VALUE,
    "raw": RAW,
    "body": BODY,
    "events": EVENTS,
    "unparsed": UNPARSED,
    "stream": STREAM,
}
"""A value; a raw response; a body, or events, to be read as bytes; a raw stream never parsed; chunks or helper events."""
