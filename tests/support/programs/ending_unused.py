"""Creates a monitored client and does not use it."""

from __future__ import annotations

import json
import threading

from monitored_openai import MonitoredOpenAI

client = MonitoredOpenAI()
print(json.dumps({"threads": threading.active_count()}))  # noqa: T201
