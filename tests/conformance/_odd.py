"""One odd reply of a server, played on the bare SDK and on our client, and its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from monitored_openai import CallRecord
from tests.conformance._compare import compared
from tests.conformance._outcomes import Outcome
from tests.conformance._paths import PATHS
from tests.conformance._stage import Cell, Stage
from tests.support.servers.openai_api import Behaviour

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
_BY_NAME = {path.name: path for path in PATHS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """A reply, and what the record then says of the tokens: input and output, or why they are not known."""

    behaviour: Behaviour
    tokens: tuple[int | None, int | None] | str | None = None
    """`None`: as the server says for the request."""
    model: str | None = ""
    """The response's model; the empty text stands for the usual one."""


def cases(rows: Mapping[str, Odd], *names: str) -> Iterator[Any]:
    for name, odd in rows.items():
        for path in names:
            for is_async in (False, True):
                yield pytest.param(odd, path, is_async, id=f"{name}-{path}-{'async' if is_async else 'sync'}")


def play(stage: Stage, odd: Odd, name: str, is_async: bool) -> CallRecord:
    """The record, after the comparison."""
    path = _BY_NAME[name]
    outcome = Outcome(name="odd", behaviour=odd.behaviour)
    cell = Cell(path=path, reading=next(iter(path.readings.values())), outcome=outcome, is_async=is_async)
    record, _ = compared(stage, cell)
    return record


def assert_known(stage: Stage, odd: Odd, record: CallRecord) -> None:
    told = stage.server.truth.tokens_by_kind()
    tokens = odd.tokens or (told["input"], told["output"])
    if isinstance(tokens, str):
        assert (record.usage, record.usage_unknown) == (None, tokens)
    else:
        assert record.usage is not None
        assert (record.usage.input_tokens, record.usage.output_tokens, record.usage_unknown) == (*tokens, None)
    assert record.response_model == ("gpt-4o-2024-08-06" if odd.model == "" else odd.model)
    assert record.http_status == 200
