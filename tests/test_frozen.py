"""`quick_init` changes only the speed of a frozen dataclass."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import dataclass, field, fields
from typing import Any

import pytest

from monitored_openai import CallRecord, Cost, Usage
from monitored_openai._endpoints.base import ParsedResponse
from monitored_openai._frozen import quick_init
from tests.support.records import full_record

CLASSES = (CallRecord, Cost, Usage, ParsedResponse)


@dataclass(frozen=True, kw_only=True)
class Plain:
    """As `dataclass` makes it."""

    values: int
    self_: str = "s"
    members: dict[str, int] = field(default_factory=dict)


@quick_init
@dataclass(frozen=True, kw_only=True)
class Quick:
    """The same fields, whose names are those inside the generated function."""

    values: int
    self_: str = "s"
    members: dict[str, int] = field(default_factory=dict)


@pytest.mark.parametrize("given", [{"values": 1}, {"values": 2, "self_": ""}, {"values": 3, "members": {"a": 1}}])
def test_an_instance_has_the_given_and_the_default_values(given: dict[str, Any]) -> None:
    assert dataclasses.asdict(Quick(**given)) == dataclasses.asdict(Plain(**given))


def test_each_instance_has_a_default_of_its_own() -> None:
    assert Quick(values=1).members is not Quick(values=1).members


@pytest.mark.parametrize("given", [{}, {"values": 1, "other": 2}])
def test_missing_and_unknown_arguments_raise(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Quick(**given)
    with pytest.raises(TypeError):
        Quick(1)  # type: ignore[call-arg]  # the fields are keywords only


def test_an_instance_cannot_be_changed() -> None:
    made = Quick(values=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.values = 2  # type: ignore[misc]  # that is the test
    with pytest.raises(dataclasses.FrozenInstanceError):
        del made.values


@pytest.mark.parametrize("cls", CLASSES)
def test_the_signature_is_that_of_the_dataclass(cls: type[Any]) -> None:
    parameters = inspect.signature(cls).parameters
    assert [*parameters] == [one.name for one in fields(cls)]
    required = {one.name for one in fields(cls) if one.default is one.default_factory is dataclasses.MISSING}
    assert {name for name, one in parameters.items() if one.default is inspect.Parameter.empty} == required


def test_a_record_is_copied_pickled_replaced_and_compared() -> None:
    record = full_record()
    for same in (
        copy.copy(record),
        copy.deepcopy(record),
        pickle.loads(pickle.dumps(record)),  # noqa: S301  # made here
        dataclasses.replace(record),
    ):
        assert same == record
        assert repr(same) == repr(record)
    assert dataclasses.replace(record, id="other") != record
