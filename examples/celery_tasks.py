"""Celery: the client is made before the workers fork, and each worker delivers what is left when it ends.

    celery -A celery_tasks worker

Where the telemetry goes is in MONITORED_OPENAI_* variables.
"""

from __future__ import annotations

from celery import Celery
from celery.signals import worker_process_shutdown

from monitored_openai import MonitoredOpenAI, attributes

app = Celery("tasks")
client = MonitoredOpenAI()  # used in each child as it is; a child counts for itself


@worker_process_shutdown.connect
def deliver(**_: object) -> None:
    """A worker process ends without Python's exit handlers."""
    client.monitoring.flush(timeout=3.0)


@app.task
def summarise(text: str, customer: str) -> str | None:
    """Ask for a summary."""
    with attributes(feature="summaries", customer=customer):
        answer = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": f"Summarise:\n{text}"}]
        )
    return answer.choices[0].message.content
