"""The data read from embeddings, images and audio, and the cost by their length."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from openai import BaseModel

from monitored_openai import Cost, Usage
from monitored_openai._calls.request_fields import describe_files
from monitored_openai._endpoints.audio import SPEECH, TRANSCRIPTIONS
from monitored_openai._endpoints.base import Endpoint, parse_body
from monitored_openai._endpoints.embeddings import EMBEDDINGS
from monitored_openai._endpoints.final_event import FinalEventAccumulator
from monitored_openai._endpoints.images import EDITS, GENERATIONS
from monitored_openai._pricing.price_book import Billed, PriceBook, Unpriced

AT_NS = 1_790_000_000 * 10**9
BOOK = PriceBook()
PRICES = {"heard": {"minute": 0.6}, "said": {"characters": 12.0}, "text": {"input": 1.0, "output": 2.0}}
OWN = PriceBook(lambda: PRICES)


def usage_of(family: Endpoint, **body: Any) -> tuple[Usage | None, str | None]:
    answer = parse_body(family, json.dumps(body).encode())
    return answer.usage, answer.usage_unknown


def test_the_tokens_of_embeddings_are_input_and_their_vectors_are_not_kept() -> None:
    vectors = [{"index": 0, "embedding": [0.1, 0.2]}, {"index": 1, "embedding": "AAAAPwAAgL4AAIA/"}, {"index": 2}, 7]
    body = {"model": "m", "data": vectors, "usage": {"prompt_tokens": 5, "total_tokens": 5}}
    answer = parse_body(EMBEDDINGS, json.dumps(body).encode())
    assert (answer.usage, answer.model) == (Usage(input_tokens=5), "m")
    assert isinstance(answer.body, dict)
    assert [entry if entry == 7 else entry.get("embedding") for entry in answer.body["data"]] == [
        "[2 numbers]",
        "[3 numbers]",
        None,
        7,
    ]


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"type": "duration", "seconds": 12}, (Usage(input_seconds=12.0), None)),
        ({"type": "duration", "seconds": 0.5}, (Usage(input_seconds=0.5), None)),
        ({"type": "duration", "seconds": -1}, (None, "invalid")),
        ({"type": "duration", "seconds": "12"}, (None, "invalid")),
        ({"type": "duration", "seconds": True}, (None, "invalid")),
        (None, (None, "not_reported")),
        (
            {"type": "tokens", "input_tokens": 9, "output_tokens": 2, "input_token_details": {"audio_tokens": 7}},
            (Usage(input_tokens=9, output_tokens=2, input_audio_tokens=7), None),
        ),
    ],
)
def test_audio_is_told_in_seconds_or_in_tokens(usage: Any, read: Any) -> None:
    assert usage_of(TRANSCRIPTIONS, text="said", usage=usage) == read


def test_a_transcript_in_plain_text_is_no_fault() -> None:
    for said in (b"What was said.", b"42", b"null"):
        answer = parse_body(TRANSCRIPTIONS, said)
        assert (answer.body, answer.usage_unknown) == (said.decode().replace("null", "None"), "not_reported")


def test_a_drawing_has_the_usage_of_its_author_as_a_part() -> None:
    usage = {"input_tokens": 3, "output_tokens": 4, "output_tokens_details": {"image_tokens": 4}}
    author = {"model": "m", "input_tokens": 30, "output_tokens": 9, "reasoning_tokens": 5, "total_tokens": 39}
    answer = parse_body(GENERATIONS, json.dumps({"usage": usage, "svg_usage": author}).encode())
    assert answer.usage == Usage(input_tokens=3, output_tokens=4, output_image_tokens=4)
    assert answer.parts == (("m", Usage(input_tokens=30, output_tokens=9, output_reasoning_tokens=5)),)
    assert (answer.unpriced, answer.incomplete) == (None, ())


@pytest.mark.parametrize("author", [{"model": "m"}, {"input_tokens": 1}, {"model": "m", "input_tokens": -1}, "x"])
def test_a_drawing_by_an_author_of_unknown_usage_is_incomplete(author: Any) -> None:
    answer = parse_body(GENERATIONS, json.dumps({"svg_usage": author}).encode())
    assert (answer.parts, answer.incomplete) == ((), ("unit",))


@pytest.mark.parametrize(("endpoint", "unpriced"), [(EDITS, "split_unknown"), (GENERATIONS, None)], ids=["edit", "new"])
def test_an_edit_without_its_image_tokens_has_no_price(endpoint: Endpoint, unpriced: str | None) -> None:
    usage = {"input_tokens": 3, "output_tokens": 4, "output_tokens_details": {"image_tokens": 4}}
    assert parse_body(endpoint, json.dumps({"usage": usage}).encode()).unpriced == unpriced
    split = {**usage, "input_tokens_details": {"image_tokens": 1, "text_tokens": 2}}
    assert parse_body(endpoint, json.dumps({"usage": split}).encode()).unpriced is None


def test_a_stream_keeps_its_last_event_and_of_a_broken_one_the_text() -> None:
    events = FinalEventAccumulator()
    told: list[dict[str, Any]] = [
        {"type": "transcript.text.delta", "delta": "What "},
        {"type": "image_generation.partial_image", "b64_json": "A" * 1000},
        {"type": "transcript.text.delta", "delta": "for"},
    ]
    for event in told:
        assert events.add(BaseModel.construct(**event)) is False
    assert (events.size(), events.body()) == (8, {"text": "What for"})
    events.add(BaseModel.construct(type="transcript.text.done", text="What for?", usage={"type": "tokens"}))
    assert events.body() == {"type": "transcript.text.done", "text": "What for?", "usage": {"type": "tokens"}}


def test_what_is_spoken_is_counted_in_characters() -> None:
    assert SPEECH.billed_request is not None
    assert SPEECH.billed_request({"input": "grüß"}) == Usage(input_characters=4)
    assert SPEECH.billed_request({"input": None}) == Usage()


def test_files_are_described_without_being_read() -> None:
    stream = io.BytesIO(b"four")
    files = [
        ("image[]", ("a.png", b"xyz", "image/png")),
        ("image[]", Path("/somewhere/b.png")),
        ("mask", b"12"),
        ("file", stream),
        ("odd", ("name.bin", stream)),
    ]
    assert describe_files(files) == {
        "image": ["[file, a.png, image/png, 3 bytes]", "[file, b.png]"],
        "mask": "[file, 2 bytes]",
        "file": "[file]",
        "odd": "[file, name.bin]",
    }
    assert describe_files({"file": b""}) == {"file": "[file, 0 bytes]"}
    assert describe_files([]) == {}
    assert stream.tell() == 0


@pytest.mark.parametrize(
    ("model", "usage", "price"),
    [
        ("whisper-1", Usage(input_seconds=60), 0.006),
        ("tts-1", Usage(input_characters=1_000_000), 15.0),
        ("heard", Usage(input_seconds=90), 0.9),
        ("said", Usage(input_characters=500_000), 6.0),
        ("text-embedding-3-small", Usage(input_tokens=1_000_000), 0.02),
        ("gpt-image-1.5", Usage(input_tokens=0, output_tokens=1_000_000, output_image_tokens=1_000_000), 32.0),
        ("gpt-image-1.5", Usage(input_tokens=0, output_tokens=1_000_000, output_image_tokens=0), 10.0),
        ("gpt-image-1.5", Usage(input_tokens=0, output_tokens=10), Unpriced.SPLIT_UNKNOWN),
        ("gpt-4o-transcribe", Usage(input_tokens=1_000_000, input_audio_tokens=1_000_000, output_tokens=0), 6.0),
        ("gpt-4o-mini-tts", Usage(input_characters=100), Unpriced.NO_RATE_FOR_KIND),
        ("whisper-1", Usage(input_characters=100), Unpriced.USAGE_UNKNOWN),
        ("text", Usage(input_seconds=5), Unpriced.NO_RATE_FOR_KIND),
        ("dall-e-3", Usage(), Unpriced.UNKNOWN_MODEL),
    ],
)
def test_lengths_are_priced_where_that_is_what_is_billed(model: str, usage: Usage, price: float | Unpriced) -> None:
    book = OWN if model in ("heard", "said", "text") else BOOK
    cost = book.cost(Billed(provider="openai", model=model, usage=usage, at_ns=AT_NS))
    if isinstance(price, Unpriced):
        assert cost == price
    else:
        assert isinstance(cost, Cost)
        assert cost.total_usd == pytest.approx(price)
