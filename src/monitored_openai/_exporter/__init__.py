"""The one place with a thread, a loop and I/O: from ended calls to the back ends."""

from monitored_openai._exporter.monitoring import Monitoring, monitoring_for

__all__ = ["Monitoring", "monitoring_for"]
