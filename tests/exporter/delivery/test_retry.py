from __future__ import annotations

import email.utils
import math
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitored_openai._exporter.delivery.http import _retry_after
from monitored_openai._exporter.delivery.retry import (
    MOST_RETRY_SECONDS,
    Action,
    Failure,
    Reply,
    RetryState,
    Step,
    next_step,
)

FIRST = RetryState().after(100.0)
LONGEST_WAIT = 300.0

DELIVERED = {*range(200, 300)}
TRANSIENT = {408, 425, 429, *range(500, 600)} - {501}
PARKED = {*range(300, 400), 401, 403, 404, 405, 407}
TOO_LARGE = {413}
REJECTED = {*range(100, 600)} - DELIVERED - TRANSIENT - PARKED - TOO_LARGE

statuses = st.integers(100, 599)
outcomes = st.one_of(
    st.sampled_from(Failure),
    st.builds(Reply, statuses, st.none() | st.floats(0, LONGEST_WAIT)),
)
troubles = st.builds(RetryState, st.integers(1, 10_000), st.just(0.0))
times = st.floats(0, 10_000)


def step(outcome: Reply | Failure, retry: RetryState = FIRST, *, now: float = 100.0, divisible: bool = True) -> Step:
    return next_step(outcome, retry, now=now, divisible=divisible, random=random.random)


def expected(status: int, *, divisible: bool) -> tuple[Action, str | None]:
    if status in DELIVERED:
        return Action.DELIVERED, None
    if status in TRANSIENT or status in PARKED:
        return Action.RETRY, None
    if status in TOO_LARGE:
        return (Action.SPLIT, None) if divisible else (Action.DROP, "too_large")
    return Action.DROP, "rejected"


@pytest.mark.parametrize("divisible", [True, False])
def test_the_first_answer_of_any_status_has_the_consequence_of_the_table(divisible: bool) -> None:
    found = {status: step(Reply(status), divisible=divisible) for status in range(100, 600)}

    assert {status: (taken.action, taken.reason) for status, taken in found.items()} == {
        status: expected(status, divisible=divisible) for status in range(100, 600)
    }


def test_after_three_hundred_seconds_of_failures_nothing_is_tried_again() -> None:
    retry, now = RetryState(9, 100.0), 100.0 + MOST_RETRY_SECONDS
    late = {status: step(Reply(status), retry, now=now, divisible=False) for status in range(100, 600)}

    reasons = {
        **dict.fromkeys(DELIVERED, None),
        **dict.fromkeys(TRANSIENT, "retry_exhausted"),
        **dict.fromkeys(PARKED, "misconfigured"),
        **dict.fromkeys(TOO_LARGE, "too_large"),
        **dict.fromkeys(REJECTED, "rejected"),
    }
    assert {status: taken.reason for status, taken in late.items()} == reasons
    assert {taken.action for taken in late.values()} == {Action.DELIVERED, Action.DROP}


@pytest.mark.parametrize("failure", Failure)
def test_a_try_without_an_answer_is_repeated_for_three_hundred_seconds(failure: Failure) -> None:
    before = step(failure, RetryState(50, 0.0), now=MOST_RETRY_SECONDS - 0.001, divisible=False)
    late = step(failure, RetryState(50, 0.0), now=MOST_RETRY_SECONDS, divisible=False)

    assert before.action is Action.RETRY
    assert late == Step(Action.DROP, reason="retry_exhausted")


@given(troubles, st.sampled_from([Failure.CONNECT, Failure.LOST, Reply(503), Reply(429), Reply(401), Reply(302)]))
def test_what_is_in_the_spool_is_tried_for_as_long_as_it_is_kept(retry: RetryState, outcome: Reply | Failure) -> None:
    found = next_step(outcome, retry, now=1e6, divisible=False, durable=True, random=random.random)

    assert found.action is Action.RETRY
    assert 0.1 <= found.wait <= LONGEST_WAIT


def test_a_batch_without_an_answer_is_split_after_the_eighth_try_and_one_without_a_connection_never() -> None:
    tries = [RetryState(failures, 0.0) for failures in range(1, 10)]

    lost = [step(Failure.LOST, retry, now=0.0).action for retry in tries]
    assert lost == [Action.RETRY] * 7 + [Action.SPLIT] * 2
    assert {step(Failure.CONNECT, retry, now=0.0).action for retry in tries} == {Action.RETRY}


