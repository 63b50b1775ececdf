"""`monitored-openai local`: serve the embedded back end and its page; `demo --page`: show the demo on it."""

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

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.query.tokens import read_token
from monitored_openai._cli.terminal import Terminal
from monitored_openai._files.private import NotOurs
from monitored_openai._local import calls, counters
from monitored_openai._local.history import FILE_NAME, Bounds, History
from monitored_openai._local.http.auth import bind_error
from monitored_openai._local.server import LocalServer
from monitored_openai._settings.urls import LOCAL_URL
from monitored_openai._version import __version__

_BYTES_PER_MIB = 1024 * 1024
_TOKEN_VARIABLE = "MONITORED_OPENAI_ACCESS_TOKEN"  # noqa: S105  # a name, not a token


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command."""

    host: str
    port: int
    token: str | None
    token_file: Path | None
    history: Path | None
    days: float
    megabytes: float


def run(terminal: Terminal, options: Options) -> None:
    """Serve the page until interrupted.

    Raises:
        UserError: the token, the history file or the address cannot be used.
    """
    token = _token(options)
    if problem := bind_error(options.host, token):
        raise UserError(problem)
    path = options.history or _data_folder() / FILE_NAME
    bounds = Bounds(days=options.days, bytes=int(options.megabytes * _BYTES_PER_MIB))
    try:
        history = History(path, bounds=bounds, say=terminal.note)
    except OSError as error:
        reason = f"it {error}" if isinstance(error, NotOurs) else error.strerror or str(error)
        raise UserError(f"the history cannot be kept in {path}: {reason}; name another file with --history") from error
    with closing(history):
        try:
            server = LocalServer(history, host=options.host, port=options.port, token=token, report=terminal.note)
        except OSError as error:
            raise UserError(
                f"port {options.port} of {options.host} cannot be used ({error.strerror or error}); "
                "does another `monitored-openai local` use it? Choose another with --port or --host"
            ) from error
        with _interruptible(), server:
            _introduce(terminal, server, history, options)
            _wait(terminal)


def _token(options: Options) -> str | None:
    """Return the token that clients must send; read the environment only if the address requires a token."""
    if options.token is None and options.token_file is None and bind_error(options.host, None) is None:
        return None
    return read_token(options.token, options.token_file, _TOKEN_VARIABLE)


def run_demo(terminal: Terminal) -> int:
    """Run the demo and show it on a page until interrupted; then delete its history.

    Returns:
        The exit code of the demo.
    """
    from monitored_openai._cli.demo import run as demo
    from monitored_openai._cli.demo.receivers import LogsReceiver, MetricsReceiver

    with (
        _interruptible(),
        tempfile.TemporaryDirectory() as folder,
        closing(History(Path(folder) / FILE_NAME, say=terminal.note)) as history,
        LocalServer(history) as server,
    ):
        page = f"{server.url}/#seconds=900"
        terminal.line(f"Watch the calls on this page: {page}")
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
    is_default = server.url == LOCAL_URL
    settings = "MonitoringSettings.local()" if is_default else f'MonitoringSettings.local("{server.url}")'
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
    """Let SIGTERM end the block with `KeyboardInterrupt`, as Ctrl-C does."""
    before: Callable[..., object] | int | None = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait(terminal: Terminal, indent: str = "") -> None:
    """Wait until interrupted."""
    event = threading.Event()
    with suppress(KeyboardInterrupt):
        terminal.line(f"{indent}Press Ctrl-C to stop.")
        while not event.wait(1):  # in steps of 1 s, because Ctrl-C does not interrupt a wait on Windows
            pass


def _data_folder() -> Path:
    """Return the operating system's folder for this program's data."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "monitored-openai"
