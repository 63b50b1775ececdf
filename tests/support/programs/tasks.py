"""A Celery application whose broker is a folder; each task makes five calls."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from monitored_openai import MonitoredOpenAI
from tests.support.handles import ask, http, in_process_transport

_CALLS = 5
_folder = os.environ["BROKER_FOLDER"]
celery: Any = import_module("celery")

app = celery.Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={"data_folder_in": _folder, "data_folder_out": _folder, "control_folder": _folder},
    worker_hijack_root_logger=False,
)
client = MonitoredOpenAI(http_client=http.Client(transport=in_process_transport()))


@import_module("celery.signals").worker_process_shutdown.connect
def deliver(**_: object) -> None:
    """As the recipe says."""
    client.monitoring.flush(20)


@app.task(name="ask")
def several() -> None:
    """One of these is all that a worker does."""
    for _ in range(_CALLS):
        ask(client)


if __name__ == "__main__":
    for _ in range(int(os.environ["TASKS"])):
        several.delay()
