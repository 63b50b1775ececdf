"""Settings for tests: refused values, functions to name, and a full set with secrets."""

from __future__ import annotations

from typing import Any

import pytest

from monitored_openai._settings.model import MonitoringSettings, SettingsError

SECRET = "glc_planted-s3cret"


def refusal(**values: Any) -> str:
    """The text of the error that these values are refused with."""
    with pytest.raises(SettingsError) as caught:
        MonitoringSettings(**values)
    return str(caught.value)


def shout(text: str, field: str) -> str:
    return f"{field}:{text}".upper()


def note(record: object) -> None:
    assert record is not None


CLOUD = "https://prometheus-prod-03-prod-us-central-0.grafana.net"
CLOUD_LOGS = "https://logs-prod-006.grafana.net"