@pytest.mark.parametrize("outcome", [Failure.LOST, Reply(500), Reply(503)], ids=str)
def test_an_entry_that_fails_while_others_are_delivered_is_given_up_and_not_before(outcome: Reply | Failure) -> None:
    retry, delivered = RetryState(), 0
    actions = []
    for failure in range(1, 17):
        retry = retry.after(0.0, delivered)
        found = next_step(outcome, retry, now=0.0, divisible=False, durable=True, random=random.random)
        actions.append(found.action)
        assert found.lets_next_go_first == (failure % 4 == 0 and found.action is Action.RETRY)
        delivered += found.lets_next_go_first

    assert actions == [Action.RETRY] * 12 + [Action.DROP] * 4
    assert found.reason == "rejected"


@pytest.mark.parametrize("status", sorted(TRANSIENT))
def test_the_third_answer_of_5xx_splits_a_batch_that_can_be_split(status: int) -> None:
    second, third = FIRST.after(101.0), FIRST.after(101.0).after(102.0)

    assert step(Reply(status), second).action is Action.RETRY
    assert step(Reply(status), third, divisible=False).action is Action.RETRY
    assert step(Reply(status), third).action is (Action.SPLIT if status >= 500 else Action.RETRY)


def test_the_first_retry_after_a_lost_reply_comes_soon() -> None:
    first, second = RetryState().after(0.0), RetryState().after(0.0).after(1.0)

    soon, later = (
        next_step(Failure.LOST, retry, now=1.0, divisible=True, random=lambda: 1.0).wait for retry in (first, second)
    )

    assert (soon, later) == (0.1, 1.0)


@given(outcomes, troubles, times, st.booleans(), st.floats(0, 1))
def test_waits_are_within_bounds_and_only_for_a_retry(
    outcome: Reply | Failure, retry: RetryState, now: float, divisible: bool, chance: float
) -> None:
    found = next_step(outcome, retry, now=now, divisible=divisible, random=lambda: chance)

    if found.action is Action.RETRY:
        assert 0.1 <= found.wait <= LONGEST_WAIT
        assert 0 <= found.at_least <= found.wait
        assert now - retry.first_at < MOST_RETRY_SECONDS
    else:
        assert (found.wait, found.at_least) == (0, 0)
    assert bool(found.reason) == (found.action is Action.DROP)


@given(st.sampled_from(sorted(TRANSIENT)), st.floats(0, LONGEST_WAIT), st.integers(1, 100), st.floats(0, 1))
def test_retry_after_is_a_minimum(status: int, seconds: float, failures: int, chance: float) -> None:
    retry = RetryState(failures, 0.0)

    found = next_step(Reply(status, seconds), retry, now=1.0, divisible=False, random=lambda: chance)

    own = next_step(Reply(status), retry, now=1.0, divisible=False, random=lambda: chance)
    assert found == replace(own, wait=max(own.wait, seconds), at_least=seconds)


@given(st.sampled_from(sorted(REJECTED)), troubles, times, st.booleans())
def test_what_is_refused_for_good_is_never_tried_again(
    status: int, retry: RetryState, now: float, divisible: bool
) -> None:
    assert step(Reply(status), retry, now=now, divisible=divisible) == Step(Action.DROP, reason="rejected")


