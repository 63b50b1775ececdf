"""The official OpenAI clients, with every call's tokens, cost, latency and content sent to Prometheus and Loki."""

from monitored_openai._batches import BatchUsage, abatch_usage, batch_usage
from monitored_openai._calls.context import attributes, no_content
from monitored_openai._calls.executors import carry
from monitored_openai._clients import (
    AsyncMonitoredAzureOpenAI,
    AsyncMonitoredOpenAI,
    MonitoredAzureOpenAI,
    MonitoredOpenAI,
)
from monitored_openai._exporter import Monitoring
from monitored_openai._monitor import monitor
from monitored_openai._record import CallRecord, Cost, Usage
from monitored_openai._settings.model import MonitoringSettings, SettingsError
from monitored_openai._stats import FlushResult, HostStats, SampleStats, Stats
from monitored_openai._version import __version__

__all__ = [
    "AsyncMonitoredAzureOpenAI",
    "AsyncMonitoredOpenAI",
    "BatchUsage",
    "CallRecord",
    "Cost",
    "FlushResult",
    "HostStats",
    "MonitoredAzureOpenAI",
    "MonitoredOpenAI",
    "Monitoring",
    "MonitoringSettings",
    "SampleStats",
    "SettingsError",
    "Stats",
    "Usage",
    "__version__",
    "abatch_usage",
    "attributes",
    "batch_usage",
    "carry",
    "monitor",
    "no_content",
]
