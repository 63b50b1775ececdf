"""``monitored-openai doctor``: do the settings in the environment work, and what is to be done if not?"""

from __future__ import annotations

import os
import sys

from monitored_openai import MonitoringSettings, SettingsError
from monitored_openai._cli.terminal import Terminal
from monitored_openai._exporter.diagnostics import check, misspelt_variables


def run() -> int:
    """Check and tell; 0 when all is well, 1 when something is not, 2 when the settings themselves are wrong."""
    try:
        settings = MonitoringSettings(log_warnings=False)  # a finding says what the warning would
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    with Terminal.of(sys.stderr, os.environ).waiting("asking the back ends"):
        findings = [*misspelt_variables(os.environ), *check(settings)]
    for finding in findings:
        print(f"{'ok   ' if finding.is_well else 'WRONG'}  {finding.about:8} {finding.says}")
        if finding.advice:
            print(f"{'':16} {finding.advice}")
    return 0 if all(finding.is_well for finding in findings) else 1