def test_backoff_is_jittered_fully_below_a_bound_that_doubles_up_to_a_minute() -> None:
    def bound(failures: int) -> float:
        return next_step(Reply(429), RetryState(failures, 0.0), now=0.0, divisible=True, random=lambda: 1.0).wait

    assert [bound(failures) for failures in range(1, 11)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    drawn = [step(Reply(503), RetryState(8, 0.0), now=0.0, divisible=False).wait for _ in range(2000)]
    assert max(Counter(int(wait) for wait in drawn).values()) < 2000 * 0.05


def test_a_thousand_processes_do_not_come_back_all_at_once_after_an_outage() -> None:
    chance = random.Random(1)
    over = 600.0

    def comes_back() -> float:
        """How long after the end the first try of a process comes that was in the middle of sending at the beginning."""
        clock, retry = chance.random(), RetryState()
        while clock < over:
            retry = retry.after(clock)
            found = next_step(Failure.CONNECT, retry, now=clock, divisible=True, random=chance.random, durable=True)
            clock += found.wait
        return clock - over

    tries = [comes_back() for _ in range(1000)]
    assert max(Counter(int(after) for after in tries).values()) <= 50
    assert max(tries) <= 60


def test_a_misconfigured_back_end_is_asked_again_after_half_a_minute_and_then_ever_more_rarely() -> None:
    waits = [step(Reply(401), RetryState(failures, 0.0), now=0.0).wait for failures in range(1, 7)]

    assert waits == [30, 60, 120, 240, 300, 300]


def played(entries: int, answer: Callable[[int, float], Reply | Failure]) -> tuple[Counter[str], float]:
    """What becomes of a batch, by the state machine alone on a clock of its own; and when it was over."""
    books: Counter[str] = Counter()
    clock = 0.0

    def deliver(size: int, retry: RetryState) -> None:
        nonlocal clock
        while True:
            outcome = answer(size, clock)
            clock += 0.01
            if not (isinstance(outcome, Reply) and outcome.is_success):
                retry = retry.after(clock)
            found = next_step(outcome, retry, now=clock, divisible=size > 1, random=random.random)
            if found.action is Action.SPLIT:
                deliver(size // 2, retry)
                return deliver(size - size // 2, retry)
            if found.action is not Action.RETRY:
                books[found.reason or "delivered"] += size
                return None
            clock += found.wait

    deliver(entries, RetryState())
    return books, clock


@given(st.integers(1, 500), st.integers(1, 500), st.sampled_from([413, 500, 503]))
def test_splitting_loses_no_entry_and_delivers_all_halves_that_are_small_enough(
    entries: int, limit: int, status: int
) -> None:
    books, _ = played(entries, lambda size, clock: Reply(204 if size <= limit else status))

    assert books == {"delivered": entries}


@given(st.integers(1, 200), st.randoms(use_true_random=False))
def test_whatever_a_back_end_answers_every_entry_comes_to_one_end_in_time(entries: int, chance: random.Random) -> None:
    def answer(size: int, clock: float) -> Reply | Failure:
        replies = [Reply(status) for status in (204, 400, 403, 413, 429, 500, 503)]
        outcomes: list[Reply | Failure] = [*Failure, *replies]
        return chance.choice(outcomes)

    books, ended = played(entries, answer)

    assert books.total() == entries
    assert ended <= MOST_RETRY_SECONDS + LONGEST_WAIT + entries


def test_a_back_end_that_is_down_for_ever_is_given_up_after_three_hundred_seconds() -> None:
    books, ended = played(500, lambda size, clock: Failure.CONNECT)

    assert books == {"retry_exhausted": 500}
    assert MOST_RETRY_SECONDS <= ended <= MOST_RETRY_SECONDS + 60


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0), ("3.5", 3.5), ("120", 120), ("1e9", 300), (" 7 ", 7),
        ("-1", None), ("nan", None), ("inf", None), ("-inf", None), ("", None), ("soon", None), ("1, 2", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None), ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_in_seconds_is_a_finite_number_of_at_most_three_hundred(header: str, seconds: float | None) -> None:
    assert _retry_after(header) == seconds


def test_retry_after_as_a_date_is_the_time_until_then() -> None:
    soon = _retry_after(email.utils.formatdate(time.time() + 60, usegmt=True))

    assert soon is not None
    assert 55 < soon <= 60
    assert _retry_after(email.utils.formatdate(time.time() + 10**6, usegmt=True)) == LONGEST_WAIT


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,4} [A-Z][a-z]{2} -?\d{1,9} \d+:\d+:\d+ ([A-Z]{3}|[+-]\d+)"))
def test_any_text_as_retry_after_is_a_bounded_wait_or_none(header: str) -> None:
    seconds = _retry_after(header)

    assert seconds is None or (math.isfinite(seconds) and 0 <= seconds <= LONGEST_WAIT)
