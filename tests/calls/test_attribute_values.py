"""Values of attributes: the text that each becomes, the values that are left out, and no error in the request."""

from __future__ import annotations

import enum
import json
import logging
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitored_openai import _logging, attributes
from monitored_openai._calls.context import attributes_of_call
from tests.support.handles import ask, handle, in_process
from tests.support.servers.loki import FakeLoki


class Plan(enum.Enum):
    FREE = "free"
    SHOP = uuid.UUID(int=7)
    NOTHING = None


class Team(str, enum.Enum):  # noqa: UP042 - its `str` is not its text, as that of a StrEnum is
    SEARCH = "search"


class Region(enum.StrEnum):
    EU = "eu"


class Level(enum.IntEnum):
    HIGH = 3


class Nested(enum.Enum):
    PLAN = Plan.FREE


class OddText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError


class OddDecimal(Decimal):
    def __str__(self) -> str:
        raise RuntimeError

    def is_finite(self) -> bool:
        raise RuntimeError


class OddObject:
    """Raises wherever it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError


class OddMeta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError


class OddClass(metaclass=OddMeta):
    pass


class NotATime(datetime):
    """As the `NaT` of pandas: a date that is equal to nothing."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = datetime.__hash__


@pytest.fixture(autouse=True)
def nothing_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_logging, "_said", {})


def str_or_type(value: object) -> str:
    return str(value) if isinstance(value, float) else type(value).__name__


def labels(**values: object) -> dict[str, str]:
    """The attributes of a call that starts inside a block with these values."""
    with attributes(**values):
        return dict(attributes_of_call({}))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("alice", "alice"),
        (7, "7"),
        (-(2**70), str(-(2**70))),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (0.5, "0.5"),
        (Decimal("1.50"), "1.50"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00+00:00"),
        (time(3, 4), "03:04:00"),
        (Plan.FREE, "free"),
        (Plan.SHOP, "00000000-0000-0000-0000-000000000007"),
        (Team.SEARCH, "search"),
        (Region.EU, "eu"),
        (Level.HIGH, "3"),
        (Nested.PLAN, "free"),
        ("a\nb\x00c", "a\nb\x00c"),
        ("\ud800", "\ud800"),
        ("x" * 10_000_000, "x" * 4096),
    ],
)
def test_a_value_with_an_obvious_text_form_is_used(value: object, text: str, caplog: pytest.LogCaptureFixture) -> None:
    found = labels(user=value)
    assert found == {"user": text}
    assert type(found["user"]) is str
    assert not caplog.messages


@pytest.mark.parametrize(
    "value",
    [
        *("", None, b"x", ["x"], ("x",), {"x": 1}, {"x"}, object(), int, Fraction(1, 3), 1j, Plan.NOTHING),
        *(float("nan"), float("inf"), Decimal("NaN"), NotATime(2026, 1, 2), 10**5000),
    ],
    ids=str_or_type,
)
def test_any_other_value_is_left_out_and_warned_of_by_its_name(value: object, caplog: pytest.LogCaptureFixture) -> None:
    assert labels(customer=value, feature="search") == {"feature": "search"}
    (message,) = caplog.messages
    assert message.startswith("attribute customer is left out: ")


@pytest.mark.parametrize("odd", [OddObject, OddClass, lambda: OddDecimal(1)], ids=["object", "class", "number"])
def test_an_object_that_raises_wherever_it_is_looked_at_is_left_out(odd: Callable[[], object]) -> None:
    assert labels(customer=odd(), feature="search") == {"feature": "search"}


def test_a_text_of_an_odd_subclass_is_its_characters() -> None:
    assert labels(user=OddText("alice")) == {"user": "alice"}
    assert labels(user=OddText("")) == {}


@given(st.from_type(type).flatmap(st.from_type) | st.text() | st.floats() | st.integers() | st.decimals())
def test_no_value_raises(value: object) -> None:
    found = labels(user=value)
    assert found == {} or all(type(text) is str and text for text in found.values())


def test_a_warning_is_logged_once_a_minute_without_the_value(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(_logging, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for at in (0, 1, 59, 61):
        now[0] = 1000.0 + at
        labels(customer=["sk-proj-very-secret"])
    assert len(caplog.messages) == 2
    assert caplog.messages[0] == ("attribute customer is left out: a value of type list has no text form; give a text")
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "very-secret" not in caplog.text


def test_a_value_without_a_text_form_takes_the_outer_attribute_away_and_that_comes_back() -> None:
    of_client = {"customer": "of the client", "team": "x"}
    with attributes(customer="outer"):
        with attributes(customer=None):
            assert attributes_of_call({}) == {}
            assert attributes_of_call(of_client) == {"team": "x"}
            assert labels(customer="inner") == {"customer": "inner"}
        assert attributes_of_call(of_client) == {"customer": "outer", "team": "x"}
    assert attributes_of_call(of_client) == of_client


def test_a_name_given_as_a_text_enum_member_is_its_text() -> None:
    assert labels(**{Team.SEARCH: 1}) == {"search": "1"}


class FakeScalar:
    """As NumPy's scalars: of a class below `numpy.generic`, with `item`."""

    def __init__(self, value: object) -> None:
        self.value = value

    def item(self) -> object:
        return self.value


def test_a_numpy_scalar_is_its_python_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", SimpleNamespace(generic=FakeScalar))
    assert labels(a=FakeScalar(7), b=FakeScalar(True), c=FakeScalar([1])) == {"a": "7", "b": "true"}


def test_odd_values_reach_the_log_as_texts_and_the_call_is_unchanged(loki: FakeLoki) -> None:
    with handle(logs_url=loki.push_url, label_names=["plan"]) as monitoring, in_process(monitoring) as made:
        labelled = made.with_attributes(region=Region.EU, customer=None)
        with attributes(plan=Plan.FREE, user="\ud800a\nb\x00", size="x" * 10_000_000, odd=OddObject()):
            assert ask(labelled).choices[0].message.content == "fine"
        assert monitoring.flush(20).complete
        labelled_samples = [s for s in monitoring._runner.metrics.samples() if ("plan", "free") in s.labels]
    (entry,) = loki.entries
    logged = json.loads(entry.line)["attributes"]
    assert logged == {"region": "eu", "plan": "free", "user": "?a\nb\x00", "size": "x" * 1024}
    assert entry.metadata.items() >= {"region": "eu", "plan": "free"}.items()
    assert labelled_samples
