"""The API page: an entry with linked types for each public name, built without a network and with warnings as errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import monitored_openai
from monitored_openai import MonitoringSettings

pytestmark = pytest.mark.once

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "api.md"
ENTRY = re.compile(r"^\.\. auto\w+:: (\w+)", re.MULTILINE)
OFFLINE = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise ConnectionRefusedError("the docs are built without a network")

sys.addaudithook(refuse)
"""


def build(folder: Path, page: str) -> subprocess.CompletedProcess[str]:
    """Build this page with the settings of the docs, beside an index and a stand-in for the page that it links to."""
    source = folder / "source"
    source.mkdir()
    (source / "index.md").write_text("# Index\n\n```{toctree}\napi\nsettings\n```\n")
    (source / "settings.md").write_text("# Settings\n")
    (source / "api.md").write_text(page)
    (folder / "sitecustomize.py").write_text(OFFLINE)
    options = ("-q", "-W", "-n", "--keep-going", "-b", "html", "-c", str(DOCS), "-d", str(folder / "doctrees"))
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(source), str(folder / "html")],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("docs")
    done = build(folder, PAGE.read_text())
    assert done.returncode == 0, done.stderr
    return (folder / "html" / "api.html").read_text()


def test_the_page_has_an_entry_for_each_public_name_and_for_no_other(html: str) -> None:
    entries = ENTRY.findall(PAGE.read_text())
    assert sorted(entries) == sorted(monitored_openai.__all__)
    assert [name for name in entries if f'id="monitored_openai.{name}"' not in html] == []


def test_each_setting_has_its_type_with_links_and_its_docstring(html: str) -> None:
    for name in MonitoringSettings.model_fields:
        _, _, entry = html.partition(f'id="monitored_openai.MonitoringSettings.{name}"')
        signature, _, rest = entry.partition("</dt>")
        assert '<span class="pre">:</span>' in signature, name
        assert "https://docs.python.org/3/library/" in signature, name
        assert re.match(r"\s*<dd><p>\w", rest), name


def test_a_type_or_name_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    wrong = [
        ".. py:function:: f(value: Unknown)",
        ".. autofunction:: absent",
        "See :py:class:`monitored_openai.Nothing`.",
    ]
    text = "\n\n".join(wrong)
    done = build(tmp_path, f"# API\n\n```{{eval-rst}}\n.. py:module:: monitored_openai\n\n{text}\n```\n")
    assert done.returncode != 0
    assert [name for name in ("Unknown", "absent", "monitored_openai.Nothing") if name not in done.stderr] == []
