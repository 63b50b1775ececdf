"""JSON encoding and decoding, also of values that the fast library refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai._json import decode, encode

TEXTS = st.text(st.characters(), max_size=20)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
JSON = st.recursive(PLAIN, lambda part: st.lists(part, max_size=4) | st.dictionaries(TEXTS, part, max_size=4))


def without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [without_surrogates(part) for part in value]
    if isinstance(value, dict):
        return {without_surrogates(name): without_surrogates(part) for name, part in value.items()}
    return value


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_again_but_for_lone_surrogates(value: Any) -> None:
    written = encode(value)
    assert decode(written) == json.loads(written) == without_surrogates(value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": "\ud800x"}, b'{"a":"?x"}'),
        ({"\udfff": ["\ud83d\ude00"]}, b'{"?":["??"]}'),
        ({"a": ("é", "😀", "\x00", "\u2028")}, '{"a":["é","😀","\\u0000","\u2028"]}'.encode()),
        ([2**70, 0.1, 1e300], b"[1180591620717411303424,0.1,1e+300]"),
    ],
)
def test_lone_surrogates_become_question_marks_and_everything_else_stays(value: Any, written: bytes) -> None:
    assert json.loads(encode(value)) == json.loads(written)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": "\\ud800"}', {"a": "\ud800"}),
        (b"\xef\xbb\xbf{}", {}),
        (b" [1, 2] ", [1, 2]),
        (b"NaN", pytest.approx(float("nan"), nan_ok=True)),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_what_servers_send_for_json_is_read(text: bytes, value: Any) -> None:
    assert decode(text) == value


@pytest.mark.parametrize(
    "text",
    [b"", b"<html>", b"{", b'{"a": }', b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b"[1] [2]"],
    ids=lambda text: text[:6],
)
def test_what_is_no_json_is_a_value_error_and_nothing_else(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever text
        decode(text)
