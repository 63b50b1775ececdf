"""Pushes of a metrics pusher, in the form that tests compare."""

from __future__ import annotations

from monitored_openai import Monitoring
from monitored_openai._exporter.delivery.metrics_pusher import MetricsPusher
from monitored_openai._exporter.delivery.series import PushedSeries
from tests.support.servers.remote_write import Series


def pusher(monitoring: Monitoring) -> MetricsPusher:
    assert monitoring._runner._exporter is not None
    found = monitoring._runner._exporter._metrics_pusher
    assert isinstance(found, MetricsPusher)
    return found


def series_of(monitoring: Monitoring) -> PushedSeries:
    return pusher(monitoring)._series


def newest(batch: list[Series]) -> int:
    return max(ts for series in batch for ts, _ in series.samples)


def births(batch: list[Series]) -> list[Series]:
    return [series for series in batch if len(series.samples) == 2]
