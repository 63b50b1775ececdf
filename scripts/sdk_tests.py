"""Run the installed SDK's own tests of streams, events and helpers on our classes; exit 1 if a result differs.

The tests come from the SDK's source distribution, which the script fetches from PyPI. Each test runs twice: with the
SDK's classes, and with ours under the same names in the module `openai`. The script is also the pytest plugin that
replaces the classes.
"""

# ruff: noqa: INP001, T201, S603 - a script, no module of a package, which starts programs and prints

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET  # the file is pytest's
from pathlib import Path
from typing import NamedTuple

TESTS = (
    "tests/lib/chat",
    "tests/lib/test_streaming_deltas.py",
    "tests/lib/test_assistants.py",
    "tests/lib/test_audio.py",
    "tests/lib/test_azure.py",
    "tests/lib/test_embeddings.py",
    "tests/test_streaming.py",
    "tests/test_stream_mode.py",
    "tests/test_sse_framing.py",
    "tests/test_response.py",
    "tests/test_legacy_response.py",
)
"""The tests of chat, streams and helpers; those of servers, sockets and other resources stay out."""
FEWEST = 300
"""The number of tests that pass with the SDK's own classes, at least. 13 others need recordings that PyPI does not have."""
MARK = "MONITORED_OPENAI_SDK_TESTS"
"""The environment variable that makes the plugin replace the classes."""
MONITORED = {
    "OpenAI": "MonitoredOpenAI",
    "AsyncOpenAI": "AsyncMonitoredOpenAI",
    "AzureOpenAI": "MonitoredAzureOpenAI",
    "AsyncAzureOpenAI": "AsyncMonitoredAzureOpenAI",
}
OURS = {MARK: "1", "MONITORED_OPENAI_INJECT_STREAM_USAGE": "false"}
"""Without the request for usage, because the client hides the chunk that this request causes, and some tests count it."""
MINUTES = 5


def replace_classes() -> None:
    """Put our classes in the place of the SDK's."""
    import openai

    import monitored_openai

    for name, ours in MONITORED.items():
        setattr(openai, name, getattr(monitored_openai, ours))


if MARK in os.environ:  # pytest imports a plugin before the tests' conftest.py, which imports the classes
    replace_classes()


def fetch(directory: Path) -> Path:
    """Download and unpack the source distribution of the installed SDK; return its folder."""
    version = importlib.metadata.version("openai")
    wanted = ("--no-binary", ":all:", "--no-deps", "--no-build-isolation", f"openai=={version}")
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "-d", directory, *wanted], check=True, timeout=600)
    (archive,) = directory.glob("openai-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(directory, filter="data")
    return directory / archive.name.removesuffix(".tar.gz")


class Result(NamedTuple):
    """The result of one test."""

    state: str
    """`passed`, `skipped`, `failure`, `error` or `missing`."""
    text: str = ""
    """The traceback of a failure."""


def results(sources: Path, *, ours: bool) -> dict[str, Result]:
    """Run the tests; return their results by name. Print nothing: some tests fail with the SDK's own classes."""
    report = sources / f"{'ours' if ours else 'bare'}.xml"
    here = Path(__file__).resolve()
    environment = {**os.environ, "PYTHONPATH": str(here.parent), **(OURS if ours else {})}
    there = [path for path in TESTS if (sources / path).exists()]
    pytest = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        "addopts=",
        "-p",
        here.stem,
        "--tb=short",
        "--inline-snapshot=disable",
        f"--junitxml={report}",
    ]
    run = subprocess.run(
        [*pytest, *there],
        cwd=sources,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=MINUTES * 60,
    )
    if run.returncode not in (0, 1):  # pytest itself failed, and not a test
        sys.exit(run.stdout)
    return {
        f"{case.get('classname')}::{case.get('name')}": next(
            (Result(child.tag, child.text or "") for child in case), Result("passed")
        )
        for case in ET.parse(report).iter("testcase")  # noqa: S314 - as above
    }


def main() -> int:
    """Run all tests twice and print the difference."""
    with tempfile.TemporaryDirectory() as directory:
        sources = fetch(Path(directory))
        bare, ours = results(sources, ours=False), results(sources, ours=True)
    proofs = {name for name, result in bare.items() if result.state == "passed"}
    missing = Result("missing")
    different = {name: found for name in sorted(proofs) if (found := ours.get(name, missing)).state != "passed"}
    for name, found in different.items():
        print(f"{name}: passed with the SDK's classes, {found.state} with ours\n{found.text}")
    print(f"{len(proofs)} of {len(bare)} tests pass with the SDK's classes; of these, {len(different)} fail with ours")
    return 1 if different or len(proofs) < FEWEST else 0


if __name__ == "__main__":
    sys.exit(main())
