"""For the type checkers, never run: a wrong setting is an error in the editor, every form that users write is not.

A wrong use carries an ignore, and both checkers report an ignore that ignores nothing.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

from openai.types import Batch
from pydantic import SecretStr

import monitored_openai
from monitored_openai import (
    AsyncMonitoredOpenAI,
    BatchUsage,
    CallRecord,
    MonitoredOpenAI,
    MonitoringSettings,
    abatch_usage,
    batch_usage,
)


def redacted(text: str, field: str) -> str:
    return text or field


def recorded(record: CallRecord) -> None:
    print(record.id)


def wrong_names() -> None:
    monitored_openai.MonitoredOpenAl  # type: ignore[attr-defined]  # noqa: B018 - a small L at the end
    MonitoringSettings(metrics_ulr="https://prometheus.example")  # type: ignore[call-arg]
    MonitoringSettings.local(environmnt="test")  # type: ignore[call-arg]


def wrong_types(batches: MonitoredOpenAI) -> None:
    MonitoringSettings(metrics_url=9090)  # type: ignore[arg-type]
    MonitoringSettings(queue_size="many")  # type: ignore[arg-type]
    MonitoringSettings(capture_content="no")  # type: ignore[arg-type]
    MonitoringSettings(on_error="ignore")  # type: ignore[arg-type]
    MonitoringSettings(metrics_protocol="otlp")  # type: ignore[arg-type]
    MonitoringSettings(extra_labels={"team": 1})  # type: ignore[dict-item]
    MonitoringSettings(label_names=[1])  # type: ignore[list-item]
    MonitoringSettings(redact=recorded)  # type: ignore[arg-type]
    MonitoringSettings(redact_presets=["emial"])  # type: ignore[list-item]
    MonitoringSettings(on_record=redacted)  # type: ignore[arg-type]
    MonitoringSettings.local(push_interval="2 s")  # type: ignore[arg-type]
    batch_usage(batches, 1)  # type: ignore[arg-type]


def forms(rest: dict[str, Any]) -> None:
    MonitoringSettings(_env_file=".env")
    MonitoringSettings(_env_file=Path(".env"), **rest)
    MonitoringSettings(metrics_username=123456, logs_username="654321", tenant_id=7)
    MonitoringSettings(access_token="glc_x", metrics_token=SecretStr("x"), proxy=SecretStr("http://proxy.example"))
    MonitoringSettings(headers={"X-Team": "a", "X-Key": SecretStr("k")}, extra_labels={"team": "a"})
    MonitoringSettings(headers="X-Team=a", extra_labels="team=a", label_names="team,feature", redact="sk-[a-z]+")
    MonitoringSettings(label_names=["team"], metric_names=("gen_ai", "grafana_openai"), redact=[r"sk-\w+"])
    MonitoringSettings(redact_presets=["email", "card"], hash_attributes=("user",), hash_secret="x" * 32)
    MonitoringSettings(redact_presets="email,card", hash_attributes={"user"}, hash_secret=SecretStr("x" * 32))
    MonitoringSettings(histograms="full", metrics_left_out=["openai_processing_seconds"])
    MonitoringSettings(label_names={"team"}, redact=redacted, on_record=recorded)
    MonitoringSettings(verify=False, client_cert=(Path("cert.pem"), "key.pem"), spool_dir=Path("/var/spool/x"))
    MonitoringSettings(prices={"house-llm": {"input": 1, "output": 2.5}}, push_interval=15)
    MonitoringSettings.local("http://127.0.0.1:9999", environment="test")


def attributes_of(settings: MonitoringSettings) -> None:
    assert_type(settings.metrics_url, str | None)
    assert_type(settings.access_token, SecretStr | None)
    assert_type(settings.headers, Mapping[str, SecretStr])
    assert_type(settings.label_names, tuple[str, ...])
    assert_type(settings.queue_size, int)
    settings.metrics_ulr  # type: ignore[attr-defined]  # noqa: B018


async def batches(client: MonitoredOpenAI, later: AsyncMonitoredOpenAI, batch: Batch) -> None:
    assert_type(batch_usage(client, batch), tuple[BatchUsage, ...])
    assert_type(batch_usage(client, "batch_1", count=True), tuple[BatchUsage, ...])
    assert_type(await abatch_usage(later, batch), tuple[BatchUsage, ...])
