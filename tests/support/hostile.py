"""Hostile input for the embedded server: requests and pushes from a grammar, then damaged."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import cramjam
from hypothesis import strategies as st

PATIENCE = 60.0
"""Seconds after which an answer will not come any more, on a machine under any load."""


def connected(url: str) -> socket.socket:
    """A connection to the server."""
    address = urlsplit(url)
    return socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=PATIENCE)


def conversation(url: str, sent: bytes) -> bytes:
    """All that the server answers on one connection to these bytes, after which the client sends no more."""
    with connected(url) as connection:
        received = bytearray()
        with contextlib.suppress(OSError):  # the server may have ended the connection
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                received += piece
    return bytes(received)


def answers(url: str, sent: bytes) -> list[int]:
    """The statuses of all answers on one connection to these bytes."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", conversation(url, sent))]


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    """A request with exactly these header fields and this body."""
    return "\r\n".join((line, *fields, "", "")).encode("latin-1") + body


def varint(number: int, *, padding: int = 0) -> bytes:
    """The number as protobuf writes it, with superfluous bytes if wanted."""
    encoded = bytearray()
    while number > 127 or padding > 0:
        padding -= number <= 127
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes(encoded) + bytes([number])


def sized(number: int, content: bytes) -> bytes:
    """A field of protobuf with its size before it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def snappy(message: bytes) -> bytes:
    """The message as remote write packs it."""
    return bytes(cramjam.snappy.compress_raw(message))


def label(name: str, value: str) -> bytes:
    """A label of a series."""
    return sized(1, sized(1, name.encode()) + sized(2, value.encode()))


CALLS = label("__name__", "gen_ai_client_operation_duration_seconds_count")
SAMPLE = sized(2, b"\x09" + b"\0" * 6 + b"\xf0\x3f" + b"\x10\x01")

BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a size that never ends": ("/api/v1/write", lambda: b"\xff" * 800_000),
    "a key that never ends": ("/api/v1/write", lambda: snappy(b"\xff" * 800_000)),
    "a declared size of 4 GiB": ("/api/v1/write", lambda: b"\xff\xff\xff\xff\x0f" + b"\0" * 100),
    "empty series": ("/api/v1/write", lambda: snappy(b"\x0a\x00" * 8_000_000)),
    "empty labels": ("/api/v1/write", lambda: snappy(sized(1, b"\x0a\x00" * 8_000_000))),
    "empty samples": ("/api/v1/write", lambda: snappy(sized(1, CALLS + b"\x12\x00" * 8_000_000))),
    "unknown fields": ("/api/v1/write", lambda: snappy(b"\x18\x00" * 8_000_000)),
    "a long label": ("/api/v1/write", lambda: snappy(sized(1, CALLS + label("a", "x" * 16_000_000)))),
    "white space": ("/loki/api/v1/push", lambda: gzip.compress(b" " * 60_000_000, 1)),
    "empty arrays": ("/loki/api/v1/push", lambda: gzip.compress(b'{"streams":[' + b"[]," * 5_000_000 + b"[]]}", 1)),
    "empty objects": ("/loki/api/v1/push", lambda: gzip.compress(b'{"streams":[' + b"{}," * 5_000_000 + b"{}]}", 1)),
    "short texts": ("/loki/api/v1/push", lambda: gzip.compress(b'{"streams":[' + b'"ab",' * 3_000_000 + b"0]}", 1)),
    "a long key": ("/loki/api/v1/push", lambda: gzip.compress(b'{"' + b"k" * 16_000_000 + b'":0}', 1)),
    "nesting": ("/loki/api/v1/push", lambda: gzip.compress(b"[" * 16_000_000, 1)),
    "short entries": ("/loki/api/v1/push", lambda: loki(["1", "{}"], times=20_000)),
    "labels of an entry": ("/loki/api/v1/push", lambda: loki(["1", "{}", {f"a{n}": "" for n in range(100_000)}])),
    "lines of arrays": ("/loki/api/v1/push", lambda: loki(["1", '{"a":[' + "[]," * 80_000 + "[]]}"], times=50)),
    "a quotation without end": ("/loki/api/v1/push", lambda: gzip.compress(b'"' + b"\\\\" * 8_000_000, 1)),
}
"""Small pushes that ask for much memory or time, each with its path."""


HEAVY: dict[str, tuple[str, Callable[[], bytes]]] = {
    "lines of wide text": (
        "/loki/api/v1/push",
        lambda: loki(["1", '{"a":"\U0001f600' + "a" * 250_000 + '"}'], times=60),
    ),
    "arrays": ("/loki/api/v1/push", lambda: loki(["1", '{"a":[' + "{}," * 80_000 + "{}]}"], times=6)),
    "objects": ("/loki/api/v1/push", lambda: loki(["1", '{"a":[' + '{"a":0},' * 25_000 + "{}]}"], times=13)),
    "series": (
        "/api/v1/write",
        lambda: snappy(sized(1, CALLS + label("a", "\U0001f600" + "x" * 1500) + SAMPLE) * 10_000),
    ),
}
"""Pushes that use the bounds to the full and are taken, each with its path."""


LONG_QUERY = b'time=1&query=sum (last_over_time(a{b="' + b"x" * 15_000_000 + b'"}[1h]))'
ANSWERS = [
    ("/api/overview?seconds=900", 1_000_000),
    ("/api/overview?seconds=900&by=error_type", 1_000_000),
    (f"/loki/api/v1/query_range?query=%7Bjob%3D%22x%22%7D&start=0&end={'9' * 18}1&limit=5000", 9_000_000),
    ("/api/calls?limit=200", 9_000_000),
]
"""Questions about `large_history`, each with the most bytes that its answer may have."""


def large_history() -> Iterator[tuple[str, bytes]]:
    """Pushes, each with its path, that are taken and whose answers would be large without bounds."""
    for number in range(2):
        errors = (
            label("error_type", f"e{number}-{each}-{'p' * 300}") + label("m", f"{each}") for each in range(10_000)
        )
        sample = sized(2, b"\x09" + b"\0" * 6 + b"\xf0\x3f" + b"\x10" + varint(time.time_ns() // 1_000_000))
        yield "/api/v1/write", snappy(b"".join(sized(1, CALLS + error + sample) for error in errors))
    for number in range(3):
        lines = (json.dumps({"id": f"{number}-{each}", "request": {"prompt": "a" * 250_000}}) for each in range(60))
        yield "/loki/api/v1/push", pushed([[f"{time.time_ns()}", line] for line in lines])


def loki(*values: object, times: int = 1) -> bytes:
    """A push to Loki of these values, so many times over."""
    return pushed([*values] * times)


def pushed(values: list[Any]) -> bytes:
    """A push to Loki of these values."""
    text = json.dumps({"streams": [{"stream": {}, "values": values}]}, ensure_ascii=False)
    return gzip.compress(text.encode(), 1)


class LimitedServer:
    """`monitored-openai local` with an address space of 512 MiB; leaving it checks that it reported no traceback."""

    BYTES = 512 * 2**20

    def __init__(self, folder: Path) -> None:
        import resource  # which Windows has not

        self.url = ""
        self._errors = (folder / "errors").open("w+")
        command = shutil.which("monitored-openai", path=Path(sys.executable).parent) or "monitored-openai"
        limit = partial(resource.setrlimit, resource.RLIMIT_AS, (self.BYTES, self.BYTES))
        self._process = subprocess.Popen(
            [command, "local", "--port", "0", "--history", folder / "history.sqlite3"],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            # each thread of glibc's reserves 64 MiB of addresses that it does not use
            env={**os.environ, "PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2"},
            preexec_fn=limit,  # noqa: PLW1509  # it sets a number
        )

    def most_mib(self) -> float:
        """The most memory that it has had at once."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+([0-9]+) kB", status)[0]) / 1024

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(r"http://[0-9.]+:[0-9]+", line):
                self.url = found[0]
                break
        assert self.url
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with self._process, self._errors:
            self._process.wait(PATIENCE)
            self._errors.seek(0)
            errors = self._errors.read()
        assert "Traceback" not in errors, errors
        assert "a request failed" not in errors, errors


