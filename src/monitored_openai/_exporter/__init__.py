"""Sends ended calls to the back ends, with a thread, an event loop and I/O of its own."""

import sys
from contextlib import suppress
from importlib import import_module

import httpx  # noqa: F401  # imported here, because calls of the SDK 3.x fail while the exporter's thread imports it

from monitored_openai._exporter.handle import Monitoring, client_token, monitoring_for, tracker_of

__all__ = ["Monitoring", "client_token", "monitoring_for", "tracker_of"]

if "openai._httpx2" in sys.modules:  # late 2.x releases fail like this with httpx2, which genai-prices imports
    with suppress(ImportError):
        import_module("httpx2")
