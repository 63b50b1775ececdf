"""Files of other programs: no command and no setting changes, moves or removes one."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from monitored_openai import MonitoringSettings, SettingsError, _logging
from monitored_openai._cli.main import main
from monitored_openai._exporter.spool.directory import SpoolDirectory
from monitored_openai._files import private
from monitored_openai._local import history
from monitored_openai._local.history import History
from tests.support.local_page import CALL, open_page
from tests.support.spools import entry, left_behind, read_all, spool

pytestmark = [pytest.mark.once, pytest.mark.skipif(os.name != "posix", reason="links, modes and FIFOs of POSIX")]

Make = Callable[[Path], None]
OTHER_USER = 65534


def database(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as one:
        one.executescript(script)


def own(path: Path) -> None:
    History(path, say=print).close()


def with_script(script: str) -> Make:
    """A history of ours to which another program has done this."""

    def make(path: Path) -> None:
        own(path)
        database(path, script)

    return make


def foreign_database(path: Path) -> None:
    database(path, "CREATE TABLE call (who TEXT); INSERT INTO call VALUES ('a friend');")


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def link_to(make: Make) -> Make:
    def link(path: Path) -> None:
        make(path.with_name("target"))
        path.symlink_to(path.with_name("target"))

    return link


def link_to_directory(path: Path) -> None:
    link_to(Path.mkdir)(path)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def hard_link(path: Path) -> None:
    own(path.with_name("target"))
    path.hardlink_to(path.with_name("target"))


def text(path: Path) -> None:
    path.write_text("dear diary\n" * 100)


def magic_alone(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def beside(suffix: str, make: Make, *, alone: bool = False) -> Make:
    """A history of ours, or none, with a foreign file where SQLite would put its own."""

    def both(path: Path) -> None:
        if not alone:
            own(path)
        make(path.with_name(f"{path.name}{suffix}"))

    return both


def of_another_user(path: Path) -> None:
    own(path)
    if os.geteuid():
        pytest.skip("only root can give a file away")
    os.chown(path, OTHER_USER, OTHER_USER)


def mode(bits: int) -> Make:
    def make(path: Path) -> None:
        own(path)
        path.chmod(bits)

    return make


def in_a_folder_of_all(path: Path) -> None:
    own(path)
    path.parent.chmod(0o777)


FILES: dict[str, tuple[Make, str]] = {
    "a text": (text, "is not a database"),
    "an empty file": (Path.touch, "is empty"),
    "SQLite's magic alone": (magic_alone, "is not a database"),
    "a foreign database": (foreign_database, "a database of another program"),
    "a foreign database of our tables' names": (
        lambda path: database(
            path, "".join(f"CREATE TABLE {n} (a);" for n in ("series", "dimension", "point", "call"))
        ),
        "a database of another program",
    ),
    "our schema under another application id": (with_script("PRAGMA application_id = 7"), "of another program"),
    "our application id without our schema": (
        lambda path: database(path, f"PRAGMA application_id = {history._APPLICATION_ID}; CREATE TABLE a (b);"),
        "not ours",
    ),
    "a trigger": (
        with_script("CREATE TRIGGER t AFTER INSERT ON call BEGIN DELETE FROM call; END"),
        "tables, triggers or views that are not ours",
    ),
    "a view": (with_script("CREATE VIEW v AS SELECT 1"), "tables, triggers or views that are not ours"),
    "a newer version": (with_script("PRAGMA user_version = 99"), "a newer version: 99"),
    "a directory": (Path.mkdir, "is not a regular file"),
    "a link to a history": (link_to(own), "is a symbolic link"),
    "a link to a foreign file": (link_to(text), "is a symbolic link"),
    "a link to a foreign database": (link_to(foreign_database), "is a symbolic link"),
    "a link to nothing": (link_to_nothing, "is a symbolic link"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "is a symbolic link"),
    "a hard link": (hard_link, "second name"),
    "a FIFO": (fifo, "is not a regular file"),
    "a file of another user": (of_another_user, "belongs to another user"),
    "a file that others may write": (mode(0o666), "can be written by other users"),
    "a folder where others may swap it": (in_a_folder_of_all, "where other users can replace it; chmod go-w"),
    "a text as its log": (beside("-wal", text), "a -wal file beside it that is not SQLite's"),
    "a link as its log": (beside("-wal", link_to(text)), "a -wal file beside it that is a symbolic link"),
    "a text as its shared memory": (beside("-shm", text), "a -shm file beside it that is not SQLite's"),
    "a text as its journal": (beside("-journal", text), "a -journal file beside it that is not SQLite's"),
    "a log without its database": (beside("-wal", text, alone=True), "history.sqlite3-wal exists already"),
}


def contents(folder: Path) -> dict[str, object]:
    """Name, kind, mode, identity, time and content of everything in it."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
        found[str(path)] = (status.st_mode, status.st_uid, status.st_ino, status.st_mtime_ns, content)
    return found


