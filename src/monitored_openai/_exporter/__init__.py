"""Sends ended calls to the back ends, with a thread, an event loop and I/O of its own."""

import sys
from contextlib import suppress
from importlib import import_module

import httpx  # noqa: F401  # imported here, because calls of the SDK 3.x fail while the exporter's thread imports it

from monitored_openai._exporter.handle import Monitoring, client_token, monitoring_for, tracker_of

__all__ = ["Monitoring", "client_token", "monitoring_for", "tracker_of"]

# Calls of the last 2.x releases fail in the same way while a thread imports httpx2, which genai-prices does.
if "openai._httpx2" in sys.modules:
    with suppress(ImportError):
        import_module("httpx2")
