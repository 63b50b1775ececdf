"""`monitored-openai local`: the embedded back end with its page, and the demo shown on it."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from monitored_openai import __version__
from monitored_openai._cli.demo import run as demo
from monitored_openai._cli.demo.receivers import LogsReceiver, MetricsReceiver
from monitored_openai._cli.errors import UserError
from monitored_openai._cli.query import tokens
from monitored_openai._cli.terminal import Terminal, escaped
from monitored_openai._files.private import NotOurs
from monitored_openai._local import calls, counters
from monitored_openai._local.history import Bounds, History
from monitored_openai._local.http.auth import objection
from monitored_openai._local.server import LocalServer
from monitored_openai._settings.urls import LOCAL_HOST, LOCAL_PORT, LOCAL_URL

MEGABYTE = 1024 * 1024

_WRONG_ARGUMENTS = 2
_TOKEN_VARIABLE = "MONITORED_OPENAI_ACCESS_TOKEN"  # noqa: S105  # its name; what clients send is what is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command was given."""

    host: str = LOCAL_HOST
    port: int = LOCAL_PORT
    token: str | None = None
    token_file: Path | None = None
    history: Path | None = None
    days: float = 30
    megabytes: float = 512


def run(terminal: Terminal, options: Options) -> int:
    """Serve the page until interrupted.

    Returns:
        0 when it was interrupted, 2 if it cannot be served so.
    """
    try:
        token = _token(options)
    except UserError as mistake:
        return _refuse(str(mistake))
    if wrong := objection(options.host, token):
        return _refuse(wrong)
    path = options.history or _data_folder() / "history.sqlite3"
    bounds = Bounds(days=options.days, bytes=int(options.megabytes * MEGABYTE))
    try:
        history = History(path, bounds=bounds, say=terminal.note)
    except OSError as error:
        wrong = f"it {error}" if isinstance(error, NotOurs) else error.strerror or str(error)
        return _refuse(f"the history cannot be kept in {path}: {wrong}; name another file with --history")
    with closing(history):
        try:
            server = LocalServer(history, host=options.host, port=options.port, token=token, report=terminal.note)
        except OSError as error:
            return _refuse(
                f"port {options.port} of {options.host} cannot be used ({error.strerror or error}); "
                "is the page open already? Choose another with --port or --host"
            )
        with _interruptible(), server:
            _introduce(terminal, server, history, options)
            _wait(terminal)
    return 0


def _token(options: Options) -> str | None:
    """The token that is asked for; the environment's only on an address that needs one."""
    if options.token is None and options.token_file is None and objection(options.host, None) is None:
        return None
    return tokens.token(options.token, options.token_file, _TOKEN_VARIABLE)


def run_demo(terminal: Terminal) -> int:
    """Run the demo and show it on a page until interrupted; what it showed is gone then.

    Returns:
        What the demo returns.
    """
    with (
        _interruptible(),
        tempfile.TemporaryDirectory() as folder,
        closing(History(Path(folder) / "history.sqlite3", say=terminal.note)) as history,
        LocalServer(history) as server,
    ):
        page = f"{server.url}/#seconds=900"
        terminal.line(f"The page, to watch it: {page}")
        terminal.line()
        code = demo.run(
            terminal,
            metrics=MetricsReceiver(also=partial(counters.keep, history)),
            logs=LogsReceiver(also=partial(calls.keep, history)),
        )
        terminal.line()
        terminal.line(f"{terminal.bold('On a page')}  {page}")
        _wait(terminal, "  ")
    return code


def _introduce(terminal: Terminal, server: LocalServer, history: History, options: Options) -> None:
    usual = server.url == LOCAL_URL
    settings = "MonitoringSettings.local()" if usual else f'MonitoringSettings.local("{server.url}")'
    bounds = f"{options.days:g} days and {options.megabytes:g} MiB"
    terminal.line(terminal.bold(f"monitored-openai {__version__}: the local page"))
    for name, text in (
        ("page", server.url),
        ("settings", settings),
        ("history", f"{history.path}"),
        ("", f"{calls.number(history):,} calls; at most {bounds} of them are kept"),
    ):
        terminal.line(f"  {terminal.dim(f'{name:<9}')} {text}")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end things in order, as Ctrl-C does; either is a fine end."""
    before: Callable[..., object] | int | None = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait(terminal: Terminal, indent: str = "") -> None:
    """Wait until interrupted."""
    never = threading.Event()
    with suppress(KeyboardInterrupt):
        terminal.line(f"{indent}Ctrl-C ends it.")
        while not never.wait(1):  # in parts: on Windows nothing interrupts a wait
            pass


def _refuse(text: str) -> int:
    print(f"monitored-openai local: {escaped(text)}", file=sys.stderr)
    return _WRONG_ARGUMENTS


def _data_folder() -> Path:
    """Where the system has programs keep what they know."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "monitored-openai"
