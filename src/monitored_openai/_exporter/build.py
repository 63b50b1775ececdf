"""Builds the parts of an exporter from the settings. A part that the settings do not need is `None`."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from monitored_openai._exporter.delivery.http import Sender
from monitored_openai._exporter.delivery.legacy_sample_pusher import LegacySamplePusher
from monitored_openai._exporter.delivery.log_pusher import LogPusher
from monitored_openai._exporter.delivery.log_queue import LogQueue
from monitored_openai._exporter.delivery.metrics_pusher import MetricsPusher
from monitored_openai._exporter.delivery.sample_queue import SampleQueue
from monitored_openai._exporter.delivery.series import PushedSeries
from monitored_openai._exporter.encoders.protocols import PROTOCOLS
from monitored_openai._exporter.host.series import HostSeries
from monitored_openai._exporter.recovery import SpoolRecovery
from monitored_openai._exporter.spool.snapshots import SnapshotKeeper
from monitored_openai._exporter.state import ExporterState
from monitored_openai._logging import warn_sparsely
from monitored_openai._stats import HostStats

if TYPE_CHECKING:
    from monitored_openai._exporter.clients import Clients
    from monitored_openai._exporter.delivery.flush_gate import FlushGate
    from monitored_openai._exporter.host.push import HostPusher
    from monitored_openai._exporter.host.snapshots import HostTotals
    from monitored_openai._exporter.idle import Rest
    from monitored_openai._exporter.ledger import DeliveryLedger
    from monitored_openai._exporter.metrics_state import MetricsState
    from monitored_openai._exporter.spool.spool import Spool
    from monitored_openai._settings.model import MonitoringSettings

    TotalsPusher = MetricsPusher | HostPusher


def build_state(
    settings: MonitoringSettings, ledger: DeliveryLedger, metrics: MetricsState, instance: str
) -> ExporterState:
    """Build the state that outlives an exporter; `instance` is the value of the metrics label `instance`."""
    stream = {"job": settings.job, **settings.shared_labels}
    labels = {"job": settings.job, **settings.metric_labels, "instance": instance}
    spool = _build_spool(settings, ledger, stream)
    host = _build_host(settings, metrics, ledger)
    series = _build_series(settings, metrics, labels, host)
    return ExporterState(
        instance=instance,
        spool=spool,
        log_queue=LogQueue(ledger, stream=stream, shards=settings.log_shards, spool=spool, now_ns=_steady_ns()),
        series=series,
        keeper=_build_keeper(spool, ledger, series) if host is None else None,
        samples=_build_samples(settings, ledger, {**stream, "instance": instance}),
        host=host,
    )


def build_log_pusher(
    settings: MonitoringSettings, state: ExporterState, flush_gate: FlushGate, metrics: MetricsState, clients: Clients
) -> LogPusher | None:
    """Build the pusher of log entries."""
    if settings.logs_url is None:
        return None
    return LogPusher(
        state.log_queue,
        Sender(settings.logs_url, "logs", settings, clients),
        flush_gate,
        linger=settings.log_linger,
        time_request=partial(metrics.time_request, "logs"),
    )


def build_metrics_pusher(
    settings: MonitoringSettings,
    state: ExporterState,
    flush_gate: FlushGate,
    metrics: MetricsState,
    clients: Clients,
    *,
    ledger: DeliveryLedger,
    rest: Rest,
) -> TotalsPusher | None:
    """Build the pusher of the current value of every series."""
    if settings.metrics_url is None or state.series is None:
        return None
    phase = settings.push_seconds * (zlib.crc32(state.instance.encode()) / 2**32)
    pusher = MetricsPusher(
        state.series,
        ledger,
        Sender(settings.metrics_url, "metrics", settings, clients),
        flush_gate,
        keeper=state.keeper,
        phase=phase,
        rest=rest,
        time_request=partial(metrics.time_request, "metrics"),
    )
    if state.host is None or not isinstance(state.series, HostSeries):
        return pusher
    from monitored_openai._exporter.host.push import HostPusher

    return HostPusher(
        state.host,
        state.series,
        pusher,
        ledger,
        flush_gate,
        phase=phase,
        rest=rest,
        max_label_sets=settings.max_label_sets,
    )


def build_sample_pusher(
    settings: MonitoringSettings, state: ExporterState, flush_gate: FlushGate, metrics: MetricsState, clients: Clients
) -> LegacySamplePusher | None:
    """Build the pusher of legacy samples."""
    if settings.metrics_url is None or state.samples is None:
        return None
    return LegacySamplePusher(
        state.samples,
        Sender(settings.metrics_url, "metrics", settings, clients),
        flush_gate,
        interval=settings.push_seconds,
        time_request=partial(metrics.time_request, "metrics"),
    )


def build_recovery(
    state: ExporterState, ledger: DeliveryLedger, log_pusher: LogPusher | None, metrics_pusher: TotalsPusher | None
) -> SpoolRecovery | None:
    """Build the recovery of the data that ended processes left in the spool."""
    if state.spool is None:
        return None
    return SpoolRecovery(
        state.spool,
        state.log_queue,
        ledger,
        keeper=state.keeper,
        log_pusher=log_pusher,
        metrics_pusher=metrics_pusher,
    )


def _build_spool(settings: MonitoringSettings, ledger: DeliveryLedger, stream: Mapping[str, str]) -> Spool | None:
    if settings.spool_dir is None or not (settings.logs_url or settings.metrics_url):
        return None
    try:
        from monitored_openai._exporter.spool.spool import open_spool
    except ImportError as missing:
        warn_sparsely("spool", "this system does not support the spool; everything stays in memory: %s", missing)
        return None
    return open_spool(settings, stream, ledger.record_evicted)


def _build_host(settings: MonitoringSettings, metrics: MetricsState, ledger: DeliveryLedger) -> HostTotals | None:
    if settings.host_dir is None or settings.metrics_url is None:
        return None
    try:
        from monitored_openai._exporter.host.snapshots import open_host
    except ImportError as missing:
        warn_sparsely("host", "this system does not support host_dir; each process pushes its own series: %s", missing)
        ledger.host = HostStats(fallbacks=1)
        return None
    return open_host(settings, metrics, ledger)


def _build_series(
    settings: MonitoringSettings, metrics: MetricsState, labels: Mapping[str, str], host: HostTotals | None
) -> PushedSeries | None:
    if settings.metrics_url is None:
        return None
    protocol = PROTOCOLS[settings.metrics_protocol]
    if host is not None:
        instance = ":".join(filter(None, (settings.instance, settings.service_name)))
        return HostSeries(metrics, protocol=protocol, labels=labels, interval=settings.push_seconds, instance=instance)
    return PushedSeries(metrics, protocol=protocol, labels=labels, interval=settings.push_seconds)


def _build_keeper(spool: Spool | None, ledger: DeliveryLedger, series: PushedSeries | None) -> SnapshotKeeper | None:
    if spool is None or series is None:
        return None
    return SnapshotKeeper(spool, ledger, series.snapshot)


def _build_samples(
    settings: MonitoringSettings, ledger: DeliveryLedger, labels: Mapping[str, str]
) -> SampleQueue | None:
    if settings.metrics_url is None or "grafana_openai" not in settings.metric_names:
        return None
    protocol = PROTOCOLS[settings.metrics_protocol]
    return SampleQueue(ledger, protocol=protocol, labels=labels, max_models=settings.max_label_sets)


def _steady_ns() -> Callable[[], int]:
    """Return a clock in nanoseconds since the epoch that ignores later changes of the system's clock."""
    offset = time.time_ns() - time.monotonic_ns()
    return lambda: time.monotonic_ns() + offset
