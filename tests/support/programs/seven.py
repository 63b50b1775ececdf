"""Makes seven calls and ends before any push is due; prints the modules that were imported after the first call."""

from __future__ import annotations

import atexit
import json
import sys

before: set[str] = set()


def tell() -> None:
    looked_for = {"httpx", "httpx2"} if "openai._httpx2" in sys.modules else set()
    print(json.dumps({"imported late": sorted(looked_for & sys.modules.keys() - before)}))  # noqa: T201


atexit.register(tell)  # before the library's own, and so called after it

from monitored_openai import MonitoredOpenAI  # noqa: E402

client = MonitoredOpenAI(max_retries=0, timeout=20)
before.update(sys.modules)
for number in range(7):
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": f"question {number}"}])