# Requests made by grammar

LINES = st.sampled_from(
    [
        *("GET / HTTP/1.1", "GET /api/calls?q=a HTTP/1.1", "GET /api/overview?seconds=900 HTTP/1.1", "GET / HTTP/1.0"),
        *("POST /api/v1/write HTTP/1.1", "POST /loki/api/v1/push HTTP/1.1", "POST /loki/api/v1/push HTTP/1.0"),
        *("GET //[x HTTP/1.1", "GET http://a/ HTTP/1.1", "GET * HTTP/1.1", "HEAD / HTTP/1.1", "CONNECT a:1 HTTP/1.1"),
        *("OPTIONS /api/calls HTTP/1.1", "GET /api/calls/%ff HTTP/1.1", "GET /?" + "a=1&" * 100 + " HTTP/1.1"),
    ]
)
FIELDS = st.sampled_from(
    [
        *("Host: 127.0.0.1", "Host: [", "Host: evil.example", "Connection: close", "Connection: keep-alive"),
        *("Origin: http://[x", "Origin: null", "Origin: http://127.0.0.1", "Upgrade: h2c", "If-None-Match: *"),
        *("Authorization: Basic \xe9", "Authorization: Basic OsO/", "Authorization: Bearer \xff", "Authorization:"),
        *(
            "Content-Length: 5",
            "Content-Length: 05",
            "Content-Length: +5",
            "Content-Length: 5, 5",
            "Content-Length: -1",
        ),
        *("Content-Length: 99999999999999999999", "Content-Length: 16777217", "Content-Length : 5", "content-length:5"),
        *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: xchunked"),
        *("Transfer-Encoding:\tchunked", " folded", "Expect: 100-continue", "no field", ": empty"),
        *("X: \x00", "X: \x7f", "X:" + " " * 30_000 + "\x01"),
    ]
)
PUSHES = st.sampled_from(
    [loki(["1", "{}"]), snappy(sized(1, CALLS + SAMPLE)), b"", b"0\r\n\r\n", b"5\r\nabcde\r\n0\r\n\r\n"]
)
DAMAGE = st.tuples(
    st.integers(0, 400), st.integers(0, 3), st.binary(max_size=4) | st.sampled_from([b"\n", b"\r", b"\r\n"])
)


