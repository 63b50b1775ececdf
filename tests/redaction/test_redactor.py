"""Redaction of every text: secrets and media always, and the user's patterns if set."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai._redaction.redactor import REDACTED, PatternTimeout, redacted, redactor, without_secrets

KEY = "sk-proj-Ab3_9xYz-0123456789"
SECRETS = [
    KEY,
    "sk-or-v1-0123456789abcdef",
    "sk-abcde***********wxyz",
    "csk-0123456789abcdefghijklmn",
    "gsk_0123456789abcdefghijklmn",
    "xai-0123456789abcdefghijklmn",
    "pplx-0123456789abcdefghijklmn",
    "AIza0123456789-abcdefghijklmnopqrstuvwxyz",
    "glc_eyJvIjoiMTIzNDU2Nzg5",
    "glsa_0123456789abcdef",
    "Bearer abcdefghij.0123456789",
    "bearer abcdefghij.0123456789",
    "Authorization: Basic dXNlcjpwYXNzd29yZA==",
    "authorization=Token 0123456789abcdef",
    "api-key: 0123456789abcdef",
    "x-api-key: 0123456789abcdef",
    "Api-Key: 0123456789abcdef",
    "AZURE_OPENAI_API_KEY=0123456789abcdef",
    "api_key = 'eyJhbGciOiJ.eyJzdWIiOiIx.c2lnbmF0dXJl'",
    "apiKey: 0123456789abcdef",
    "Incorrect API key provided: my-s******word.",
]
TAILS = ["0123456789", "*wxyz", "eyJvIjoiMTIzNDU2Nzg5", "dXNlcjpwYXNzd29yZA", "eyJzdWIiOiIx", "c2lnbmF0dXJl", "word"]
"""What of these must not be seen afterwards."""
BEFORE = ["", " ", "my key:\n", "\t", "\r\n", '"', "(", "=", "\x00", "ключ", "€", "/", "%0A", "_", "\\n"]


def assert_clean(text: str) -> None:
    assert REDACTED in text
    assert [tail for tail in TAILS if tail in text] == []


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_taken_out_wherever_it_stands(secret: str) -> None:
    for before in BEFORE:
        assert_clean(without_secrets(f"{before}{secret} and more"))


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_secret_is_taken_out_of_json_within_json_which_stays_json(secret: str, levels: int) -> None:
    for before in BEFORE:
        text = f"{before}{secret} and more"
        for _ in range(levels):
            text = json.dumps({"text": text, secret: [text]})
        clean = without_secrets(text)
        assert_clean(clean)
        for _ in range(levels):
            clean = json.loads(clean)["text"]


@pytest.mark.parametrize("name", ["Authorization", "api_key", "api-key", "apiKey", "OPENAI_API_KEY"])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_named_secret_is_taken_out_of_nested_json_and_the_names_stay(name: str, levels: int) -> None:
    text = json.dumps({name: "Basic 0123456789abcdef" if name == "Authorization" else "0123456789abcdef"})
    for _ in range(levels):
        text = json.dumps({"arguments": text})
    clean = without_secrets(text)
    assert_clean(clean)
    for _ in range(levels):
        clean = json.loads(clean)["arguments"]
    assert REDACTED in json.loads(clean)[name]


@pytest.mark.parametrize(
    "text",
    [
        "a task-management-system and a risk-assessment",
        "api_key = os.environ['OPENAI_API_KEY']",
        "the bearer of this letter",
        "an API key is needed",
        "key: value, monkey: banana-split-with-cream",
        "authorization is required for this",
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert without_secrets(text) == text


@given(st.text(max_size=60), st.sampled_from(SECRETS), st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_json_stays_json_whatever_is_around_a_secret(before: str, secret: str, after: str) -> None:
    line = json.dumps({"a": before + secret + after, "b": [{secret: after}]}, ensure_ascii=False)
    assert isinstance(json.loads(without_secrets(line), strict=False), dict)


@pytest.mark.parametrize(
    "text",
    [
        "sk-" * 500_000,
        "uthorization" + " " * 1_000_000,
        "api_key" * 200_000,
        "api_key" + "\\" * 1_000_000,
        "data:" * 200_000 + ";base64,",
        "data:a/" * 150_000 + ";base64,",
        "data:x/y;base64," + ("A" * 61 + "\n") * 17_000 + "!",
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.timeout(20)
def test_a_text_made_to_be_slow_is_not(text: str) -> None:
    redacted(without_secrets(text), "request", None)


IMAGE = "iVBORw0KGgo" + "A" * 300 + "=="
DIGEST = hashlib.sha256(IMAGE.encode()).hexdigest()


@pytest.mark.parametrize(
    ("text", "field", "shown"),
    [
        (f"data:image/png;base64,{IMAGE}", "url", f"[image/png, 233 bytes, sha256 of the base64 {DIGEST}]"),
        (f"data:image/png;name=a.png;base64,{IMAGE}", "url", f"[image/png, 233 bytes, sha256 of the base64 {DIGEST}]"),
        (f"data:;base64,{IMAGE}", "url", f"[media, 233 bytes, sha256 of the base64 {DIGEST}]"),
        (
            f"![a](data:image/png;base64,{IMAGE}) b",
            "content",
            f"![a]([image/png, 233 bytes, sha256 of the base64 {DIGEST}]) b",
        ),
        (
            f"data:image/png;base64,{IMAGE} what is it?",
            "content",
            f"[image/png, 233 bytes, sha256 of the base64 {DIGEST}] what is it?",
        ),
        (IMAGE, "request.messages.content.input_audio.data", f"[base64, 233 bytes, sha256 of the base64 {DIGEST}]"),
        (IMAGE, "b64_json", f"[base64, 233 bytes, sha256 of the base64 {DIGEST}]"),
        (IMAGE, "file_data", f"[base64, 233 bytes, sha256 of the base64 {DIGEST}]"),
        (IMAGE, "content", IMAGE),
        ("plain words " * 40, "data", "plain words " * 40),
        ("data:text/plain,hello", "url", "data:text/plain,hello"),
    ],
)
def test_media_in_base64_becomes_its_type_size_and_hash(text: str, field: str, shown: str) -> None:
    assert redacted(text, field, None) == shown


def test_a_small_image_is_taken_out_too_and_wrapped_lines_belong_to_it() -> None:
    assert redacted("data:image/gif;base64,R0lGODlhAQABAAAAACw=", "url", None).startswith("[image/gif, 14 bytes")
    wrapped = "data:image/png;base64," + "\n".join(["A" * 76] * 5 + ["BBBB=="])
    assert redacted(wrapped, "url", None).startswith("[image/png, 288 bytes")


def test_the_same_image_has_the_same_hash_wherever_it_is() -> None:
    as_url = redacted(f"data:image/png;base64,{IMAGE}", "url", None)
    as_part = redacted(IMAGE, "data", None)
    assert as_url.rpartition(" ")[2] == as_part.rpartition(" ")[2]


def test_patterns_are_applied_one_after_the_other_with_flags_and_groups_of_their_own() -> None:
    redact = redactor((r"(?i)alice", r"(\d)\1", r"(?P<x>b)ob", r"(?P<x>c)arol", r"(?x) dave  # a name"))
    assert redact is not None
    assert redact("ALICE 77 78 bob carol dave", "x") == f"{REDACTED} {REDACTED} 78 {REDACTED} {REDACTED} {REDACTED}"


def test_no_patterns_are_no_redactor() -> None:
    assert redactor(()) is None
    assert redactor(None) is None


def test_a_function_sees_every_text_with_the_dotted_name_of_its_field() -> None:
    seen: list[tuple[str, str]] = []

    def note(text: str, field: str) -> str:
        seen.append((field, text))
        return text

    value = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}, {"content": "again"}],
        "temperature": 0.5,
        "metadata": {"alice@example.com": "x"},
    }
    assert redacted(value, "request", note) == value
    assert seen == [
        ("request.model", "gpt-4o"),
        ("request.messages.role", "user"),
        ("request.messages.content.type", "text"),
        ("request.messages.content.text", "hello"),
        ("request.messages.content", "again"),
        ("request.metadata", "alice@example.com"),
        ("request.metadata.alice@example.com", "x"),
    ]


def test_a_name_that_is_no_plain_word_is_redacted_as_a_text_is() -> None:
    redact = redactor((r"\S+@\S+", "content"))
    assert redacted({"alice@example.com": 1, "content": "content"}, "request", redact) == {
        REDACTED: 1,
        "content": REDACTED,
    }


def test_media_is_taken_out_before_a_function_sees_it() -> None:
    assert redacted(f"data:image/png;base64,{IMAGE}", "url", lambda text, field: text[:10]) == "[image/png"


SLOW = r"(\w|\w\w)+$"
"""Needs exponential time on `SLOW_TEXT`: with `re`, longer than anybody can wait."""
SLOW_TEXT = "a" * 60 + "!"


def test_a_pattern_that_takes_too_long_is_stopped_and_named_by_its_place() -> None:
    redact = redactor(("alice", SLOW))
    assert redact is not None
    with pytest.raises(PatternTimeout, match="pattern 2 of redact took too long"):
        redact(SLOW_TEXT, "x")
    assert redact("alice!", "x") == f"{REDACTED}!"


def test_other_threads_run_while_a_pattern_is_slow() -> None:
    redact = redactor((SLOW,))
    assert redact is not None
    ended = threading.Event()

    def run() -> None:
        with pytest.raises(PatternTimeout):
            redact(SLOW_TEXT, "x")
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    turns = 0
    while not ended.wait(0.001):
        turns += 1
    thread.join()
    assert turns > 5


@pytest.mark.alone
def test_a_flood_of_slow_texts_gets_less_time_for_each() -> None:
    redact = redactor((SLOW,))
    assert redact is not None
    began = time.monotonic()
    for _ in range(30):
        with pytest.raises(PatternTimeout):
            redact(SLOW_TEXT, "x")
    assert time.monotonic() - began < 6  # 7.5 s, were each given the whole limit
    assert redact("as ever!", "x") == "as ever!"


@pytest.mark.parametrize("wrong", [None, 7, b"text"])
def test_a_function_that_gives_no_text_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="redact must return a text"):
        redacted({"a": "b"}, "request", lambda text, field: wrong)


class Odd:
    def __str__(self) -> str:
        return "alice@example.com"


def test_what_is_no_plain_data_is_taken_as_its_text_and_redacted() -> None:
    generator = (number for number in range(3))
    made = redacted(
        {"a": Odd(), 7: b"x", "g": generator, "n": float("nan"), "i": float("-inf")}, "r", redactor((r"\S+@\S+",))
    )
    assert made == {"a": REDACTED, "7": "b'x'", "g": str(generator), "n": "nan", "i": "-inf"}
    assert list(generator) == [0, 1, 2]


def test_numbers_and_nothing_stay_as_they_are() -> None:
    assert redacted([None, True, 2**70, 0.5], "r", None) == [None, True, 2**70, 0.5]


def test_what_is_nested_too_deep_is_cut_off() -> None:
    value: Any = "bottom"
    for _ in range(5000):
        value = [value]
    made = redacted(value, "r", None)
    depth = 0
    while isinstance(made, list):
        made, depth = made[0], depth + 1
    assert (made, depth) == ("[nested too deep]", 100)
