"""`monitored-openai doctor`: check that the settings in the environment work, and print the fix for each problem."""

from __future__ import annotations

import os
import sys

from monitored_openai._cli.terminal import waiting
from monitored_openai._exporter.diagnostics import check, misspelt_variables
from monitored_openai._settings.model import MonitoringSettings, SettingsError


def run(*, scraped: bool) -> int:
    """Print the findings; return 0 if every check passes, 1 if one fails, 2 if a setting is invalid."""
    try:
        # the findings cover the warnings
        settings = MonitoringSettings(log_warnings=False, on_error="raise")
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    with waiting("asking the back ends"):
        findings = [*misspelt_variables(os.environ), *check(settings, scraped=scraped)]
    for finding in findings:
        print(f"{'ok   ' if finding.is_well else 'WRONG'}  {finding.about:8} {finding.says}")
        if finding.advice:
            print(f"{'':16} {finding.advice}")
    return 0 if all(finding.is_well for finding in findings) else 1
