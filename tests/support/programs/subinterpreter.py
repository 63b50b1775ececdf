"""Makes a call in a subinterpreter that may start threads, and destroys it: ``python subinterpreter.py``."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

INSIDE = """
import sys
sys.path.insert(0, {root!r})
from monitored_openai import MonitoredOpenAI
from tests.support.handles import ask, http, in_process_transport
client = MonitoredOpenAI(http_client=http.Client(transport=in_process_transport()))
ask(client)
"""


def create(interpreters: Any) -> Any:
    if sys.version_info >= (3, 13):
        return interpreters.create("legacy")
    return interpreters.create(isolated=False)


if __name__ == "__main__":
    interpreters: Any = import_module("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    interpreter = create(interpreters)
    failed = interpreters.run_string(interpreter, INSIDE.format(root=str(Path(__file__).parents[3])))
    if failed is not None:  # Python 3.13 returns what older ones raise
        sys.exit(str(failed))
    interpreters.destroy(interpreter)
    print('"done"')  # noqa: T201
