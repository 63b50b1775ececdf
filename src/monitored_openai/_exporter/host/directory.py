"""The directory of the host's totals: the file of one destination, the lock for a push, and a lock for each process.

The spool may use the same directory. Neither touches the files of the other, because their names differ.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from monitored_openai._exporter.spool.directory import SpoolDirectory
from monitored_openai._exporter.spool.lock import Lock
from monitored_openai._files.databases import SUFFIXES, set_aside
from monitored_openai._files.private import check, make_directory
from monitored_openai._metrics.names import CALL_METRICS, OTEL_GENAI_METRICS

if TYPE_CHECKING:
    from monitored_openai._files.databases import Found
    from monitored_openai._settings.model import MonitoringSettings

_NETWORK_FILE_SYSTEMS = frozenset({
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "gfs2", "ocfs2", "ncpfs"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.cephfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.blobfuse"),
})  # fmt: skip
_LEFT_BEHIND_SECONDS = 3600.0
"""Age of a lock file that no process holds, after which another process removes it."""


class Holder(NamedTuple):
    """The process that holds the lock for a push."""

    pid: int
    since: float
    """Seconds of the system's monotonic clock, which all processes of a host share."""


class PushTurn:
    """The lock for a push, held until `release` or the end of the process."""

    def __init__(self, lock: Lock, note: Path) -> None:
        self._lock = lock
        self._note = note
        self.is_marked = lock.is_marked
        """True if this program certainly made the database, even if its content is damaged."""
        self._write(json.dumps({"pid": os.getpid(), "since": time.monotonic()}))

    def release(self) -> None:
        """Let another process push."""
        self._write("")
        self._lock.release()

    def let_go(self) -> None:
        """Close the parent's lock file in a forked child; the parent keeps the lock."""
        self._lock.let_go()

    def _write(self, text: str) -> None:
        with suppress(OSError):  # a full disk: others then do not know which process holds the lock
            descriptor = os.open(self._note, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(descriptor, os.pwrite(descriptor, text.encode(), 0))
            finally:
                os.close(descriptor)


class HostDirectory:
    """The files of one destination, as one process sees them."""

    def __init__(self, path: Path, destination: str) -> None:
        """Processes with the same `destination` share their series."""
        self._path = path
        self._prefix = f"host-{destination}"
        self.database = path / f"{self._prefix}.sqlite"
        self._push_lock = path / f"{self._prefix}.push"
        self._note = path / f"{self._prefix}.pusher"

    def prepare(self) -> None:
        """Create the directory.

        Raises:
            OSError: it cannot be created, is not private to this user, or is on a network file system, where locks and
                SQLite's shared memory do not work for several hosts.
        """
        make_directory(self._path)
        if (kind := file_system_of(_mounts(), self._path.stat().st_dev)) in _NETWORK_FILE_SYSTEMS:
            raise OSError(errno.ENOTSUP, f"it is on a network file system ({kind})")

    def take_turn(self) -> PushTurn | None:
        """Take the lock for a push; `None` if another process holds it.

        Raises:
            OSError: the directory cannot be used.
        """
        try:
            return PushTurn(self._lock(), self._note)
        except BlockingIOError:
            return None

    def _lock(self) -> Lock:
        try:
            return Lock(self._push_lock)
        except FileNotFoundError:
            try:
                return Lock.create(self._push_lock)
            except FileExistsError:  # another process has created it meanwhile
                return Lock(self._push_lock)

    def holder(self) -> Holder | None:
        """Return the process that holds the lock for a push, from its note; `None` without a note."""
        try:
            noted = json.loads(self._note.read_bytes())
            return Holder(int(noted["pid"]), float(noted["since"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def new_process(self) -> tuple[str, Lock]:
        """Return a new process id and its lock, which shows other processes that this one lives.

        Raises:
            OSError: the lock file cannot be created.
        """
        process = uuid.uuid4().hex
        return process, Lock.create(self._alive(process))

    def lock_of_dead(self, process: str) -> Lock | None:
        """Take the lock of a process that has ended; `None` if it lives."""
        path = self._alive(process)
        try:
            return Lock(path)
        except FileNotFoundError:
            try:
                return Lock.create(path)
            except OSError:
                return None
        except OSError:
            return None

    def forget(self, lock: Lock) -> None:
        """Remove the lock file of a process, and release it."""
        with suppress(OSError):
            lock.path.unlink()
        lock.release()

    def remove_left_behind(self) -> None:
        """Remove old lock files of ended processes: no push removes the file of a process that wrote no counters."""
        with suppress(OSError):
            for path in self._path.glob(f"{self._prefix}-*.alive"):
                if path.lstat().st_mtime < time.time() - _LEFT_BEHIND_SECONDS:
                    with suppress(OSError):
                        self.forget(Lock(path))

    def set_aside(self, found: Found) -> None:
        """Rename the damaged database for later inspection.

        Raises:
            OSError: it cannot be renamed, or is not the file that was found.
        """
        aside = self._path / f"{self._prefix}-{uuid.uuid4().hex}.{time.time_ns()}.corrupt"
        set_aside(self.database, found, aside)
        SpoolDirectory(self._path, self._prefix).keep_few_set_aside()

    def remove_side_files(self) -> None:
        """Remove the files that SQLite left beside a database that is gone."""
        for suffix in SUFFIXES[1:]:
            path = Path(f"{self.database}{suffix}")
            if os.path.lexists(path):
                check(path.lstat())
                path.unlink()

    def _alive(self, process: str) -> Path:
        return self._path / f"{self._prefix}-{process}.alive"


def destination(settings: MonitoringSettings) -> str:
    """Return a hash of the settings that must be equal for common series: back end, account, labels and metrics.

    The hash includes the headers, which may name a tenant. So may a token without a user name. With a user name, the
    hash leaves the token out, because the token may change.
    """
    headers = settings.request_headers("metrics")
    if settings.metrics_username is not None:
        headers.pop("Authorization", None)
    where = (settings.metrics_url, settings.metrics_username, settings.metrics_protocol, sorted(headers.items()))
    labels = (settings.job, sorted(settings.shared_labels.items()), settings.instance, settings.label_names)
    defined = (*CALL_METRICS, *(OTEL_GENAI_METRICS if "otel_genai" in settings.metric_names else ()))
    metrics = [(metric.name, metric.labels, metric.bounds) for metric in defined]  # versions may differ in them
    shown = (sorted(settings.metric_names), settings.histograms, sorted(settings.metrics_left_out))
    series = (*shown, settings.max_label_sets, metrics)
    return hashlib.sha256(repr((*where, *labels, *series)).encode()).hexdigest()[:12]


def boot_id() -> str:
    """Return the id of this start of the system; empty if the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def file_system_of(mounts: str, device: int) -> str:
    """Return the type of a device's file system from the text of `/proc/self/mountinfo`; empty if it is not there."""
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = [line.partition(" - ")[2].split(" ", 1)[0] for line in mounts.splitlines() if line.split(" ")[2] == number]
    return kinds[-1] if kinds else ""


def _mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text()
    except OSError:  # not Linux
        return ""
