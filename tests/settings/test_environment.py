"""Settings from environment variables and env files."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitored_openai._settings.model import MonitoringSettings
from monitored_openai._settings.variables import ENV_PREFIX
from tests.support.settings import SECRET, refusal


def test_everything_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "METRICS_URL": "https://host",
        "METRICS_USERNAME": "7",
        "ACCESS_TOKEN": SECRET,
        "HEADERS": "X-A=1=1, X-B=2",
        "EXTRA_LABELS": '{"team": "a,b"}',
        "LABEL_NAMES": "user, feature",
        "PRICES": '{"m": {"input": 1, "output": 2}}',
        "REDACT": "abc,def",
        "CAPTURE_CONTENT": "false",
        "PUSH_INTERVAL": "5",
        "VERIFY": "true",
    }.items():
        monkeypatch.setenv(ENV_PREFIX + name, value)
    given_in_code = MonitoringSettings(
        metrics_url="https://host",
        metrics_username="7",
        access_token=SECRET,
        headers={"X-A": "1=1", "X-B": "2"},
        extra_labels={"team": "a,b"},
        label_names=["user", "feature"],
        prices={"m": {"input": 1, "output": 2}},
        redact=["abc", "def"],
        capture_content=False,
        push_interval=5,
    )
    assert MonitoringSettings() == given_in_code


def test_an_argument_wins_over_the_environment_even_if_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_METRICS_URL", "https://host")
    assert MonitoringSettings(metrics_url=None).metrics_url is None


@pytest.mark.parametrize("name", MonitoringSettings.model_fields)
@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_blank_variable_counts_as_unset(name: str, blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_PREFIX + name.upper(), blank)
    assert MonitoringSettings() == MonitoringSettings(**{name: getattr(MonitoringSettings(), name)})


def test_unknown_variables_are_warned_of_once_by_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_METRIC_URL", SECRET)
    monkeypatch.setenv("MONITORED_OTHER_THING", SECRET)
    MonitoringSettings()
    MonitoringSettings()
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "monitored_openai",
            "WARNING",
            "MONITORED_OPENAI_METRIC_URL: is not a setting; did you mean MONITORED_OPENAI_METRICS_URL?",
        )
    ]


def test_the_service_name_defaults_to_opentelemetrys(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MonitoringSettings().service_name is None
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    assert MonitoringSettings().service_name == "shop"
    assert MonitoringSettings(service_name="till").service_name == "till"
    monkeypatch.setenv("OTEL_SERVICE_NAME", " ")
    assert MonitoringSettings().service_name is None
    monkeypatch.setenv("OTEL_SERVICE_NAME", "a\nb")
    assert refusal().startswith("service_name (MONITORED_OPENAI_SERVICE_NAME or OTEL_SERVICE_NAME): has a line break")


def test_an_env_file_is_read_only_if_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("OPENAI_API_KEY=sk-x\nMONITORED_OPENAI_JOB=from-file\nMONITORED_OPENAI_ENVIRONMENT=\n")
    monkeypatch.chdir(tmp_path)
    assert MonitoringSettings().job == "integrations/openai"
    made = MonitoringSettings(_env_file=file)
    assert (made.job, made.environment) == ("from-file", "default")
    monkeypatch.setenv("MONITORED_OPENAI_JOB", "from-environment")
    assert MonitoringSettings(_env_file=".env").job == "from-environment"


def test_an_env_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    latin = tmp_path / "latin.env"
    latin.write_bytes(b"MONITORED_OPENAI_JOB=caf\xe9\n")
    for file in (tmp_path / "missing.env", tmp_path, latin):
        assert refusal(_env_file=file).startswith("_env_file: is not a readable file"), file
