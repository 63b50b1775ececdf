"""A back end for remote write and Loki pushes, in a separate process so that its CPU does not count as ours.

`python -m benchmarks.sink` prints its port and answers at once; with `--mute` it accepts requests and never answers.
It decodes the bodies only for `GET /received`, not on arrival.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from benchmarks import child
from monitored_openai._metrics.names import DURATION
from tests.support.servers._wire import decode

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Telemetry that a back end has received."""

    calls: int
    """Calls, by the newest value of each series."""
    entries: int
    body_bytes: int
    """Bytes of the request bodies as sent."""


class Sink:
    """Stores the bodies of requests without decoding them."""

    def __init__(self, *, mute: bool) -> None:
        self._mute = mute
        self._writes: list[bytes] = []
        self._pushes: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Accept requests until the client disconnects."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                answer = self._answer(head, body)
                if not self._mute:
                    writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET "):
            seen = json.dumps(asdict(self._received())).encode()
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(seen), seen)
        (self._pushes if b"/loki/" in head.split(b"\r\n", 1)[0] else self._writes).append(body)
        return b"HTTP/1.1 204 No Content\r\n\r\n"

    def _received(self) -> Received:
        newest = {
            series.labels: series.samples[-1][1]
            for write in self._writes
            for series in decode(write)
            if series.name == DURATION.count
        }
        streams = [stream for push in self._pushes for stream in json.loads(gzip.decompress(push))["streams"]]
        return Received(
            calls=round(sum(newest.values())),
            entries=sum(len(stream["values"]) for stream in streams),
            body_bytes=sum(map(len, (*self._writes, *self._pushes))),
        )


@dataclass(frozen=True, slots=True)
class BackEnd:
    """A running back end: its URL, and access to the telemetry that it received."""

    url: str

    def received(self) -> Received:
        """Return the telemetry received so far."""
        with urllib.request.urlopen(f"{self.url}/received", timeout=60) as answer:  # noqa: S310  # loopback
            return Received(**json.load(answer))


@contextmanager
def back_end(*, mute: bool = False) -> Iterator[BackEnd]:
    """Run a sink until the end of the block."""
    with child.start("-m", "benchmarks.sink", *(["--mute"] if mute else [])) as process:
        assert process.stdout is not None
        try:
            yield BackEnd(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()


async def _main(*, mute: bool) -> None:
    server = await asyncio.start_server(Sink(mute=mute).serve, "127.0.0.1", 0, limit=2**26)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(mute="--mute" in sys.argv))
