"""Writes the values of this process to the host's file, usually every second, so that any process can push them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from monitored_openai._exporter.delivery.metrics_pusher import MAX_AHEAD_MS
from monitored_openai._exporter.host.directory import HostDirectory, PushTurn, boot_id, destination
from monitored_openai._exporter.host.file import KIND, HostFile, HostTransaction, State
from monitored_openai._exporter.spool.directory import is_damage, what_failed
from monitored_openai._exporter.spool.snapshots import SECONDS_BETWEEN_SNAPSHOTS
from monitored_openai._files.databases import Found, Unreadable
from monitored_openai._files.private import NotOurs
from monitored_openai._logging import warn_sparsely
from monitored_openai._metrics.metric_set import METRICS
from monitored_openai._stats import HostStats

if TYPE_CHECKING:
    from monitored_openai._exporter.ledger import DeliveryLedger
    from monitored_openai._exporter.metrics_state import MetricsState
    from monitored_openai._metrics.series import Labels, Sample
    from monitored_openai._settings.model import MonitoringSettings

_MAX_SHARE = 0.05
"""Largest share of the exporter's time for snapshots, which take long with many series."""
_PAUSE_SECONDS = 10.0
"""Seconds without use of the disk after it has failed."""
_WAIT_SECONDS, _LOOK_SECONDS = 2.0, 0.01
"""Longest wait at start for another process that creates the file."""

_Values = dict[tuple[str, "Labels"], float]

_COUNTED = {name: metric.series_names[-1] for metric in METRICS.values() for name in metric.series_names}
"""Maps each series name to the series of the same metric that exists once for each label set: `..._count`, not buckets."""


