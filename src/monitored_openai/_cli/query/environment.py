"""The settings that the environment gives, as a monitored program would find them."""

from __future__ import annotations

from monitored_openai import MonitoringSettings, SettingsError
from monitored_openai._cli.errors import UserError


def settings() -> MonitoringSettings:
    """Read them.

    Raises:
        Mistake: they cannot be used.
    """
    try:
        return MonitoringSettings()
    except SettingsError as error:
        raise UserError("; ".join(str(error).splitlines())) from error
