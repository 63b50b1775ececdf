"""Celery: create the client before the workers fork; each worker delivers its remaining telemetry when it ends.

    celery -A celery_tasks worker

The variables MONITORED_OPENAI_* name the back ends for the telemetry.
"""

from __future__ import annotations

from celery import Celery
from celery.signals import worker_process_shutdown

from monitored_openai import MonitoredOpenAI, attributes

app = Celery("tasks")
client = MonitoredOpenAI()  # each forked worker uses it as it is, with counters of its own


@worker_process_shutdown.connect
def deliver(**_: object) -> None:
    """Deliver the remaining telemetry, because a worker process ends without Python's exit handlers."""
    client.monitoring.flush(timeout=3.0)


@app.task
def summarise(text: str, customer: str) -> str | None:
    """Return a summary of a text."""
    with attributes(feature="summaries", customer=customer):
        answer = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": f"Summarise:\n{text}"}]
        )
    return answer.choices[0].message.content
