"""During a call, the SDK looks in `sys.modules` for HTTP libraries that it does not use, and raises if it finds one
half imported (2.x: httpx2, 3.x: httpx). So no such library may be imported while calls are in progress."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.servers.loki import FakeLoki
from tests.support.servers.openai_api import OpenAIServer
from tests.support.servers.remote_write import RemoteWriteProxy

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys, threading
from monitored_openai import MonitoredOpenAI, MonitoringSettings

class Watch:
    late = []
    def find_spec(self, name, path=None, target=None):
        if name in ("httpx", "httpx2"):
            self.late.append(f"{name} in {threading.current_thread().name}")

_, base_url, logs_url, metrics_url = sys.argv
settings = MonitoringSettings(logs_url=logs_url, metrics_url=metrics_url, provider="openai")
client = MonitoredOpenAI(base_url=base_url, api_key="sk-test", monitoring=settings)
looked_for = "openai._httpx2" in sys.modules
sys.meta_path.insert(0, Watch())
client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello"}])
assert client.monitoring.flush(30).complete
assert "genai_prices" in sys.modules
print(looked_for, Watch.late)
"""


def test_no_http_library_that_the_sdk_looks_for_is_imported_once_there_are_calls() -> None:
    with OpenAIServer() as api, FakeLoki() as loki, RemoteWriteProxy() as prometheus:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, api.base_url, loki.push_url, prometheus.write_url],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    looked_for, _, late = done.stdout.strip().partition(" ")
    assert late == "[]" or looked_for == "False"  # before 2.x had `_httpx2` it did not look
