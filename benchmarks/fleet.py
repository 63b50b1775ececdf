"""Measure the load of many processes on their back ends: `python -m benchmarks.fleet [PROCESSES]`.

One real process calls three models for two features. The benchmark repeats its pushes under other instance names and
sends them to a real Prometheus, with timestamps 15 seconds apart.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.figures import Figure
from monitored_openai import MonitoredOpenAI, MonitoringSettings
from monitored_openai._cli.demo import client_app
from monitored_openai._cli.demo.openai_server import Api
from monitored_openai._cli.demo.receivers import LogsReceiver, MetricsReceiver
from monitored_openai._cli.demo.workload import Phase, phases
from monitored_openai._cli.query import promql
from monitored_openai._exporter.encoders import loki, remote_write
from monitored_openai._local.remote_write_decoder import Series
from monitored_openai._metrics.metric_set import Histograms
from monitored_openai._metrics.names import RATE_LIMIT_METRICS
from tests.support.servers.prometheus import PROGRAM, Prometheus

_PROCESSES, _PUSHES, _INTERVAL_SECONDS = 1000, 8, 15
MODELS = ("gpt-4o", "gpt-4.1-mini", "gpt-5-mini")
_MODEL = "gen_ai_request_model"
_SERIES_AT_ONCE = 20_000
_RANGE = "10m"
_QUERY = f"query over {_RANGE}: "
_REPEATS = 10
_RATE_LIMITS = {metric.name for metric in RATE_LIMIT_METRICS}
QUERIES = {
    "total cost by model, exact": promql.total(promql.COST, _RANGE, (_MODEL,)),
    "total calls, exact": promql.total(promql.CALLS, _RANGE),
    "duration, p95 by model": promql.quantile(0.95, promql.rate(f"{promql.DURATION}_bucket", "1m", ("le", _MODEL))),
}


def figures(processes: int) -> Iterator[Figure]:
    """Yield all results; those about Prometheus only if it is installed."""
    series, entry_bytes = one_process()
    own = [one for one in series if _MODEL not in one.labels]
    limits = [one for one in series if one.labels["__name__"] in _RATE_LIMITS]
    of_calls = len(series) - len(own) - len(limits)
    groups = {(one.labels[_MODEL], one.labels["feature"]) for one in series if "feature" in one.labels}
    body = _encoded(series, "host:1:1:1", 1)
    yield Figure("one process", "series of its own", len(own), "")
    yield Figure("one process", "series of rate limits for each model", len(limits) / len(MODELS), "")
    yield Figure("one process", "series for each model and feature", of_calls / len(groups), "")
    yield Figure("one process", "series in all, three models and two features", len(series), "")
    yield Figure("one process", "bytes of a push, compressed", len(body), "B")
    yield Figure("one call", "bytes in the log, compressed, content included", entry_bytes, "B")
    yield Figure(f"{processes:,} processes", "samples", len(series) * processes / _INTERVAL_SECONDS, "/s")
    yield Figure(f"{processes:,} processes", "metrics", len(body) * processes / _INTERVAL_SECONDS / 1e3, "kB/s")
    program = PROGRAM.find()
    if program is not None:
        yield from in_prometheus(program, series, processes)


def jobs_of(models: Sequence[str]) -> Phase:
    """Return the demo's calls of these models that succeed."""
    jobs = [job for phase in phases() for job in (*phase.in_threads, *phase.in_tasks) if job.fault is None]
    return Phase(name="fleet", how="", in_threads=[job for job in jobs if job.model in models])


def one_process(histograms: Histograms = "lean", models: Sequence[str] = MODELS) -> tuple[list[Series], float]:
    """Return the series of a process after some calls, and the compressed bytes of one log entry."""
    with ExitStack() as stack:
        api = stack.enter_context(Api(pace=0))
        metrics, logs = stack.enter_context(MetricsReceiver()), stack.enter_context(LogsReceiver())
        settings = MonitoringSettings(
            metrics_url=metrics.push_url,
            logs_url=logs.push_url,
            label_names=("feature",),
            provider="openai",
            histograms=histograms,
        )
        client = MonitoredOpenAI(base_url=api.base_url, api_key="none", monitoring=settings)
        client_app.run([jobs_of(models)], api.base_url, settings)
        client.monitoring.close(10)
        client.close()
        entries = [loki.encode_entry(one.timestamp_ns, json.dumps(one.call), one.metadata) for one in logs.entries]
        return metrics.series, len(loki.encode_push([({"job": "fleet"}, entries)])) / len(entries)


def _encoded(series: Sequence[Series], instance: str, at_ms: int, factor: float = 1) -> bytes:
    return remote_write.encode_push(_each(series, instance, at_ms, factor))


def _each(series: Sequence[Series], instance: str, at_ms: int, factor: float) -> Iterator[bytes]:
    for one in series:
        labels = {**one.labels, "instance": instance}
        name = labels.pop("__name__")
        encoded = remote_write.encode_labels(name, labels.items())
        yield remote_write.encode_series(encoded, [(one.value * factor, at_ms)])


def in_prometheus(program: Path, series: Sequence[Series], processes: int) -> Iterator[Figure]:
    """Yield series, memory and the best time of each query in a real Prometheus with pushes of the processes."""
    case = f"{processes:,} processes"
    with tempfile.TemporaryDirectory() as folder, Prometheus(program, Path(folder)) as prometheus:
        end = time.time()
        for push in range(_PUSHES):
            at_ms = int((end - (_PUSHES - 1 - push) * _INTERVAL_SECONDS) * 1000)
            together: list[bytes] = []
            for number in range(processes):
                together += _each(series, f"host-{number}:1:1:1", at_ms, 1 + push)
                if len(together) >= _SERIES_AT_ONCE or number == processes - 1:
                    _send(prometheus.write_url, remote_write.encode_push(together))
                    together = []
        exposed = urllib.request.urlopen(f"{prometheus.url}/metrics", timeout=60).read().decode()  # noqa: S310  # loopback
        yield Figure(case, "series in Prometheus", _value(exposed, "prometheus_tsdb_head_series"), "")
        yield Figure(case, "Prometheus's memory", _value(exposed, "process_resident_memory_bytes") / 1e6, "MB")
        for what, query in QUERIES.items():
            best = min(_seconds(prometheus, query, end + 1) for _ in range(_REPEATS))
            yield Figure(case, f"{_QUERY}{what}", best, "s")


def _seconds(prometheus: Prometheus, query: str, at: float) -> float:
    started = time.perf_counter()
    assert prometheus.query(query, at), query
    return time.perf_counter() - started


def _send(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, body, remote_write.HEADERS)  # noqa: S310  # loopback
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # loopback
        assert answer.status == 204


def _value(text: str, metric: str) -> float:
    found = re.search(rf"^{metric} (\S+)$", text, re.MULTILINE)
    assert found is not None, metric
    return float(found[1])


def main(arguments: Sequence[str]) -> int:
    """Print the table; return the exit status."""
    os.environ["no_proxy"] = "127.0.0.1"
    for figure in figures(int(arguments[0]) if arguments else _PROCESSES):
        print(f"{figure.case:<18} {figure.what:<62} {figure.value:>12,.4g} {figure.unit}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
