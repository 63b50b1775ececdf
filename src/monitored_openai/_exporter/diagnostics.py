"""Checks the settings: sends one test sample or entry to each back end, and looks at the spool.

The findings are values; the caller decides how to show them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from monitored_openai._exporter.advice import NAMES, refusal
from monitored_openai._exporter.delivery.http import Sender
from monitored_openai._exporter.delivery.retry import Failure, Reply
from monitored_openai._exporter.encoders import loki
from monitored_openai._exporter.encoders.protocols import PROTOCOLS
from monitored_openai._exporter.runtime.fork_gate import ForkGate
from monitored_openai._exporter.runtime.thread import ExporterLoop
from monitored_openai._metrics.names import DOCTOR
from monitored_openai._settings.model import MonitoringSettings
from monitored_openai._settings.urls import LOCAL_URL
from monitored_openai._settings.variables import unknown_variables

if TYPE_CHECKING:
    from monitored_openai._settings.urls import Signal

_MOST_SKEW_SECONDS = 60.0
"""Difference between the clocks beyond which the check fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check."""

    about: str
    """Subject of the check: `settings`, `metrics`, `scraping`, `logs`, `clock`, `spool` or `host`."""
    is_well: bool
    says: str
    """Description of the result."""
    advice: str = ""
    """How to fix the problem; empty if `is_well`."""


def check(settings: MonitoringSettings, *, scraped: bool = False) -> list[Finding]:
    """Check every back end and the spool that the settings name, in at most 10 seconds for each back end.

    If the metrics are `scraped`, settings without any URL are right.
    """
    if not settings.enabled:
        return [
            Finding(
                about="settings",
                is_well=False,
                says="enabled is false: the library monitors no calls",
                advice="set MONITORED_OPENAI_ENABLED to true, or remove it",
            )
        ]
    with asyncio.Runner(loop_factory=lambda: ExporterLoop(ForkGate())) as runner:
        return runner.run(_check(settings, scraped=scraped))


def misspelt_variables(names: Iterable[str]) -> list[Finding]:
    """Return a finding for each variable that has the prefix of the settings but is not a setting."""
    return [
        Finding(about="settings", is_well=False, says=f"{name} {text}", advice="rename the variable, or remove it")
        for name, text in unknown_variables(names, MonitoringSettings.model_fields).items()
    ]


async def _check(settings: MonitoringSettings, *, scraped: bool) -> list[Finding]:
    if settings.metrics_url is None and settings.logs_url is None and not scraped:
        return [
            Finding(
                about="settings",
                is_well=False,
                says="neither metrics_url nor logs_url is set: the library pushes nothing",
                advice="set MONITORED_OPENAI_METRICS_URL and MONITORED_OPENAI_LOGS_URL; if Prometheus scrapes the metrics "
                "and you need no logs, run `monitored-openai doctor --scraped`",
            )
        ]
    now_ns = time.time_ns()
    found = [_scraping()] if scraped else []
    if settings.metrics_url is not None:
        protocol = PROTOCOLS[settings.metrics_protocol]
        labels = {"job": settings.job, **settings.shared_labels, "instance": f"{settings.instance}:doctor"}
        series = protocol.encode_labels(DOCTOR.name, tuple(labels.items()))
        body = protocol.encode_push([protocol.encode_series(series, [(now_ns / 1e9, now_ns // 1_000_000)])])
        found += await _push(settings, "metrics", settings.metrics_url, body, protocol.headers)
    else:
        found.append(_unset("metrics"))
    if settings.logs_url is not None:
        entry = loki.encode_entry(now_ns, '{"doctor":"a test entry of monitored-openai doctor"}', {"doctor": "true"})
        body = loki.encode_push([({"job": settings.job, **settings.shared_labels}, [entry])])
        found += await _push(settings, "logs", settings.logs_url, body, loki.HEADERS)
    else:
        found.append(_unset("logs"))
    if settings.spool_dir is not None:
        found.append(_spool(Path(settings.spool_dir)))
    if settings.host_dir is not None:
        found.append(_UNUSED_HOST_DIR if settings.metrics_url is None else _host(settings))
    return found


def _scraping() -> Finding:
    if find_spec("prometheus_client") is None:
        return Finding(
            about="scraping",
            is_well=False,
            says="the package prometheus-client is missing: the library has no collector",
            advice="pip install 'monitored-openai[scrape]'",
        )
    return Finding(
        about="scraping",
        is_well=True,
        says="the collector is available; open your page /metrics to see whether the application has registered it",
    )


def _unset(signal: Signal) -> Finding:
    return Finding(about=signal, is_well=True, says=f"{signal}_url is not set: the library pushes no {signal}")


_UNUSED_HOST_DIR = Finding(about="host", is_well=True, says="host_dir has no effect, because metrics_url is not set")


async def _push(
    settings: MonitoringSettings, signal: Signal, url: str, body: bytes, headers: Mapping[str, str]
) -> list[Finding]:
    sender = Sender(url, signal, settings)
    outcome = await sender.post(body, headers)
    await sender.aclose()
    has_credentials = any(name.lower() == "authorization" for name in settings.request_headers(signal))
    finding = judged(signal, outcome, sender.trouble, has_credentials=has_credentials)
    if outcome is Failure.CONNECT and url.startswith(f"{LOCAL_URL}/"):
        finding = replace(finding, advice=f"start `monitored-openai local`, or check {signal}_url")
    found = [finding]
    if isinstance(outcome, Reply) and outcome.server_time is not None:
        skew = time.time() - outcome.server_time
        if abs(skew) > _MOST_SKEW_SECONDS:
            found.append(
                Finding(
                    about="clock",
                    is_well=False,
                    says=f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {NAMES[signal]}'s",
                    advice="set the clock by NTP: back ends refuse samples and entries with a wrong time",
                )
            )
    return found


def judged(signal: Signal, outcome: Reply | Failure, trouble: str = "", *, has_credentials: bool = True) -> Finding:
    """Return the finding for the outcome of a test push, which had a header `Authorization` if `has_credentials`."""
    name = NAMES[signal]
    if isinstance(outcome, Failure):
        says = f"{name} cannot be reached" if outcome is Failure.CONNECT else f"{name} does not answer"
        says += f": {trouble}" if trouble else ""
        advice = f"check the host and port in {signal}_url, the proxy, and that {name} runs"
        return Finding(about=signal, is_well=False, says=says, advice=advice)
    if outcome.is_success:
        return Finding(about=signal, is_well=True, says=f"{name} accepts {signal}")
    says, advice = refusal(signal, outcome, has_credentials=has_credentials)
    return Finding(about=signal, is_well=False, says=says, advice=advice)


def _spool(path: Path) -> Finding:
    try:
        from monitored_openai._exporter.spool.directory import SpoolDirectory, what_failed
        from monitored_openai._exporter.spool.file import SUFFIX
        from monitored_openai._exporter.spool.spool import LEAST_FREE_BYTES
    except ImportError as missing:  # on Windows, or in a Python without SQLite
        return _no_spool(str(missing))
    directory = SpoolDirectory(path, "doctor")
    try:
        size, _ = directory.sizes(None)
        found = list(path.iterdir())
        free = directory.free_bytes()
        directory.create({}).close()
    except Exception as error:  # `sqlite3.Error` too, without an import of `sqlite3`, which some systems lack
        return _no_spool(what_failed(error))
    if free < LEAST_FREE_BYTES:
        return _no_spool(f"{free / 2**20:.0f} MiB of its disk are free, and the spool leaves 512 MiB to other programs")
    files, damaged = (sum(one.suffix == suffix for one in found) for suffix in (SUFFIX, ".corrupt"))
    says = f"the spool holds {size / 2**20:.1f} MiB in {files} files"
    if damaged:
        return Finding(
            about="spool",
            is_well=False,
            says=f"{says}, and {damaged} damaged files were set aside",
            advice="check the disk; remove the files that end in .corrupt when you no longer need them",
        )
    return Finding(about="spool", is_well=True, says=says)


def _host(settings: MonitoringSettings) -> Finding:
    try:
        from monitored_openai._exporter.host.report import PushReport, report
        from monitored_openai._exporter.spool.directory import what_failed
    except ImportError as missing:  # on Windows, or in a Python without SQLite
        return _no_host(str(missing))
    try:
        found: PushReport = report(settings)
    except Exception as error:  # `sqlite3.Error` too, without an import of `sqlite3`, which some systems lack
        return _no_host(what_failed(error))
    return Finding(about="host", is_well=not found.advice, says=found.says, advice=found.advice)


def _no_host(why: str) -> Finding:
    return Finding(
        about="host",
        is_well=False,
        says=f"host_dir cannot be used, so each process pushes its own series: {why}",
        advice="set host_dir to a directory on a local disk that only this user can change",
    )


def _no_spool(why: str) -> Finding:
    return Finding(
        about="spool",
        is_well=False,
        says=f"the spool cannot be used: {why}",
        advice="set spool_dir to a directory on a local disk with free space that only this user can change",
    )
