"""The one place with a thread, a loop and I/O: from ended calls to the back ends."""

import sys
from contextlib import suppress
from importlib import import_module

import httpx  # noqa: F401  # not in the exporter's thread: calls of the SDK 3.x fail while another thread imports it

from monitored_openai._exporter.handle import Monitoring, monitoring_for

__all__ = ["Monitoring", "monitoring_for"]

if "openai._httpx2" in sys.modules:  # the last 2.x: their calls fail so with httpx2, which genai-prices imports
    with suppress(ImportError):
        import_module("httpx2")
