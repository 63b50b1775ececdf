"""No data is lost in event loops, workers and servers, in each way that they fork and end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.handles import call, handle
from tests.support.programs import Program, run, running, settings
from tests.support.servers._http import wait_until
from tests.support.servers.loki import FakeLoki
from tests.support.servers.remote_write import RemoteWriteProxy

pytestmark = pytest.mark.skipif("RUNTIMES" not in os.environ, reason="these have a session of their own in noxfile.py")

COUNT = "gen_ai_client_operation_duration_seconds_count"
REQUESTS = 12
CALLS = 5
"""Of each request or task."""


def env(loki: FakeLoki, proxy: RemoteWriteProxy | None = None, **more: object) -> dict[str, str]:
    urls = {"logs_url": by_name(loki.push_url)} | ({"metrics_url": by_name(proxy.write_url)} if proxy else {})
    quick: dict[str, object] = {"push_interval": 1, "log_linger": 0.2, "exit_timeout": 30}
    return settings(**quick | urls | more) | {"OPENAI_BASE_URL": "http://api.test/v1"}


def by_name(url: str) -> str:
    """Looking up a name takes other ways than an address does."""
    return url.replace("127.0.0.1", "localhost")


@contextmanager
def serving(server: str, *arguments: object, env: dict[str, str]) -> Iterator[tuple[Program, str]]:
    """A server that has answered once, which counts as a request."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    where = {"gunicorn": ("--bind", address), "uwsgi": ("--http-socket", address)}
    listens = where.get(server, ("--port", address.rpartition(":")[2]))
    how = "installed" if server == "uwsgi" else "module"  # which is no module
    with running(how, server, *arguments, *listens, env=env) as program:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not is_answering(f"http://{address}"):
            time.sleep(0.05)
        yield program, f"http://{address}"


def is_answering(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own, on loopback
            return bool(answer.status == 200)
    except OSError:
        return False


def ask_all(url: str) -> None:
    """The requests that are left, a few at a time."""
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(is_answering, [url] * (REQUESTS - 1)))


def terminate(program: Program) -> None:
    os.kill(program.pid, signal.SIGTERM)
    program.wait(60)


def spooled(directory: Path) -> int:
    """Entries that whoever looks into the directory finds on disk."""
    found = 0
    for path in directory.glob("*.db"):
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path)) as file:  # it is just being made
            found += file.execute("SELECT count(*) FROM entry").fetchone()[0]
    return found


