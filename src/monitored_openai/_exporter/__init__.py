"""Sends ended calls to the back ends: the only package with a thread, an event loop and I/O."""

import sys
from contextlib import suppress
from importlib import import_module

import httpx  # noqa: F401  # here, because calls of the SDK 3.x fail while the exporter's thread imports it

from monitored_openai._exporter.handle import Monitoring, client_token, monitoring_for, tracker_of

__all__ = ["Monitoring", "client_token", "monitoring_for", "tracker_of"]

if "openai._httpx2" in sys.modules:  # the last 2.x fail in the same way with httpx2, which genai-prices imports
    with suppress(ImportError):
        import_module("httpx2")
