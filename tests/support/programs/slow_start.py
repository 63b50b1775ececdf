"""Makes a call and ends, while the imports of the exporter's thread take longer than the limit for a dead back end."""

from __future__ import annotations

import sys
import time
from importlib.abc import MetaPathFinder
from typing import Any


class Slow(MetaPathFinder):
    """Finds nothing, and takes its time for one module."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name == "monitored_openai._exporter.exporter":
            time.sleep(2.5)


sys.meta_path.insert(0, Slow())

from monitored_openai import MonitoredOpenAI  # noqa: E402

client = MonitoredOpenAI(max_retries=0, timeout=20)
client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "question"}])
