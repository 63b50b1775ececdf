"""Fixtures for every test: no real back end or key is reachable, and no test leaves anything running."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

import hypothesis
import pytest

from tests.support.back_ends import api, loki, proxy
from tests.support.machine import (
    pytest_runtest_protocol,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
)
from tests.support.stocked import done

__all__ = [
    "api",
    "done",
    "loki",
    "proxy",
    "pytest_runtest_protocol",
    "pytest_xdist_auto_num_workers",
    "pytest_xdist_make_scheduler",
]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a shell's background job; the programs that tests start and interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A folder without certificates: otherwise each client of the SDK would read 140 of them, in 30 ms, and no test uses them.
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)
os.environ.pop("SSL_CERT_FILE", None)

hypothesis.settings.register_profile(
    "any load",
    hypothesis.settings(),  # CI's own profile, where that is on
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("any load")

EXPORTER = "monitored-openai-exporter"
"""The library's one thread per process, a daemon that outlives whoever started it."""
GRACE = 15.0
"""Seconds in which what a test has stopped may finish stopping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What runs in this process or was started by it; children and servers only on Linux."""

    threads: frozenset[threading.Thread]
    children: frozenset[str]
    servers: frozenset[str]

    def without(self, before: Running) -> Running:
        pairs = {one.name: getattr(self, one.name) - getattr(before, one.name) for one in fields(self)}
        return Running(**pairs)

    def __bool__(self) -> bool:
        return bool(self.threads or self.children or self.servers)


def running_now() -> Running:
    exporters = [thread for thread in threading.enumerate() if thread.name == EXPORTER and thread.daemon]
    threads = frozenset(threading.enumerate()) - frozenset(exporters[:1])
    return Running(threads=threads, children=_children(), servers=_servers())


def _children() -> frozenset[str]:
    found = set()
    for task in _names_in("/proc/self/task"):
        for pid in _read(f"/proc/self/task/{task}/children").split():
            command = _read(f"/proc/{pid}/cmdline").replace("\0", " ").strip() or "(ended, not waited for)"
            # multiprocessing keeps these two until the interpreter ends
            if "resource_tracker import main" not in command and "forkserver import main" not in command:
                found.add(f"{pid} {command}")
    return frozenset(found)


def _servers() -> frozenset[str]:
    return frozenset(filter(None, map(_listening_on, _names_in("/proc/self/fd"))))


def _listening_on(descriptor: str) -> str | None:
    try:
        found = socket.socket(fileno=int(descriptor))
    except OSError:  # no socket, or closed in the meantime
        return None
    try:
        return str(found.getsockname()) if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) else None
    finally:
        found.detach()  # it is the test's, not ours to close


def _names_in(folder: str) -> list[str]:
    return [path.name for path in Path(folder).iterdir()] if sys.platform == "linux" else []


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:  # gone in the meantime
        return ""


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread, a child process or a listening socket behind."""
    before = running_now()
    yield
    deadline = time.monotonic() + GRACE
    while (left := running_now().without(before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    if left:
        pytest.fail(f"left behind: {left}")


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own key and back ends out of the tests."""
    for name in os.environ:
        if name.upper().startswith(("MONITORED_OPENAI_", "OPENAI_", "AZURE_OPENAI_", "OTEL_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as the exporter does."""
    return "asyncio"


def pytest_report_header() -> str:
    packages = ("openai", "httpx", "pydantic", "pydantic-settings", "genai-prices", "cramjam", "prometheus-client")
    return "with " + ", ".join(f"{name} {version(name)}" for name in packages)
