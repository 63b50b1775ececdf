"""Sessions that run the tests with all supported SDKs, Pythons and dependencies, with frameworks and in runtimes.

`make test-all` runs all sessions.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nox

OLDEST = (3, 11)
PARALLEL = ("-n", "auto")
"""As in `make test`."""
ASK = "import sys; v = sys.version_info; print(v[0], v[1], v.releaselevel, sys.executable)"

nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = True
# Failures still show; without the successes, pytest's closing line is the last line of a good run.
logging.getLogger("nox").setLevel(logging.WARNING)


def candidates() -> Iterator[Path]:
    """Yield paths that may be a Python 3: the current one, those on PATH (even shims), those of pyenv."""
    yield Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    installed = Path(".cache").absolute().glob("python3*/usr/bin")
    for folder in [*map(Path, os.get_exec_path()), *sorted(pyenv.glob("versions/*/bin")), *installed]:
        yield from (path for path in sorted(folder.glob("python3*")) if re.fullmatch(r"python3(\.\d+)?", path.name))


def interpreters() -> dict[tuple[int, int], str]:
    """Return the interpreters that start, by version: only released versions, from the oldest supported one on."""
    found: dict[tuple[int, int], str] = {}
    for path in candidates():
        try:
            asked = subprocess.run([path, "-c", ASK], capture_output=True, text=True, timeout=30, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        major, minor, level, executable = asked.stdout.split(maxsplit=3)
        version = (int(major), int(minor))
        if version >= OLDEST and level == "final":
            found.setdefault(version, executable.strip())
    return dict(sorted(found.items()))


def add_session(name: str, python: tuple[int, int], *packages: str, lowest: bool = False) -> None:
    """Add a session that runs the suite on the built and installed package, with these packages beside it."""

    def run(session: nox.Session) -> None:
        resolution = "lowest-direct" if lowest else "highest"
        own = ("--reinstall-package", "monitored-openai", ".[scrape,cli]", *packages)
        session.install("--resolution", resolution, *own)
        session.install("--group", "test")
        session.run("python", "-m", "pytest", *PARALLEL, "-m", "not once", *session.posargs)

    label = ".".join(map(str, python))
    nox.session(name=f"{name}-py{label}", python=AT_HAND[python])(run)


def add_framework(name: str, python: tuple[int, int], package: str) -> None:
    """Add a session that runs the test of one framework, with its newest version and the newest SDK that this allows."""

    def run(session: nox.Session) -> None:
        session.install("--reinstall-package", "monitored-openai", ".[scrape]", package)
        session.install("--group", "test")
        test = f"tests/integration/frameworks/test_frameworks.py::test_{name}"
        # A framework's own warnings must not fail its test.
        session.run("python", "-m", "pytest", "-W", "default", test, *session.posargs, env={"FRAMEWORK": name})

    nox.session(name=name, python=AT_HAND[python])(run)


def add_predecessor(python: tuple[int, int]) -> None:
    """Add a session that compares this package with its predecessor on the same calls."""

    def run(session: nox.Session) -> None:
        session.install("--reinstall-package", "monitored-openai", ".[scrape]", "grafana-openai-monitoring==0.0.9")
        session.install("--group", "test")
        session.run("python", "-m", "pytest", "tests/integration/predecessor", *session.posargs)

    nox.session(name="predecessor", python=AT_HAND[python])(run)


def add_sdk_tests(python: tuple[int, int]) -> None:
    """Add a session that runs the newest SDK's own tests of streams and helpers on our classes."""

    def run(session: nox.Session) -> None:
        session.install("--reinstall-package", "monitored-openai", ".", "pip", *SDK_TESTS)
        session.run("python", "scripts/sdk_tests.py", *session.posargs)

    nox.session(name="sdk-tests", python=AT_HAND[python])(run)


def add_runtimes(python: tuple[int, int]) -> None:
    """Add a session that runs the tests of runtimes: other event loops, greenlets, servers and workers."""

    def run(session: nox.Session) -> None:
        session.install("--reinstall-package", "monitored-openai", ".[scrape]", *RUNTIMES)
        session.install("--group", "test")
        session.install("uwsgi", success_codes=range(256))  # needs a compiler; without uwsgi, its tests are skipped
        tests = (*PARALLEL, "-W", "default", "tests/integration/runtimes", *session.posargs)  # as above
        session.run("python", "-m", "pytest", *tests, env={"RUNTIMES": "1"})

    nox.session(name="runtimes", python=AT_HAND[python])(run)


def add_ends(python: tuple[int, int]) -> None:
    """Add a session that runs the tests that depend on how a Python version exits and forks."""

    def run(session: nox.Session) -> None:
        session.install("--reinstall-package", "monitored-openai", ".[scrape,cli]")
        session.install("--group", "test")
        session.run("python", "-m", "pytest", *PARALLEL, *ENDS, *session.posargs)

    label = ".".join(map(str, python))
    nox.session(name=f"ends-py{label}", python=AT_HAND[python])(run)


ENDS = (
    "tests/integration/test_exit.py",
    "tests/integration/test_fork.py",
    "tests/exporter/spool/test_spool.py",
    "tests/integration/test_surroundings.py",
)
RUNTIMES = (
    "gevent",
    "eventlet",
    "uvloop",
    "uvicorn",
    "uvicorn-worker",
    "gunicorn",
    "celery",
    "opentelemetry-sdk",
    "opentelemetry-instrumentation-httpx",
)
SDK_TESTS = (
    "openai[aiohttp]",
    "pytest",
    "pytest-asyncio",
    "inline-snapshot",
    "rich",
    "trio",
    "azure-identity",
    "hatchling",
)
"""Packages that the SDK's tests and its source distribution need."""
FRAMEWORKS = {
    "langchain": "langchain-openai",
    "pydantic_ai": "pydantic-ai-slim[openai]",
    "instructor": "instructor",
    "haystack": "haystack-ai",
    "agents": "openai-agents",
    "llama_index": "llama-index-llms-openai",
    "litellm": "litellm",
}
AT_HAND = interpreters()
oldest, newest = min(AT_HAND), max(AT_HAND)
# `make test` runs the suite on one Python with the newest packages; these sessions cover the other supported versions.
add_session("lowest", oldest, "openai==1.92.*", lowest=True)
add_session("sdk-2", oldest, "openai>=2,<3")
if newest != oldest:
    add_session("newest", newest)
for between in sorted(AT_HAND.keys() - {oldest, newest}):
    add_ends(between)
for framework, package in FRAMEWORKS.items():
    add_framework(framework, oldest, package)
add_predecessor(oldest)
add_sdk_tests(oldest)
add_runtimes(oldest)
