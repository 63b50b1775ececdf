"""One invented day of a shop: its calls, and the series that its two processes push."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random

import httpx

from monitored_openai import CallRecord
from monitored_openai._exporter.encoders import remote_write
from monitored_openai._log_entry import log_entry
from monitored_openai._metrics import names
from monitored_openai._metrics.store import Metrics
from scripts.screenshots import a_call
from tests.support.servers.loki import Entry

SECONDS, TICK = 86_400, 60
"""Seconds of the day, and between two pushes of a process."""
LABELS = {"job": "integrations/openai", "environment": "production", "service_name": "shop"}
LIMITS = {"gpt-5": 30_000, "gpt-5-mini": 200_000, "gpt-4o": 30_000, "gpt-4.1-mini": 200_000}
"""Tokens a minute of each model."""
_BATCH = 20
"""Ticks in one request to Prometheus."""
Series = Mapping[tuple[str, tuple[tuple[str, str], ...]], list[tuple[float | None, int]]]


@dataclass(slots=True, kw_only=True)
class _Process:
    """One process: its metrics, and the counters of its exporter."""

    instance: str
    metrics: Metrics = field(default_factory=lambda: Metrics(label_names=("feature",)))
    calls: int = 0
    pushes: int = 0


def calls(start: float) -> list[CallRecord]:
    """Return the calls of the day, ordered by their end: more by day than by night, and a disturbance before the end."""
    random = Random(7)
    made = []
    for second in range(0, SECONDS, 2):
        hour = (start + second) / 3600
        busy = 0.10 + 0.06 * math.sin(hour / 24 * math.tau)
        slow = SECONDS - 5400 < second < SECONDS - 4500
        if random.random() < busy * 2 * (1.6 if slow else 1):
            made.append(_varied(random, a_call(random, start + second + random.random(), slow=slow)))
    return sorted(made, key=lambda one: one.ended_ns)


def _varied(random: Random, record: CallRecord) -> CallRecord:
    if record.time_to_first_chunk is not None and record.chunks:
        rest = record.duration - record.time_to_first_chunk
        record = replace(
            record,
            chunk_intervals=[rest / record.chunks] * 20,
            headers={"openai-processing-ms": str(int(record.time_to_first_chunk * 800))},
        )
    chance = random.random()
    if record.error_type is None and chance < 0.02:
        return replace(record, finish_reasons=("length",))
    if record.error_type is None and chance < 0.03:
        return replace(
            record, cost=None, unpriced="unknown_model", request_model="house-llm", response_model="house-llm"
        )
    if record.error_type is None and chance < 0.035:
        return replace(record, error_type="abandoned", usage=None, usage_unknown="abandoned", cost=None, unpriced="usage_unknown", finish_reasons=())  # fmt: skip
    if record.error_type is None and chance < 0.04:
        cost = record.cost and replace(record.cost, incomplete=("tool_fee",))
        return replace(record, cost=cost, tool_calls={"web_search": 1, "file_search": 2})
    if record.error_type is None and chance < 0.06:
        return replace(record, retries=1)
    return record


def entries(made: list[CallRecord]) -> list[Entry]:
    """Return the log entries of the calls."""
    found = []
    for record in made:
        entry = log_entry(record, redact=None, max_bytes=240_000)
        metadata = dict(entry.metadata)
        found.append(Entry(tenant="", labels=LABELS, ts=record.ended_ns, line=entry.line, metadata=metadata))
    return found


def push(made: list[CallRecord], start: float, write_url: str) -> None:
    """Send the series of the day to Prometheus, tick by tick."""
    processes = [_Process(instance=f"web-{number}") for number in (1, 2)]
    waiting: dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[float | None, int]]] = {}
    upcoming = iter(made)
    record = next(upcoming, None)
    for tick in range(1, SECONDS // TICK + 1):
        now = start + tick * TICK
        while record is not None and record.ended_ns <= now * 1e9:
            process = processes[sum(process.calls for process in processes) % 2]
            process.metrics.fold(record)
            process.calls += 1
            record = next(upcoming, None)
        for process in processes:
            process.pushes += 1
            for name, labels, value in _samples(process, now):
                key = name, (*labels, *LABELS.items(), ("instance", process.instance))
                waiting.setdefault(key, []).append((value, int(now * 1000)))
        if tick % _BATCH == 0:
            _send(waiting, write_url)
            waiting.clear()


def _send(waiting: Series, write_url: str) -> None:
    body = remote_write.encode_push(
        remote_write.encode_series(remote_write.encode_labels(name, labels), samples)
        for (name, labels), samples in waiting.items()
    )
    httpx.post(write_url, content=body, headers=remote_write.HEADERS, timeout=60).raise_for_status()


def _samples(process: _Process, now: float) -> Iterator[tuple[str, tuple[tuple[str, str], ...], float]]:
    for sample in process.metrics.samples():
        yield sample.name, tuple(sample.labels), sample.value
    wave = 0.5 + 0.5 * math.sin(now / 700 + len(process.instance) + process.pushes / 40)
    for signal in ("metrics", "logs"):
        of = (("signal", signal),)
        yield names.PRODUCED.name, of, process.calls
        yield names.DELIVERED.name, of, max(0, process.calls - 1)
        yield names.QUEUED.name, of, round(6 * wave)
        yield names.LAST_SUCCESS.name, of, now - 2 - round(20 * wave)
        yield names.SEND_SECONDS.sum, of, process.pushes * (0.02 if signal == "logs" else 0.011)
        yield names.SEND_SECONDS.count, of, process.pushes
    yield names.DROPPED.name, (("signal", "logs"), ("reason", "too_large")), 0
    yield names.SPOOL_BYTES.name, (), 0
    yield names.FOLDED.name, (), 0
    yield names.PRICES_DATE.name, (("gen_ai_provider_name", "openai"),), 1_790_000_000
    for number, (model, limit) in enumerate(LIMITS.items()):
        limited = (("gen_ai_request_model", model), ("resource", "tokens"))
        yield names.LIMIT.name, limited, limit
        yield names.REMAINING.name, limited, limit * (0.95 - 0.15 * number * wave)
        yield names.ACTIVE.name, (("gen_ai_request_model", model),), round((number + 1) * wave)
