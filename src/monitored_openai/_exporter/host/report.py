"""Describes which process pushes the totals of this host, for the command `doctor`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from monitored_openai._exporter.host.directory import HostDirectory, destination
from monitored_openai._exporter.host.file import HostFile, State
from monitored_openai._exporter.host.lock_holder import Locked

if TYPE_CHECKING:
    from monitored_openai._settings.model import MonitoringSettings

_LATE_SECONDS = 120.0
"""A process that holds the lock for longer is probably stopped; the longest interval between pushes is 60 s."""


class PushReport(NamedTuple):
    """The description, and how to fix the problem; no advice if all is well."""

    says: str
    advice: str = ""


def report(settings: MonitoringSettings) -> PushReport:
    """Look at the directory and at the totals of the settings' destination; change nothing in the file.

    Raises:
        OSError: the directory or the file cannot be used.
        sqlite3.Error: the file cannot be read.
    """
    directory = HostDirectory(Path(settings.host_dir or ""), destination(settings))
    directory.prepare()
    if (turn := directory.take_turn()) is not None:
        turn.release()
    holder = directory.holder() if turn is None else None
    if holder is not None and time.monotonic() - holder.since > _LATE_SECONDS:
        seconds = time.monotonic() - holder.since
        return PushReport(
            f"process {holder.pid} holds the lock for the push of this host's totals, and took it {seconds:.0f} s ago",
            "continue or end that process; the next process then pushes everything",
        )
    if not directory.database.exists():
        return PushReport("no process of this host has common totals for these settings yet")
    try:
        with HostFile(directory.database).transaction() as file:
            return _described(file.state())
    except Locked as locked:
        by = "another process" if locked.holder is None else str(locked.holder)
        return PushReport(f"this host's totals are locked by {by}", "continue or end that process if it is stopped")


def _described(state: State) -> PushReport:
    if state.pushed_ns is None:
        return PushReport("the processes of this host have common totals, and have not pushed them yet")
    age = time.time() - state.pushed_ns / 1e9
    processes = "1 process" if state.processes == 1 else f"{state.processes} processes"
    says = (
        f"process {state.pusher} pushed last, for {processes} of this host; the last accepted push was {age:.0f} s ago"
    )
    return PushReport(says)
