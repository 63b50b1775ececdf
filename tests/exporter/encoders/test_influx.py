from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitored_openai import Monitoring
from monitored_openai._exporter.encoders import influx
from tests.support.handles import ask, handle, in_process
from tests.support.servers.influx import FakeInflux, LoseAnswer, Series, Status, read_lines

pytestmark = pytest.mark.once

CALLS = "gen_ai_client_operation_duration_seconds_count"
MANUAL = {"metrics_protocol": "influx", "push_interval": 60}
AT = 1_764_000_000_000
HOSTILE = ["gpt 4", "a,b=c", "a\nopenai,model=x promptTokens=9", "a\\", "\\", "a\\,b", "a\\\\", 'say "a b"', "a\x00b\r"]

values = st.one_of(
    st.text(st.characters(), max_size=40), st.text('\\,= \n\r\t"a', max_size=12), st.sampled_from(HOSTILE)
)


@pytest.fixture
def receiver() -> Iterator[FakeInflux]:
    with FakeInflux() as running:
        yield running


@pytest.fixture
def monitoring(receiver: FakeInflux) -> Iterator[Monitoring]:
    with handle(metrics_url=receiver.write_url, **MANUAL) as made:
        yield made


def line(name: str, labels: dict[str, str], value: float = 12, at: int = AT) -> bytes:
    return influx.encode_series(influx.encode_labels(name, labels.items()), [(value, at)])


def names(batch: list[Series]) -> set[str]:
    return {series.name for series in batch}


def call(monitoring: Monitoring, times: int = 1) -> None:
    with in_process(monitoring) as client:
        for number in range(times):
            ask(client, f"hello {number}")


def test_a_line_is_as_the_predecessor_writes_it_but_for_the_time() -> None:
    labels = {"job": "integrations/openai", "source": "python_chatv2", "model": "gpt-4", "environment": "default"}

    assert line("openai_promptTokens", labels) == (
        b"openai,environment=default,job=integrations/openai,model=gpt-4,source=python_chatv2"
        b" promptTokens=12.0 1764000000000000000\n"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("gpt 4", r"gpt\ 4"),
        ("a,b=c", r"a\,b\=c"),
        ("models\\llama", "models\\llama"),
        ("a\\", "a\uff3c"),
        ("a\\,b", "a\uff3c\\,b"),
        ("a\nb\r\t", "a\u240ab\u240d\u2409"),
        ("a\u240ab", "a\uff3c\u240ab"),
        ("a\uff3c", "a\uff3c."),
        ("\ud800", "?"),
        ("模型 é", "模型\\ é"),
    ],
)
def test_what_could_end_or_split_a_line_is_escaped_or_pictured(value: str, written: str) -> None:
    assert line("openai_x", {"model": value}) == f"openai,model={written} x=12.0 {AT}000000\n".encode()


def test_no_two_values_become_one_series() -> None:
    alphabet = "\\,=\n\u240a\uff3c.a"
    texts = ["".join(letters) for length in range(1, 5) for letters in product(alphabet, repeat=length)]

    assert len({line("openai_x", {"model": text}) for text in texts}) == len(texts)


def test_empty_labels_and_numbers_that_are_none_have_no_place() -> None:
    assert b"model" not in line("openai_x", {"model": "", "job": "j"})
    assert line("openai_x", {}, math.nan) == line("openai_x", {}, math.inf) == b""


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), values, max_size=4), st.floats(allow_nan=False))
def test_every_line_is_read_as_one_point_with_the_labels_it_was_made_of(labels: dict[str, str], value: float) -> None:
    body = influx.encode_push([line("openai_promptTokens", labels, value)])

    if math.isinf(value):
        assert gzip.decompress(body) == b""
        return
    [series] = read_lines(body)
    read = dict(series.labels)
    assert read.pop("__name__") == "openai_promptTokens"
    assert read.keys() == {name for name, label in labels.items() if label}
    for name, label in read.items():
        assert len(label) == len(labels[name]) + len(re.findall(r"[\u2400-\u241f\u2421\uff3c]", labels[name]))
        plain = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff\\]", "", labels[name])
        assert set(plain) <= set(label)
    assert series.samples == ((AT, value),)


def test_a_push_has_every_series_in_lines_that_a_strict_reader_takes(
    monitoring: Monitoring, receiver: FakeInflux
) -> None:
    call(monitoring)
    assert monitoring.flush(20).pushed

    assert receiver.violations == []
    assert {CALLS, "gen_ai_client_tokens_total", "monitored_openai_queued"} <= names(receiver.stored[0])
    born = [series for series in receiver.stored[0] if series.name == CALLS]
    assert [value for series in born for _, value in series.samples] == [0, 1]


def test_a_series_is_born_once_and_goes_forward_in_time(monitoring: Monitoring, receiver: FakeInflux) -> None:
    for _ in range(3):
        call(monitoring)
        assert monitoring.flush(20).pushed

    points = [value for batch in receiver.stored for one in batch if one.name == CALLS for _, value in one.samples]
    assert points == [0, 1, 2, 3]
    assert receiver.violations == []


def test_an_answer_that_is_lost_brings_the_same_bytes_once_more(monitoring: Monitoring, receiver: FakeInflux) -> None:
    receiver.fail_next(LoseAnswer())
    call(monitoring)
    assert monitoring.flush(20).pushed

    bodies = [request.body for request in receiver.requests]
    assert bodies[0] == bodies[1]


def test_a_push_that_is_refused_for_now_is_made_good_by_the_next(monitoring: Monitoring, receiver: FakeInflux) -> None:
    receiver.fail_next(Status(503))
    call(monitoring, 2)
    assert monitoring.flush(20).pushed

    assert [v for one in receiver.stored[-1] if one.name == CALLS for _, v in one.samples] == [0, 2]
    assert monitoring.stats().failed_pushes == 1
