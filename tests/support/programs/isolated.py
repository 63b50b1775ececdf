"""Makes a call in an isolated subinterpreter, where no thread can be started: ``python isolated.py``."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

INSIDE = """
import json, sys
sys.path.insert(0, {root!r})
from monitored_openai import MonitoredOpenAI
from tests.support.handles import ask, http, in_process_transport
client = MonitoredOpenAI(http_client=http.Client(transport=in_process_transport()))
answer = ask(client).choices[0].message.content
client.monitoring.close(1)
stats = client.monitoring.stats()
print(json.dumps({{"answer": answer, "dropped": stats.dropped, "metrics_dropped": stats.metrics_dropped}}))
"""

if __name__ == "__main__":
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    interpreters: Any = import_module(name)
    interpreter = interpreters.create()
    failed = interpreters.run_string(interpreter, INSIDE.format(root=str(Path(__file__).parents[3])))
    if failed is not None:  # Python 3.13 returns what older ones raise
        sys.exit(str(failed))
