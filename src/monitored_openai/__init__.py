"""The official OpenAI clients, with every call's tokens, cost, latency and content sent to Prometheus and Loki."""

from typing import TYPE_CHECKING, Any

from monitored_openai._version import __version__

if TYPE_CHECKING:
    from monitored_openai._public import *

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


def __getattr__(name: str) -> Any:
    """Import the public names at the first use of one, so that the command starts without the SDK's import of a second."""
    if name in __all__:
        from monitored_openai import _public

        globals().update({public: getattr(_public, public) for public in _public.__all__})
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