class HostTotals:
    """Writes the counters and gauges of this process into the host's file.

    After another process has added the values of this one to the totals, or retired them with their epoch, this process
    writes only the growth since then.
    """

    def __init__(
        self, directory: HostDirectory, metrics: MetricsState, ledger: DeliveryLedger, *, max_label_sets: int
    ) -> None:
        """Open the file, or create it.

        Raises:
            OSError: the directory or the file cannot be used, or belongs to another program or user.
            sqlite3.Error: the disk fails.
        """
        self.directory = directory
        self.boot = boot_id()
        self.turn: PushTurn | None = None
        """The lock for a push, while this process holds it."""
        self._metrics = metrics
        self._ledger = ledger
        self._max_label_sets = max_label_sets
        directory.prepare()
        self.file = self._open()
        self._process, self._alive = directory.new_process()
        directory.remove_left_behind()
        self._epoch = ""
        self._ids: dict[tuple[str, Labels], int] = {}
        self._label_sets: dict[str, set[Labels]] = {}
        self._folded: set[tuple[str, Labels]] = set()
        self._written: _Values = {}
        self._gauges: list[Sample] = []
        self.last_write = 0
        """The number of the last write of this process."""
        self._noted: tuple[int, _Values] = (0, {})
        """The last write that a push contained, and its values."""
        self._accepted: _Values = {}
        """The values that the back end has accepted."""
        self._earlier: _Values = {}
        """The values that the file no longer attributes to this process."""
        self._keep_at = self._not_before = 0.0
        self.is_kept = False
        """True if the last write succeeded, and the disk has not failed since."""

    async def run(self) -> None:
        """Write the values about once a second forever, and less often while a write takes long or the disk fails."""
        while True:
            self.keep()
            await asyncio.sleep(SECONDS_BETWEEN_SNAPSHOTS)

    def keep(self, *, at_once: bool = False) -> bool:
        """Write the current values, at most once a second unless `at_once`; false if the disk does not accept them."""
        started = time.monotonic()
        if started < max(self._keep_at, self._not_before) and not at_once:
            return self.is_kept
        try:
            self._keep()
            self.is_kept = True
        except (sqlite3.Error, OSError) as error:
            self._ids, self._label_sets = {}, {}  # the rollback has removed the series that this write added
            self.fails(error)
        now = time.monotonic()
        self._keep_at = now + max(SECONDS_BETWEEN_SNAPSHOTS, (now - started) / _MAX_SHARE)
        return self.is_kept

    def _keep(self) -> None:
        if not self.file.is_in_place():
            self._reopen()
        folded_before = self._metrics.folded_by_host
        samples = self._metrics.push_samples()
        process, epoch = self._process, self._epoch
        current = {(sample.name, sample.labels): sample.value for sample in samples if sample.cumulative}
        gauges = [sample for sample in samples if not sample.cumulative]
        with self.file.transaction() as file:
            state = file.state()
            self._follow(file, state)
            if state.epoch != self._epoch:
                self._epoch, self._ids, self._label_sets, self._folded = state.epoch, {}, {}, set()
            counters: dict[int, float] = {}
            for key, value in current.items():
                number = self._ids.get(key)
                if number is None:
                    number = self._ids[key] = self._add_series(file, *key)
                since = max(0.0, value - self._earlier.get(key, 0.0))
                counters[number] = counters.get(number, 0.0) + since
            is_same = (process, epoch, current, gauges) == (self._process, self._epoch, self._written, self._gauges)
            written = self.last_write
            if not (is_same and written):
                written = file.write(self._process, os.getpid(), counters, gauges)
        self._written, self._gauges, self.last_write = current, gauges, written
        self._ledger.host = _stats(state, self._ledger.host)
        if self._metrics.folded_by_host != folded_before:
            self._keep()  # once more, because this write has changed the counter of folded label sets

    def _follow(self, file: HostTransaction, state: State) -> None:
        """Note which values of this process were pushed, or were added to the totals or retired by another process."""
        self.note_pushed(state)
        if self.last_write and not file.has(self._process):
            self._earlier = self._accepted = self._written
            self.directory.forget(self._alive)
            self._process, self._alive = self.directory.new_process()

    def note_pushed(self, state: State) -> None:
        """Note which values of this process were pushed and accepted, because they must not count again in a new file."""
        if not self.last_write:
            return
        if state.noted >= self.last_write:
            self._noted = (self.last_write, self._written)
        if state.accepted >= self._noted[0]:
            self._accepted = self._noted[1]

    def is_accepted(self) -> bool:
        """True if the back end has the last written values."""
        return self.state().accepted >= self.last_write

    def state(self) -> State:
        """Return the state of the file.

        Raises:
            sqlite3.Error: the disk fails, or the file is damaged.
            OSError: another file has replaced this one.
        """
        with self.file.transaction() as file:
            state = file.state()
        self.note_pushed(state)
        self._ledger.host = _stats(state, self._ledger.host)
        return state

    def folded(self, labels: Labels) -> Labels:
        """Return the labels with `other` in place of the unbounded values."""
        return self._metrics.folded(labels)

    def _add_series(self, file: HostTransaction, name: str, labels: Labels) -> int:
        """Return the id of a series. Beyond `max_label_sets` of all processes together, `other` replaces values."""
        if not self._has_room(file, name, labels):
            self._count_folded(name, labels)
            labels = self.folded(labels)
        number = file.find_series(name, labels)
        return file.add_series(name, labels) if number is None else number

    def _count_folded(self, name: str, labels: Labels) -> None:
        label_set = _label_set(name, labels)
        if label_set not in self._folded:
            self._folded.add(label_set)
            self._metrics.folded_by_host += 1

    def _has_room(self, file: HostTransaction, name: str, labels: Labels) -> bool:
        counted, label_set = _label_set(name, labels)
        known = self._label_sets.setdefault(counted, set())
        if label_set not in known:
            known |= file.label_sets(counted)
        if label_set not in known and len(known) >= self._max_label_sets:
            return False
        known.add(label_set)
        return True

    def fails(self, error: Exception) -> None:
        """Replace a damaged file. After other errors, stop using the disk for 10 s."""
        self.is_kept = False
        warn_sparsely("host", "the totals of this host cannot be written or pushed now: %s", what_failed(error))
        if not is_damage(error):
            self._not_before = time.monotonic() + _PAUSE_SECONDS
            return
        turn = self.turn or self.directory.take_turn()
        if turn is None:
            return
        try:
            if self.file.is_in_place():
                self.directory.set_aside(self.file.found)
        except OSError as failure:
            warn_sparsely("host aside", "the damaged totals of this host cannot be set aside: %s", what_failed(failure))
        finally:
            if turn is not self.turn:
                turn.release()

    def _reopen(self) -> None:
        """Open the file that has replaced the present one, and write only what no push has delivered."""
        self.directory.prepare()
        self.file = self._open()
        self._earlier, self._epoch = self._accepted, ""
        self._noted, self._written, self.last_write = (0, {}), {}, 0
        self.directory.forget(self._alive)
        self._process, self._alive = self.directory.new_process()

    def _open(self) -> HostFile:
        try:
            file = HostFile(self.directory.database)
        except (FileNotFoundError, Unreadable, sqlite3.DatabaseError):
            return self._create()
        if (turn := self.directory.take_turn()) is not None:
            try:
                with file.transaction() as transaction:
                    self._begin_epoch_if_due(transaction)
            finally:
                turn.release()
        return file

    def _begin_epoch_if_due(self, file: HostTransaction) -> None:
        """Begin an epoch after a reboot.

        If no process lives, also begin one if half of all label sets are in use, or if the clock was ahead at the last
        push: no push is earlier than the last one of its epoch.
        """
        state = file.state()
        is_ahead = state.last_ms - time.time_ns() // 1_000_000 > MAX_AHEAD_MS
        is_due = is_ahead or file.most_label_sets * 2 >= self._max_label_sets
        if state.boot != self.boot or (is_due and not any(map(self._is_alive, file.processes()))):
            file.begin_epoch(self.boot, forgets_time=is_ahead)

    def _is_alive(self, process: str) -> bool:
        lock = self.directory.lock_of_dead(process)
        if lock is not None:
            lock.release()
        return lock is None

    def _create(self) -> HostFile:
        path = self.directory.database
        until = time.monotonic() + _WAIT_SECONDS
        while (turn := self.turn or self.directory.take_turn()) is None:
            if time.monotonic() > until:
                raise OSError("another process holds the lock, and has not created the file")
            time.sleep(_LOOK_SECONDS)
        try:
            try:
                return HostFile(path)  # another process has created it meanwhile
            except FileNotFoundError:
                pass
            except (Unreadable, sqlite3.DatabaseError) as error:
                if not turn.is_marked or (isinstance(error, sqlite3.Error) and not is_damage(error)):
                    raise
                self.directory.set_aside(Found(path.lstat(), 0))
            self.directory.remove_side_files()
            KIND.create(path)
            file = HostFile(path)
            with file.transaction() as transaction:
                transaction.begin_epoch(self.boot)
            return file
        finally:
            if turn is not self.turn:
                turn.release()

    def close(self) -> None:
        """Release this process's lock, so that the next push of any process adds its last values to the totals."""
        self._alive.release()

    def forked(self) -> None:
        """Close the parent's lock files in a forked child; the parent keeps its locks."""
        self._alive.let_go()
        if self.turn is not None:
            self.turn.let_go()


def open_host(settings: MonitoringSettings, metrics: MetricsState, ledger: DeliveryLedger) -> HostTotals | None:
    """Return the totals of this host; `None`, with a warning and a count, if the directory cannot be used."""
    directory = HostDirectory(Path(settings.host_dir or ""), destination(settings))
    try:
        return HostTotals(directory, metrics, ledger, max_label_sets=settings.max_label_sets)
    except (OSError, NotOurs, sqlite3.Error) as error:
        reason = what_failed(error)
        warn_sparsely("host_dir", "host_dir cannot be used; this process pushes its own set of series: %s", reason)
        ledger.host = HostStats(fallbacks=1)
        return None


def _label_set(name: str, labels: Labels) -> tuple[str, Labels]:
    """Return the metric of a series and its labels without the bound of a bucket."""
    return _COUNTED.get(name, name), tuple(label for label in labels if label[0] != "le")


def _stats(state: State, before: HostStats | None) -> HostStats:
    return HostStats(
        epoch=state.epoch,
        pusher=state.pusher,
        processes=state.processes,
        last_push_ns=state.pushed_ns,
        stopped_pushers=before.stopped_pushers if before is not None else 0,
    )
