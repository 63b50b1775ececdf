from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from tests.support.servers.loki import Drip, FakeLoki, Gate, Hold, LoseAnswer, NeverAnswer, Reset, Status

pytestmark = pytest.mark.once


def push(loki: FakeLoki, line: str = "line", timeout: float = 5.0) -> httpx.Response:
    body: Any = {"streams": [{"stream": {"job": "a"}, "values": [[str(loki.now_ns()), line]]}]}
    return httpx.post(loki.push_url, json=body, timeout=timeout)


def lines(loki: FakeLoki) -> list[str]:
    return [stored.line for stored in loki.entries]


def test_scripted_failures_come_in_order_and_store_nothing(loki: FakeLoki) -> None:
    loki.fail_next(Status(503, {"Retry-After": "7"}, b"busy"), times=2)
    loki.fail_next(None)
    loki.fail_next(Reset())
    first = push(loki)
    assert (first.status_code, first.headers["retry-after"], first.text) == (503, "7", "busy")
    assert [push(loki).status_code for _ in range(2)] == [503, 204]
    with pytest.raises(httpx.TransportError):
        push(loki, "lost")
    assert push(loki).status_code == 204
    assert (lines(loki), loki.faulted, len(loki.requests)) == (["line", "line"], 3, 5)


def test_a_standing_failure_lasts_until_it_is_taken_back(loki: FakeLoki) -> None:
    loki.always = Status(500)
    assert [push(loki).status_code for _ in range(3)] == [500] * 3
    loki.always = None
    assert push(loki).status_code == 204


def test_a_lost_answer_leaves_the_entries_stored(loki: FakeLoki) -> None:
    loki.fail_next(LoseAnswer())

    with pytest.raises(httpx.TransportError):
        push(loki)
    assert lines(loki) == ["line"]


@pytest.mark.parametrize("store", [True, False])
def test_silence_stores_or_not_as_told(loki: FakeLoki, store: bool) -> None:
    loki.fail_next(NeverAnswer(store=store))

    with pytest.raises(httpx.ReadTimeout):
        push(loki, timeout=0.2)
    loki.wait_until(lambda: loki.faulted == 1)
    loki.wait_until(lambda: len(loki.entries) == store)


def test_a_drip_sends_the_answer_byte_by_byte(loki: FakeLoki) -> None:
    loki.fail_next(Drip(0.001))
    assert push(loki).status_code == 204
    loki.fail_next(Drip(0.3))
    with pytest.raises(httpx.ReadTimeout):
        push(loki, timeout=0.1)


def test_a_held_answer_comes_when_its_gate_opens(loki: FakeLoki) -> None:
    gate = Gate()
    loki.fail_next(Hold(gate))
    answers: list[int] = []
    sender = threading.Thread(target=lambda: answers.append(push(loki).status_code))
    sender.start()
    gate.wait_reached()
    assert (lines(loki), answers) == (["line"], [])
    gate.set()
    sender.join(10)
    assert answers == [204]


def test_a_refusing_loki_can_come_back(loki: FakeLoki) -> None:
    loki.refuse()
    with pytest.raises(httpx.ConnectError):
        push(loki)
    loki.listen()
    assert push(loki).status_code == 204
