"""Under any limit of volume, a backlog drains at nearly that limit, in order, and every entry arrives once."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

import pytest

from monitored_openai import Monitoring
from monitored_openai._exporter.delivery.log_queue import MAX_BYTES, LogQueue
from monitored_openai._exporter.delivery.pacer import LONGEST_PAUSE, Pacer
from monitored_openai._exporter.delivery.retry import MOST_RETRY_SECONDS, Reply
from monitored_openai._exporter.ledger import DeliveryLedger
from tests.support.handles import ask, handle, imbalance, in_process
from tests.support.servers.loki import FakeLoki, Rate
from tests.support.servers.remote_write import RemoteWriteProxy

KB, MB = 1000, 1000 * 1000
BACKLOG = 50 * MB
ROUND_TRIP = 0.0002
"""Seconds of each request."""
LEAST_SHARE = 0.8
"""Of the limit, that a drain reaches."""
MOST_REFUSED = 0.3
"""Share of all requests."""
MANUAL = {"push_interval": 60, "log_linger": 30}
"""Settings with which nothing is sent but by a flush, for half a minute."""


@dataclass
class Bucket:
    """A limit of bytes per second, and the most that may come at once."""

    rate: float
    burst: float
    level: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.burst

    def allows(self, size: int, now: float) -> bool:
        self.level = min(self.burst, self.level + self.rate * (now - self.at))
        self.at = now
        if size > self.level:
            return False
        self.level -= size
        return True


@dataclass
class Drained:
    """The end of a drain."""

    seconds: float
    requests: int
    refused: int
    arrived: list[bytes]
    dropped: dict[str, int]
    last_arrival: float


def entries(total: int, largest: int) -> list[bytes]:
    """So many bytes of numbered entries of at most this size."""
    chance = random.Random(1)
    made: list[bytes] = []
    while total > 0:
        made.append((b"%08d" % len(made)).ljust(int(largest * chance.uniform(0.2, 1)), b"x"))
        total -= len(made[-1])
    return made


def filled(contents: list[bytes]) -> LogQueue:
    ledger = DeliveryLedger(max_entries=10**6, max_bytes=10**9, logs=True)
    backlog = LogQueue(ledger, stream={"job": "test"}, shards=1, spool=None, now_ns=lambda: 1)
    ledger._ended = ledger._folded = ledger._queued = len(contents)  # real calls would take most of the test's time
    for encoded in contents:
        backlog.add(encoded, 1)
    return backlog


def drain(
    backlog: LogQueue, *buckets: Bucket, round_trip: float = ROUND_TRIP, retry_after: float | None = None
) -> Drained:
    """Deliver it all on a clock of its own."""
    clock, requests, refused = 0.0, 0, 0
    arrived: list[bytes] = []
    last_arrival = 0.0
    while backlog.has_any:
        if (batch := backlog.next(clock)) is None:
            clock += backlog.wait
            continue
        clock += round_trip
        requests += 1
        if all(bucket.allows(batch.size, clock) for bucket in buckets):
            arrived.extend(entry.encoded for entry in batch.entries)
            last_arrival = clock
            step = backlog.settle(Reply(204), clock)
        else:
            refused += 1
            step = backlog.settle(Reply(429, retry_after), clock)
        assert step.at_least == step.wait
        clock += step.wait
    stats = backlog._ledger.stats()
    assert imbalance(stats) == (0, 0)
    return Drained(clock, requests, refused, arrived, dict(stats.dropped), last_arrival)


@pytest.mark.parametrize("burst", [8 * KB, 40 * KB, 300 * KB, 6 * MB])
@pytest.mark.parametrize("rate", [20 * KB, 1 * MB, 10 * MB])
def test_a_backlog_drains_at_nearly_the_limit_in_order_and_complete(rate: int, burst: int) -> None:
    contents = entries(BACKLOG, min(burst // 4, 12 * KB))

    drained = drain(filled(contents), Bucket(rate, burst))

    assert drained.arrived == contents
    assert drained.dropped == {}
    share = (sum(map(len, contents)) - burst) / drained.seconds / rate
    assert share >= LEAST_SHARE
    assert drained.refused <= drained.requests * MOST_REFUSED


def learned_share(bucket: Bucket, round_trip: float, retry_after: float) -> float:
    """Share of the limit that a backlog without an end reaches between 600 and 900 seconds after its begin."""
    pacer, clock, volume = Pacer(MAX_BYTES), 0.0, 0
    jitter = random.Random(1).random
    while clock < 900:
        clock += round_trip
        size = pacer.size
        if bucket.allows(size, clock):
            volume += size * (clock >= 600)
            pacer.accepts(size, clock)
        else:
            pacer.refuses(size, clock, random=jitter, retry_after=retry_after)
        clock += pacer.pause(clock)
    return volume / 300 / bucket.rate


@pytest.mark.parametrize("retry_after", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("round_trip", [0.0002, 0.005, 0.02])
@pytest.mark.parametrize(("rate", "burst"), [(20 * KB, 8 * KB), (20 * KB, 40 * KB), (MB, 24 * KB), (MB, 300 * KB)])
def test_the_share_of_the_limit_is_high_with_round_trips_and_retry_after(
    rate: int, burst: int, round_trip: float, retry_after: float
) -> None:
    assert burst / round_trip >= 1.2 * rate  # one request under way at a time can reach the limit

    assert learned_share(Bucket(rate, burst), round_trip, retry_after) >= LEAST_SHARE


def test_two_limits_at_once_are_both_kept_to() -> None:
    contents = entries(10 * MB, 2 * KB)

    drained = drain(filled(contents), Bucket(100 * KB, 400 * KB), Bucket(300 * KB, 30 * KB))

    assert (drained.arrived, drained.dropped) == (contents, {})
    assert (10 * MB - 400 * KB) / drained.seconds >= LEAST_SHARE * 100 * KB


def test_a_limit_that_is_raised_is_used_before_long() -> None:
    bucket = Bucket(20 * KB, 40 * KB)
    backlog = filled(entries(50 * MB, 4 * KB))
    clock = 0.0
    while (batch := backlog.next(clock)) is not None:
        if clock > 60:
            bucket.rate, bucket.burst = MB, 2 * MB
        allowed = bucket.allows(batch.size, clock)
        clock += ROUND_TRIP + backlog.settle(Reply(204 if allowed else 429), clock).wait

    assert clock < 60 + 60 + 50 / LEAST_SHARE


def test_the_back_ends_own_pause_is_kept() -> None:
    drained = drain(filled(entries(MB, KB)), Bucket(MB, 40 * KB), retry_after=7.0)

    assert drained.seconds >= 7.0 * drained.refused > 0


def test_an_entry_that_never_passes_is_given_up_when_others_pass_and_costs_none_of_them() -> None:
    small = entries(200 * KB, KB)
    contents = [*small[:50], b"giant".ljust(60 * KB), *small[50:150], b"again".ljust(70 * KB), *small[150:]]

    drained = drain(filled(contents), Bucket(20 * KB, 40 * KB))

    assert sorted(drained.arrived) == sorted(small)
    assert drained.dropped == {"over_limit": 2}
    assert drained.seconds < MOST_RETRY_SECONDS


def test_an_entry_that_fills_the_whole_bucket_passes_in_its_turn() -> None:
    small = entries(300 * KB, KB)
    contents = [*small[:99], b"giant".ljust(40 * KB), *small[99:]]

    drained = drain(filled(contents), Bucket(5 * KB, 40 * KB))

    assert (drained.arrived, drained.dropped) == (contents, {})


def with_giants(share: float, giant: int, small: int) -> list[bytes]:
    """Entries of `small` bytes, and this share of others of 0.8 to 1.2 times `giant` bytes."""
    chance = random.Random(1)
    sizes = (int(giant * chance.uniform(0.8, 1.2)) if chance.random() < share else small for _ in range(3000))
    return [(b"%08d" % number).ljust(size, b"x") for number, size in enumerate(sizes)]


@pytest.mark.parametrize("share", [0.05, 0.2])
@pytest.mark.parametrize(
    ("bucket", "giant", "small"),
    [
        (Bucket(20 * KB, 40 * KB), 60 * KB, 2 * KB),
        (Bucket(200 * KB, 60 * KB), 80 * KB, 5 * KB),
        (Bucket(1 * MB, 100 * KB), 130 * KB, 10 * KB),
        (Bucket(3 * MB, 150 * KB), 200 * KB, 20 * KB),
    ],
)
def test_entries_above_the_burst_cost_the_others_little(bucket: Bucket, giant: int, small: int, share: float) -> None:
    bucket = Bucket(bucket.rate, bucket.burst)
    contents = with_giants(share, giant, small)
    passing = [encoded for encoded in contents if len(encoded) <= bucket.burst]

    drained = drain(filled(contents), bucket)

    assert drained.arrived == passing
    assert drained.dropped == {"over_limit": len(contents) - len(passing)}
    assert (sum(map(len, passing)) - bucket.burst) / drained.last_arrival >= LEAST_SHARE * bucket.rate
    assert drained.seconds - drained.last_arrival < MOST_RETRY_SECONDS


@pytest.mark.parametrize("giants", [1, 3, 20])
def test_entries_above_the_burst_do_not_hold_up_the_first_others(giants: int) -> None:
    small = entries(50 * KB, KB)

    drained = drain(filled([b"giant".ljust(60 * KB)] * giants + small), Bucket(20 * KB, 40 * KB))

    assert (drained.arrived, drained.dropped) == (small, {"over_limit": giants})
    assert drained.last_arrival < MOST_RETRY_SECONDS / 2


def test_calls_that_follow_large_ones_are_logged_at_once() -> None:
    with (
        FakeLoki(stream_rate=Rate(20 * KB, 40 * KB)) as loki,
        handle(logs_url=loki.push_url, push_interval=60, log_linger=0.05) as monitoring,
    ):
        logged(monitoring, 3, 60 * KB)
        logged(monitoring, 10, 10)
        loki.wait_until(lambda: len(loki.entries) == 10)

        assert monitoring.stats().dropped == {}


def test_one_entry_above_the_burst_and_no_other_is_over_the_limit() -> None:
    drained = drain(filled([b"giant".ljust(60 * KB)]), Bucket(20 * KB, 40 * KB))

    assert (drained.arrived, drained.dropped) == ([], {"over_limit": 1})
    assert MOST_RETRY_SECONDS <= drained.seconds < MOST_RETRY_SECONDS + 2 * LONGEST_PAUSE


@pytest.mark.parametrize("size", [1, 5, 500, MB])
def test_hours_of_refusals_slow_nothing_down_for_long_afterwards(size: int) -> None:
    pacer, clock = Pacer(MAX_BYTES), 0.0
    while clock < 4 * 3600:
        pacer.refuses(min(size, pacer.size), clock, random=lambda: 1.0)
        clock += pacer.pause(clock) + ROUND_TRIP
    over, passed = clock, 0
    while passed < 5 * MB:
        passed += pacer.size
        pacer.accepts(pacer.size, clock)
        clock += pacer.pause(clock) + ROUND_TRIP

    assert clock - over < 300


def test_nothing_is_given_up_as_too_large_for_a_limit_that_lets_nothing_pass() -> None:
    backlog = filled(entries(20 * KB, KB))
    clock = 0.0
    while backlog.has_any:
        if (batch := backlog.next(clock)) is None:
            clock += backlog.wait
            continue
        clock += ROUND_TRIP
        clock += backlog.settle(Reply(429), clock).wait
        assert batch.size <= MAX_BYTES

    assert set(backlog._ledger.stats().dropped) == {"retry_exhausted"}


def test_a_pause_is_never_longer_than_what_is_known_requires() -> None:
    pacer = Pacer(MAX_BYTES)
    assert (pacer.size, pacer.pause(0.0)) == (MAX_BYTES, 0.0)
    pacer.accepts(MAX_BYTES, 1.0)
    assert (pacer.size, pacer.pause(1.0)) == (MAX_BYTES, 0.0)
    for refusal in range(100):
        pacer.refuses(pacer.size, 2.0, random=lambda: 1.0, alone=refusal)
    assert LONGEST_PAUSE <= pacer.pause(2.0) <= 1.25 * LONGEST_PAUSE


def logged(monitoring: Monitoring, number: int, size: int) -> list[str]:
    asked = [f"{index} ".ljust(size, "x") for index in range(number)]
    with in_process(monitoring) as client:
        for text in asked:
            ask(client, text)
    return asked


@pytest.mark.parametrize("whole", [True, False], ids=["whole streams", "single entries"])
def test_a_loki_with_a_small_burst_takes_everything_at_its_own_pace(whole: bool) -> None:
    rate = Rate(200 * KB, 40 * KB)
    with (
        FakeLoki(stream_rate=rate, tenant_rate=rate, limits_whole_streams=whole) as loki,
        handle(logs_url=loki.push_url, **MANUAL) as monitoring,
    ):
        asked = logged(monitoring, 60, 8 * KB)
        result = monitoring.flush(60)

        assert (result.complete, result.delivered, result.dropped) == (True, 60, 0)
        stored = [json.loads(one.line)["request"]["messages"][0]["content"] for one in loki.entries]
        assert sorted(stored) == sorted(asked)
        assert stored == asked or not whole


def test_samples_of_calls_beyond_a_limit_go_in_parts_that_pass() -> None:
    with (
        RemoteWriteProxy(rate=Rate(600, 100)) as proxy,
        handle(metrics_url=proxy.write_url, metric_names={"grafana_openai"}, **MANUAL) as monitoring,
    ):
        logged(monitoring, 60, 10)
        assert monitoring.flush(60).complete

        samples = monitoring.stats().samples
        assert (samples.delivered, samples.dropped, samples.queued) == (samples.produced, {}, 0)
        assert proxy.violations == []
