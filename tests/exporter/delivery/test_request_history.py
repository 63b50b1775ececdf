from __future__ import annotations

import pytest

from monitored_openai._exporter.delivery.request_history import RequestHistory
from monitored_openai._exporter.delivery.retry import Failure, Reply

TAKEN, LIMITED, OVERLOADED = Reply(204), Reply(429, text="Per stream rate limit exceeded"), Reply(503)
WAITING = "waiting for the back end's limit, HTTP 429 Too Many Requests: per-stream rate limit"


def after(*outcomes: Reply | Failure) -> RequestHistory:
    """The history of requests that took a tenth of a second each; the last one ended at second 0."""
    history = RequestHistory()
    for number, outcome in enumerate(outcomes, 1 - len(outcomes)):
        history.begin(number - 0.1)
        history.end(outcome, number, "reset" if isinstance(outcome, Failure) else "")
        history.interrupt(number)
    return history


@pytest.mark.parametrize(
    ("outcomes", "now", "cause"),
    [
        ((), 0, ""),
        ((TAKEN,), 1, "not all sent in time"),
        ((TAKEN, LIMITED), 1, WAITING),
        ((LIMITED, TAKEN), 1, WAITING),
        ((LIMITED, TAKEN), 100, "not all sent in time"),
        ((LIMITED,), 100, WAITING),
        ((LIMITED, OVERLOADED), 1, "HTTP 503 Service Unavailable"),
        ((LIMITED, OVERLOADED, TAKEN), 1, "not all sent in time"),
        ((TAKEN, Failure.CONNECT), 1, "no connection: reset"),
        ((Failure.LOST,), 1, "no answer: reset"),
    ],
    ids=str,
)
def test_the_cause_is_the_last_failure_or_the_limit_that_sets_the_pace(
    outcomes: tuple[Reply | Failure, ...], now: float, cause: str
) -> None:
    assert after(*outcomes).undelivered(now) == cause


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize(
    ("outcomes", "young", "old"),
    [
        ((), "no answer in time", "no answer in time"),
        ((TAKEN,), "no answer in time", "no answer in time"),
        ((LIMITED, TAKEN), WAITING, "no answer in time"),
        ((OVERLOADED,), "HTTP 503 Service Unavailable", "no answer in time"),
    ],
    ids=str,
)
def test_a_request_under_way_is_the_cause_if_it_is_old_or_nothing_failed_before(
    outcomes: tuple[Reply | Failure, ...], young: str, old: str, interrupted: bool
) -> None:
    for waited, cause in ((0.5, young), (1.5, old)):
        history = after(*outcomes)
        history.begin(0.1)
        if interrupted:
            history.interrupt(0.1 + waited)
        assert history.undelivered(0.1 + waited) == cause