def damaged(content: bytes, damage: list[tuple[int, int, bytes]]) -> bytes:
    """The content with some bytes at these places replaced by others."""
    for at, length, by in damage:
        content = content[:at] + by + content[at + length :]
    return content


def _made(line: str, fields: list[str], body: bytes, damage: list[tuple[int, int, bytes]], measured: bool) -> bytes:
    size = [f"Content-Length: {len(body)}"] if measured and line.startswith("POST") else []
    return damaged(request(line, "Host: 127.0.0.1", *size, *fields, body=body), damage)


REQUESTS = st.lists(
    st.builds(_made, LINES, st.lists(FIELDS, max_size=2), PUSHES, st.lists(DAMAGE, max_size=2), st.booleans()),
    min_size=1,
    max_size=3,
).map(b"".join)

# Pushes made by grammar

_NUMBERS = st.sampled_from([0, 1, 2, 127, 128, 2**31, 2**32, 2**63, 2**64 - 1, 2**64, 2**70])
_VARINTS = st.builds(lambda number, padding: varint(number, padding=padding), _NUMBERS, st.integers(0, 10))
_LEAVES = st.binary(max_size=9) | st.sampled_from([CALLS, SAMPLE, b"\x09" + b"\xff" * 8, b"\x08\x01"])
_MESSAGES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(
        st.builds(sized, st.integers(0, 3), inner) | st.builds(lambda a, b: a + b, _VARINTS, _VARINTS) | inner,
        max_size=4,
    ).map(b"".join),
    max_leaves=12,
)
SERIES = st.builds(damaged, _MESSAGES, st.lists(DAMAGE, max_size=2)).map(snappy) | st.builds(
    damaged, _MESSAGES.map(snappy), st.lists(DAMAGE, max_size=2)
)

_TEXTS = st.sampled_from(
    ["NaN", "1e999", "-Infinity", "null", "{}", "[]", '""', '"1"', "1", "[" * 3000, '"\\ud800"', "9" * 5000]
)
_CALLS_TEXT = st.sampled_from(
    ['{"a":NaN}', '{"a":1e999,"a":2}', "{}", "[1]", '{"id":"\\ud800"}', '{"attributes":{"a":1}}']
)
_ENTRIES = st.builds(
    lambda time, line, metadata: f"[{time},{json.dumps(line)},{metadata}]",
    st.sampled_from(['"1"', '"-1"', '"1e9"', '" 1"', '"\\u0661"', "1", "1e999", '"' + "9" * 30 + '"', "null"]) | _TEXTS,
    _CALLS_TEXT,
    st.sampled_from(["{}", '{"a":"b"}', '{"a":1}', '{"a":"b","a":"c"}', "[]"]) | _TEXTS,
)
_STREAMS = st.builds(
    lambda labels, values: f'{{"stream":{labels},"values":[{",".join(values)}]}}',
    st.sampled_from(["{}", '{"a":"b"}', '{"a":{}}', '{"a":"b","a":"b"}']) | _TEXTS,
    st.lists(_ENTRIES, max_size=3),
)
ENTRIES = st.builds(
    lambda streams, text, damage: damaged(f'{{"streams":[{",".join(streams)}]{text}}}'.encode(), damage),
    st.lists(_STREAMS | _TEXTS, max_size=3),
    st.sampled_from(["", ',"streams":[]', ",1", ',"x":NaN']),
    st.lists(DAMAGE, max_size=1),
).map(gzip.compress) | st.builds(damaged, st.just(loki(["1", "{}"])), st.lists(DAMAGE, min_size=1, max_size=3))
