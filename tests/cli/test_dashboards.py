"""`dashboards push` and `dashboards export`."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitored_openai._cli import dashboards
from tests.support.command import TOKEN, Asked
from tests.support.servers.grafana import FakeGrafana

pytestmark = pytest.mark.usefixtures("wide")


def test_push_makes_brings_up_to_date_and_leaves_alone(
    grafana: FakeGrafana, ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    push = ("dashboards", "push", "--grafana-url", grafana.url)

    first = ask(*push)
    assert [line.split()[0] for line in first.splitlines()] == ["created"] * 5
    assert list(grafana.folders.values()) == ["monitored-openai"]
    assert [line.split()[0] for line in ask(*push).splitlines()] == ["unchanged"] * 5
    assert grafana.saved == 5

    grafana.dashboards["monitored-openai-cost"]["dashboard"]["title"] = "changed by hand"
    assert sorted(line.split()[0] for line in ask(*push).splitlines()) == [*["unchanged"] * 4, "updated"]
    assert grafana.dashboards["monitored-openai-cost"]["dashboard"]["title"] == "OpenAI: cost"

    assert [line.split()[0] for line in ask(*push, "--folder", "Other").splitlines()] == ["updated"] * 5
    assert len(grafana.dashboards) == 5


def test_export_writes_what_the_package_has(tmp_path: Path, ask: Asked) -> None:
    told = ask("dashboards", "export", tmp_path / "new" / "folder")

    written = {Path(line).name: Path(line).read_text() for line in told.splitlines()}
    assert written == dashboards.texts()
    assert len(written) == 5
