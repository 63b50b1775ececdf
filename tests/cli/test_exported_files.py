"""Exports into folders of the user: the command replaces a file only if nobody changed it since the last export."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from monitored_openai._cli.export import RECORD
from monitored_openai._cli.main import main
from tests.integration.test_foreign_files import Make, contents, fifo, foreign_database, link_to, link_to_nothing, text

pytestmark = [pytest.mark.once, pytest.mark.skipif(os.name != "posix", reason="links, modes and FIFOs of POSIX")]

EXPORTS = {
    "dashboards": "monitored-openai-cost.json",
    "rules": "monitored-openai.rules.yml",
}


def edited(path: Path) -> None:
    path.write_text(path.read_text() + "\n")


def replaced(make: Make) -> Make:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


def with_a_second_name(path: Path) -> None:
    path.with_name("second").hardlink_to(path)
    edited(path)


UNLIKE_WRITTEN: dict[str, Make] = {
    "edited": edited,
    "a second name": with_a_second_name,
    "a text": replaced(text),
    "an empty file": replaced(Path.touch),
    "a foreign database": replaced(foreign_database),
    "a directory": replaced(Path.mkdir),
    "a link to a foreign file": replaced(link_to(text)),
    "a link to nothing": replaced(link_to_nothing),
    "a FIFO": replaced(fifo),
}


@pytest.mark.parametrize("command", EXPORTS)
@pytest.mark.parametrize("name", UNLIKE_WRITTEN)
def test_an_export_replaces_no_file_that_it_did_not_write(
    command: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "export", str(tmp_path)]) == 0
    UNLIKE_WRITTEN[name](tmp_path / EXPORTS[command])
    capsys.readouterr()
    before = contents(tmp_path)

    code = main([command, "export", str(tmp_path)])

    told = capsys.readouterr()
    assert (code, told.out, contents(tmp_path)) == (2, "", before)
    assert told.err.startswith(f"monitored-openai: {tmp_path / EXPORTS[command]} is ")
    assert told.err.endswith("it stays as it is: move it away, or name another folder\n")
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("make", [text, Path.mkdir, link_to(text), fifo])
def test_an_export_beside_a_foreign_record_writes_nothing(make: Make, tmp_path: Path) -> None:
    make(tmp_path / RECORD)
    before = contents(tmp_path)

    assert main(["rules", "export", str(tmp_path)]) == 2

    assert contents(tmp_path) == before


def test_an_export_replaces_what_it_wrote_itself_and_leaves_what_is_the_same(tmp_path: Path) -> None:
    assert main(["rules", "export", str(tmp_path)]) == 0
    assert main(["dashboards", "export", str(tmp_path)]) == 0
    (tmp_path / "monitored-openai.rules.yml").chmod(0o640)
    first = contents(tmp_path)

    assert main(["rules", "export", str(tmp_path)]) == 0
    assert contents(tmp_path) == first

    assert main(["rules", "export", str(tmp_path), "--monthly-budget", "500"]) == 0
    assert "OpenAIBudget" in (tmp_path / "monitored-openai.rules.yml").read_text()
    assert stat.S_IMODE((tmp_path / "monitored-openai.rules.yml").stat().st_mode) == 0o640
    assert main(["dashboards", "export", str(tmp_path)]) == 0
    assert main(["rules", "export", str(tmp_path)]) == 0
    assert "OpenAIBudget" not in (tmp_path / "monitored-openai.rules.yml").read_text()


@pytest.mark.parametrize("make", [text, link_to(text), fifo, link_to_nothing])
def test_an_export_into_what_is_no_folder_changes_nothing(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "folder")
    before = contents(tmp_path)

    assert main(["dashboards", "export", str(tmp_path / "folder")]) == 2

    assert contents(tmp_path) == before
