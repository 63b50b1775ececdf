"""Share the machine among pytest's workers: each shared fixture is built in one of them, and `alone` tests run alone.

One run with `-n auto` takes every test, so it has one closing line. A test marked `alone` waits until
the other workers have finished their tests and holds up their next ones until it has finished.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

MACHINE = Path(os.environ.get("TESTS_MACHINE") or __file__)
"""The workers lock this path and its folder: a run that is killed leaves no lock and no lock file behind.

A run that a test starts has a path of its own: it would wait for that test otherwise.
"""
ENTRANCE = MACHINE.parent
SLOW = ("tests/cli/", "tests/exporter/", "tests/integration/", "tests/local/")
"""Tests below these folders often start processes: the workers share each file of them, test by test."""
WORKLOAD = "done: Workload"
"""Shows that a file uses the fixture of the whole run."""
WIDE = "fixture(scope="
"""Shows that a file builds a fixture for several tests."""
_held: list[ExitStack] = []
"""Keeps the machine from one `alone` test of this worker to the next, which would else wait for itself."""


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Start three workers for two cores: about half of their time, the tests wait for timers and replies."""
    cores = yield
    return cores + cores // 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Distribute the tests by `Units`, whatever the option `--dist` says."""
    return Units(config, log)


class Units(LoadScopeScheduling):
    """Hands out one file, one test or all tests of the shared workload at a time, the largest number of tests first.

    The controller knows only the ids of the tests, so the text of a file shows which fixtures it uses. The groups of
    `--dist loadgroup` are no choice: with pytest 9.2, xdist 3.8 silently ignores them.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        text = text_of(self.config.rootpath / path)
        if WORKLOAD in text:
            return WORKLOAD
        is_spread = path.startswith(SLOW) and WIDE not in text
        return nodeid if is_spread else path


@cache
def text_of(path: Path) -> str:
    """Return the text of a test file, or nothing for what is none."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def is_alone(item: pytest.Item | None) -> bool:
    """Return whether the test needs the machine for itself."""
    return item is not None and item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Wait for a share of the machine, or for all of it, before the time limit of the test begins."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    if not is_alone(item):
        with machine(fcntl.LOCK_SH):
            return (yield)
    if not _held:
        _held.append(ExitStack())
        _held[0].enter_context(machine(fcntl.LOCK_EX))
    try:
        return (yield)
    finally:
        if not is_alone(nextitem):
            _held.pop().close()


@contextmanager
def machine(kind: int) -> Iterator[None]:
    """Hold the machine. Each worker waits at the entrance in turn, so that a steady load of others keeps none out."""
    with ExitStack() as holding:
        with locked(ENTRANCE, fcntl.LOCK_EX):
            holding.enter_context(locked(MACHINE, kind))
        yield


@contextmanager
def locked(path: Path, kind: int) -> Iterator[None]:
    """Hold a lock on a file or directory; the explicit release reaches copies that forked children have inherited."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