@pytest.fixture
def taken_port() -> Iterator[str]:
    """A port that cannot be listened on, so that a command that accepts the file ends too."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield str(taken.getsockname()[1])


@pytest.mark.parametrize("name", FILES)
def test_a_history_that_is_not_ours_is_refused_and_stays_as_it_is(
    name: str, tmp_path: Path, taken_port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, reason = FILES[name]
    path = tmp_path / "folder" / "history.sqlite3"
    path.parent.mkdir()
    make(path)
    before = contents(tmp_path)

    code = main(["local", "--port", taken_port, "--history", str(path)])

    told = capsys.readouterr()
    assert (code, told.out, contents(tmp_path)) == (2, "", before)
    assert told.err.startswith(f"monitored-openai local: the history cannot be kept in {path}: ")
    assert reason in told.err
    assert told.err.endswith("; name another file with --history\n")
    assert told.err.count("\n") == 1


def test_a_device_is_refused_as_a_history(taken_port: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("/dev/null").stat()

    assert main(["local", "--port", taken_port, "--history", "/dev/null"]) == 2

    assert "is not a regular file" in capsys.readouterr().err
    assert Path("/dev/null").stat().st_mode == before.st_mode


def test_a_line_about_a_file_of_an_odd_name_is_one_line(
    tmp_path: Path, taken_port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two\nlines\x1b[31m"
    text(path)

    assert main(["local", "--port", taken_port, "--history", str(path)]) == 2

    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.rstrip("\n").isprintable()


def test_a_history_of_an_earlier_version_is_known_by_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    for page in open_page(path):
        page.log(CALL)
    database(path, "PRAGMA application_id = 0")

    for page in open_page(path):
        assert len(page.calls()) == 1
        assert page.said == []

    with closing(sqlite3.connect(path)) as one:
        assert one.execute("PRAGMA application_id").fetchone() == (history._APPLICATION_ID,)


def test_a_history_that_a_killed_process_left_is_used_with_its_log(tmp_path: Path) -> None:
    path, copy = tmp_path / "history.sqlite3", tmp_path / "copy.sqlite3"
    for page in open_page(path):
        page.log(CALL)
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")

    for page in open_page(copy):
        assert len(page.calls()) == 1


@pytest.mark.parametrize("umask", [0, 0o777])
def test_a_history_and_its_folders_are_the_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "a" / "b" / "history.sqlite3"
    before = os.umask(umask)
    try:
        own(path)
    finally:
        os.umask(before)

    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)} == {0o700}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_history_that_others_could_read_is_hidden_from_them(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    own(path)
    path.chmod(0o644)

    for page in open_page(path):
        page.log(CALL)
        assert {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()} == {0o600}


def test_a_foreign_file_in_the_place_of_a_damaged_history_is_not_moved(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    for page in open_page(path):
        page.log(*({**CALL, "id": f"c{number}"} for number in range(500)))
        kept = page.server._history
        kept._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xee" * (path.stat().st_size - 4096))
        kept._reader.execute("PRAGMA shrink_memory")
        assert page.get("/api/calls").status_code == 503
        path.rename(tmp_path / "elsewhere.sqlite3")
        text(path)
        before = path.read_bytes()

        assert page.log(CALL).status_code == 503

        assert path.read_bytes() == before
        assert list(tmp_path.glob("*damaged*")) == []


# Folders above the history and the spool


def folder(mode: int, *, uid: int = 0, gid: int = 0) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.mkdir()
        os.chown(path, uid, gid)
        path.chmod(mode)
        return path

    return make


def _below(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    def below(path: Path) -> Path:
        (make(path) / "inner").mkdir()
        return path / "inner"

    return below


def _linked(*, uid: int) -> Callable[[Path], Path]:
    def linked(path: Path) -> Path:
        (path.parent / "real").mkdir()
        path.symlink_to("real")
        os.lchown(path, uid, uid)
        return path

    return linked


def _looping(path: Path) -> Path:
    path.symlink_to(path.name)
    return path


FOLDERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a home": (folder(0o755), ""),
    "a private folder": (folder(0o700), ""),
    "a folder with the sticky bit": (folder(0o1777), ""),
    "a folder of the owner's private group": (folder(0o2775), ""),
    "a folder behind a link of ours": (_linked(uid=0), ""),
    "a folder of a foreign group": (folder(0o775, gid=OTHER_USER), "where other users can replace it; chmod go-w"),
    "a folder of everybody": (folder(0o777), "where other users can replace it; chmod go-w"),
    "a folder of another user": (folder(0o755, uid=OTHER_USER), "which belongs to another user"),
    "a folder in one of everybody": (_below(folder(0o777)), "where other users can replace it; chmod go-w"),
    "a folder in one of another user": (_below(folder(0o700, uid=OTHER_USER)), "which belongs to another user"),
    "a folder behind a link of another user": (_linked(uid=OTHER_USER), "which belongs to another user"),
    "a link to itself": (_looping, "behind too many symbolic links"),
}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_another_user_can_replace_is_refused(name: str, tmp_path: Path) -> None:
    make, reason = FOLDERS[name]
    place = make(tmp_path / "folder")
    before = contents(tmp_path)
    actions: list[Callable[[], Any]] = [
        lambda: own(place / "new" / "history.sqlite3"),
        lambda: SpoolDirectory(place / "spool", "d").sizes(None),
    ]
    if not reason:
        for action in actions:
            action()
        return
    for action in actions:
        with pytest.raises(private.NotOurs, match=re.escape(reason)) as refused:
            action()
        assert str(tmp_path) in str(refused.value)
    assert contents(tmp_path) == before


def test_a_volume_of_a_container_is_accepted_whatever_its_mode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == volume)  # only a privileged process can mount
    if os.geteuid():
        pytest.skip("only root makes folders of root")

    own(volume / "history.sqlite3")


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may become another user")
def test_the_folders_of_root_are_accepted_in_a_sandbox_that_shows_nobody_as_their_owner() -> None:
    script = """if True:
        import importlib.util, sys
        from pathlib import Path
        spec = importlib.util.spec_from_loader("private", loader=None)
        private = importlib.util.module_from_spec(spec)
        exec(sys.stdin.read(), private.__dict__)
        assert Path("/").stat().st_uid == 65534, "no sandbox"
        private.check_folders(Path("/usr/lib"))
        print("accepted")
    """
    become = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups", "unshare", "--user", "--map-user=1234"]
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    if (
        python is None
        or subprocess.run([*become, python, "-c", ""], check=False, capture_output=True, timeout=60).returncode
    ):
        pytest.skip("no user namespaces, or no Python for other users")
    text = Path(private.__file__).read_text()

    ended = subprocess.run(
        [*become, python, "-c", script], check=False, input=text, capture_output=True, text=True, timeout=60, cwd="/"
    )

    assert (ended.stdout, ended.stderr) == ("accepted\n", "")


# The spool, a directory that foreign files may share


def _left_behind(directory: Path, number: int = 1) -> Path:
    return left_behind(directory, [entry(number)])


def _ours_with(script: str, *, is_marked: bool = True) -> Callable[[Path], Path]:
    """A file that a dead process left behind and to which another program has done this."""

    def make(directory: Path) -> Path:
        path = _left_behind(directory)
        database(path, script)
        if not is_marked:
            path.with_suffix(".lock").write_bytes(b"")
        return path

    return make


def _replaced_by(make: Make, *, lock: bytes | None = None) -> Callable[[Path], Path]:
    """A foreign file under a name of ours, with a lock of an earlier version or what is given."""

    def replace(directory: Path) -> Path:
        path = _left_behind(directory)
        path.unlink()
        make(path)
        if lock is not None:
            path.with_suffix(".lock").write_bytes(lock)
        return path

    return replace


def _without_lock(directory: Path) -> Path:
    path = _left_behind(directory)
    path.with_suffix(".lock").unlink()
    return path


def _named(name: str, make: Make) -> Callable[[Path], Path]:
    def named(directory: Path) -> Path:
        make(directory / name)
        return directory / name

    return named


SPOOLED: dict[str, Callable[[Path], Path]] = {
    "a text": _named("notes.db", text),
    "a foreign database": _named("d-notes.db", foreign_database),
    "a damaged file of another program": _named("notes.corrupt", text),
    "a damaged file of another program, numbered": _named("notes.1.corrupt", text),
    "a directory": _named(f"d-{'0' * 32}.db", Path.mkdir),
    "a foreign database under a name of ours": _replaced_by(foreign_database),
    "a foreign database under a name of ours, beside an old lock": _replaced_by(foreign_database, lock=b""),
    "a text under a name of ours, beside an old lock": _replaced_by(text, lock=b""),
    "a link to a foreign file": _replaced_by(link_to(text)),
    "a link to a foreign database": _replaced_by(link_to(foreign_database)),
    "a FIFO": _replaced_by(fifo),
    "a trigger": _ours_with("CREATE TRIGGER t AFTER DELETE ON entry BEGIN DELETE FROM state; END"),
    "a foreign table": _ours_with("CREATE TABLE a (b)"),
    "another application": _ours_with("PRAGMA application_id = 7"),
    "a newer version": _ours_with("PRAGMA user_version = 99"),
    "an old file with a foreign table": _ours_with("PRAGMA application_id = 0; CREATE TABLE a (b)", is_marked=False),
    "no lock": _without_lock,
}


@pytest.mark.parametrize("name", SPOOLED)
def test_a_file_in_the_spool_s_directory_that_is_not_ours_stays_as_it_is(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_logging, "_said", {})
    directory = tmp_path / "spool"
    directory.mkdir(mode=0o700)
    SPOOLED[name](directory)
    before = contents(directory)
    good = left_behind(directory, [entry(2)])

    one = spool(directory)
    assert one.write([entry(3)])
    adopted, expired = one.adopt()
    assert ([file.path for file in adopted], expired) == ([good], 0)
    one.purge()

    assert contents(directory) == before
    has_name_of_ours = any(re.search(r"[0-9a-f]{32}\.db", str(path)) for path in before)
    assert ("was left as it is: it " in caplog.text) == has_name_of_ours


def test_a_file_of_the_spool_that_others_could_read_is_hidden_from_them(tmp_path: Path) -> None:
    path = _left_behind(tmp_path / "spool")
    path.chmod(0o644)
    one = spool(tmp_path / "spool")
    (file,), _ = one.adopt()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(read_all(one)) == 1
    assert file.path == path
    one.purge()


def test_a_damaged_file_of_the_spool_is_known_by_its_lock_and_set_aside(tmp_path: Path) -> None:
    path = _left_behind(tmp_path / "spool")
    path.write_bytes(b"\0" * 4096)

    assert spool(tmp_path / "spool").adopt() == ([], 0)

    (aside,) = (tmp_path / "spool").iterdir()
    assert aside.suffix == ".corrupt"
    assert aside.read_bytes() == b"\0" * 4096


@pytest.mark.parametrize("is_checkpointed", [True, False])
def test_a_file_of_the_spool_of_an_earlier_version_is_delivered(tmp_path: Path, is_checkpointed: bool) -> None:
    directory = tmp_path / "spool"
    new = _left_behind(directory)
    old = directory / f"d-{'5' * 32}.db"
    with (
        closing(sqlite3.connect(new)) as source,
        closing(sqlite3.connect(tmp_path / "old", isolation_level=None)) as to,
    ):
        to.execute("PRAGMA auto_vacuum = INCREMENTAL")
        to.execute("PRAGMA journal_mode = WAL")
        for (sql,) in source.execute("SELECT sql FROM sqlite_master").fetchall():
            to.execute(sql)
        to.execute("PRAGMA user_version = 1")
        for table in ("entry", "state"):
            for row in source.execute(f"SELECT * FROM {table}").fetchall():  # noqa: S608 - of this test
                to.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608 - as above
        if is_checkpointed:
            to.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for suffix in ("", "-wal"):
            shutil.copy(f"{tmp_path / 'old'}{suffix}", f"{old}{suffix}")
            Path(f"{old}{suffix}").chmod(0o600)
    new.unlink()
    new.with_suffix(".lock").rename(old.with_suffix(".lock"))
    old.with_suffix(".lock").write_bytes(b"")

    one = spool(directory)
    assert len(one.adopt()[0]) == 1
    assert len(read_all(one)) == 1
    one.used_up()
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("umask", [0, 0o777])
def test_the_folders_above_a_spool_are_the_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        one = spool(tmp_path / "a" / "b" / "spool")
        assert one.write([entry(1)])
    finally:
        os.umask(before)

    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()} == {0o600}
    one.purge()


@pytest.mark.parametrize("make", [text, foreign_database, link_to(text), link_to_directory, fifo])
def test_a_spool_directory_that_is_none_is_refused_and_stays_as_it_is(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "spool")
    before = contents(tmp_path)

    assert "spool_dir: is a symbolic link or not a directory" in _settings_with(spool_dir=tmp_path / "spool")
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system calls it
        SpoolDirectory(tmp_path / "spool", "d").create({})

    assert contents(tmp_path) == before


# Certificates, which are only read

NO_CERTIFICATE = {"verify": "is not a PEM file of CA certificates", "client_cert": "must name a certificate"}


def _settings_with(**values: Any) -> str:
    """The text of the refusal, or an empty one."""
    try:
        MonitoringSettings(logs_url="https://loki.example.com", **values)
    except SettingsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("field", ["verify", "client_cert"])
@pytest.mark.parametrize("make", [text, foreign_database, Path.touch, link_to(text)])
def test_a_file_that_is_no_certificate_is_refused_and_stays_as_it_is(field: str, make: Make, tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    make(path)
    before = contents(tmp_path)

    assert f"{field}: {NO_CERTIFICATE[field]}" in _settings_with(**{field: str(path)})

    assert contents(tmp_path) == before


@pytest.mark.parametrize("field", ["verify", "client_cert"])
def test_a_fifo_in_the_place_of_a_certificate_is_refused_and_nothing_waits_for_it(field: str, tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    os.mkfifo(path)
    refusals: list[str] = []
    thread = threading.Thread(target=lambda: refusals.append(_settings_with(**{field: str(path)})), daemon=True)
    thread.start()
    thread.join(20)
    waits = thread.is_alive()
    deadline = time.monotonic() + 20
    while thread.is_alive() and time.monotonic() < deadline:  # let a thread that waits go
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        thread.join(0.1)

    assert not waits
    assert f"{field}: {NO_CERTIFICATE[field]}" in refusals[0]
