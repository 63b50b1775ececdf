"""Makes a call and delivers it, in however odd an interpreter: ``python plain.py``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))  # an isolated interpreter looks nowhere else

from monitored_openai import MonitoredOpenAI
from tests.support.handles import ask, http, in_process_transport

if __name__ == "__main__":
    with MonitoredOpenAI(http_client=http.Client(transport=in_process_transport())) as client:
        ask(client)
        flushed = client.monitoring.close(20)
    print(json.dumps({"complete": flushed.complete}))  # noqa: T201