@pytest.mark.parametrize("when", ["early", "late"])
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_greenlets_lose_nothing_and_the_programs_own_loop_works(
    library: str, when: str, proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    ended = run("greenlets", library, when, env=env(loki, proxy))

    assert ended.code == 0, ended.err
    assert ended.said["complete"]
    assert len(loki.entries) == proxy.total(COUNT) == ended.said["calls"]
    assert (loki.duplicates, loki.rejected, proxy.violations) == (0, [], [])


def test_a_program_with_uvloop_loses_nothing(proxy: RemoteWriteProxy, loki: FakeLoki) -> None:
    ended = run("own_loop", env=env(loki, proxy))

    assert (ended.code, ended.err) == (0, "")
    assert ended.said["complete"]
    assert len(loki.entries) == proxy.total(COUNT) == ended.said["calls"]


@pytest.mark.parametrize("workers", [1, 2])
def test_uvicorn_ended_by_sigterm_delivers_in_its_lifespan(
    workers: int, proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    application = ("uvicorn", "tests.support.programs.serving:asgi", "--workers", workers)
    with serving(*application, env={**env(loki, proxy, log_linger=30), "HOOKED": "1"}) as (program, url):
        ask_all(url)
        terminate(program)

    assert len(loki.entries) == proxy.total(COUNT) == REQUESTS * CALLS


@pytest.mark.parametrize("workers", [1, 2])
def test_uvicorn_ended_by_sigterm_leaves_the_rest_in_the_spool(workers: int, loki: FakeLoki, tmp_path: Path) -> None:
    own = env(loki, spool_dir=tmp_path / "spool")
    loki.refuse()
    with serving("uvicorn", "tests.support.programs.serving:asgi", "--workers", workers, env=own) as (program, url):
        ask_all(url)
        wait_until(lambda: spooled(tmp_path / "spool") == REQUESTS * CALLS, 20)
        terminate(program)
    loki.listen()
    with handle(logs_url=by_name(loki.push_url), spool_dir=str(tmp_path / "spool")) as monitoring:
        call(monitoring)
        loki.wait_until(lambda: len(loki.entries) == REQUESTS * CALLS + 1)

    assert loki.duplicates == 0


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_gunicorn_with_an_application_loaded_beforehand_loses_nothing(
    kind: str, proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    arguments = (
        "tests.support.programs.serving:wsgi",
        "--preload",
        "--workers",
        3,
        "--worker-class",
        kind,
        "--threads",
        2,
    )
    with serving("gunicorn", *arguments, env={**env(loki, proxy), "CALLED_BEFOREHAND": "1"}) as (program, url):
        ask_all(url)
        terminate(program)

    assert len(loki.entries) == proxy.total(COUNT) == REQUESTS * CALLS + 1
    assert (loki.duplicates, proxy.violations) == (0, [])


def test_gunicorn_with_uvicorns_workers_delivers_in_their_lifespan(proxy: RemoteWriteProxy, loki: FakeLoki) -> None:
    kind = "uvicorn_worker.UvicornWorker"
    arguments = ("tests.support.programs.serving:asgi", "--preload", "--workers", 2, "--worker-class", kind)
    own = {**env(loki, proxy, log_linger=30), "HOOKED": "1", "CALLED_BEFOREHAND": "1"}
    with serving("gunicorn", *arguments, env=own) as (program, url):
        ask_all(url)
        terminate(program)

    assert len(loki.entries) == proxy.total(COUNT) == REQUESTS * CALLS + 1
    assert (loki.duplicates, proxy.violations) == (0, [])


@pytest.mark.parametrize(
    "server",
    [
        ("gunicorn", "tests.support.programs.serving:wsgi", "--workers", 3),
        ("gunicorn", "tests.support.programs.serving:wsgi", "--workers", 3, "--preload"),
        ("uvicorn", "tests.support.programs.serving:asgi", "--workers", 3),
    ],
    ids=["gunicorn", "gunicorn loads the application beforehand", "uvicorn"],
)
def test_workers_of_a_server_push_one_set_of_series(
    server: tuple[object, ...], proxy: RemoteWriteProxy, loki: FakeLoki, tmp_path: Path
) -> None:
    beforehand = int("--preload" in server)
    own = env(loki, proxy, host_dir=tmp_path / "host") | ({"CALLED_BEFOREHAND": "1"} if beforehand else {})
    with serving(*map(str, server[:1]), *server[1:], env=own | {"HOOKED": "1"}) as (program, url):
        ask_all(url)
        terminate(program)

    assert proxy.total(COUNT) == REQUESTS * CALLS + beforehand
    assert (len(instances(proxy)), proxy.violations) == (1, [])


def instances(proxy: RemoteWriteProxy) -> set[str]:
    return {dict(labels)["instance"] for labels in proxy.latest(COUNT)}


@pytest.mark.skipif(shutil.which("uwsgi", path=Path(sys.executable).parent) is None, reason="uWSGI could not be built")
@pytest.mark.parametrize("options", [(), ("--lazy-apps",)], ids=["loaded beforehand", "loaded in each worker"])
def test_uwsgis_workers_of_whose_forks_python_does_not_hear_deliver_their_own_calls_and_leave_the_rest_in_the_spool(
    options: tuple[str, ...], proxy: RemoteWriteProxy, loki: FakeLoki, tmp_path: Path
) -> None:
    arguments = (
        "--module",
        "tests.support.programs.serving:wsgi",
        "--master",
        "--processes",
        3,
        "--enable-threads",
        *options,
    )
    with serving("uwsgi", *arguments, env=env(loki, proxy, spool_dir=tmp_path / "spool")) as (_, url):
        ask_all(url)
        wait_until(lambda: len(loki.entries) == proxy.total(COUNT) == REQUESTS * CALLS, 30)
        loki.refuse()
        assert is_answering(url)
        wait_until(lambda: spooled(tmp_path / "spool") == CALLS, 20)
    loki.listen()
    own = {"logs_url": by_name(loki.push_url), "metrics_url": by_name(proxy.write_url)}
    with handle(**own, spool_dir=str(tmp_path / "spool")) as monitoring:
        call(monitoring)
        loki.wait_until(lambda: len(loki.entries) == (REQUESTS + 1) * CALLS + 1)

    assert (loki.duplicates, proxy.violations) == (0, [])


@pytest.mark.parametrize("shared", [False, True], ids=["own series", "common series"])
def test_celerys_workers_that_do_one_task_each_lose_nothing(
    shared: bool,
    proxy: RemoteWriteProxy,
    loki: FakeLoki,
    tmp_path: Path,
) -> None:
    tasks = 6
    more = {"host_dir": tmp_path / "host"} if shared else {}
    own = {**env(loki, proxy, **more), "BROKER_FOLDER": str(tmp_path), "TASKS": str(tasks)}
    assert run("tasks", env=own).code == 0
    worker = (
        "celery",
        "-A",
        "tests.support.programs.tasks",
        "worker",
        "-c",
        2,
        "--max-tasks-per-child",
        1,
        "-l",
        "WARNING",
    )
    with running("module", *worker, "--without-gossip", "--without-mingle", env=own) as program:
        loki.wait_until(lambda: len(loki.entries) == tasks * CALLS, timeout=60)
        terminate(program)

    assert len(loki.entries) == proxy.total(COUNT) == tasks * CALLS
    assert (loki.duplicates, proxy.violations) == (0, [])
    assert (len(instances(proxy)) == 1) == shared


def test_what_opentelemetry_traces_leaves_out_our_own_requests(proxy: RemoteWriteProxy, loki: FakeLoki) -> None:
    ended = run("traced", loki.push_url, env=env(loki, proxy))

    assert ended.code == 0, ended.err
    assert ended.said == {"complete": True, "ours": 0, "others": 1}
