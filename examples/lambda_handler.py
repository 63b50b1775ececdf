"""AWS Lambda: the process is frozen between requests, so each one delivers before it returns.

Set MONITORED_OPENAI_* in the function's environment. The flush takes one request to each back end, some 50 ms; its
timeout is what a request waits at most when they are away. What it could not deliver goes with the next request.
"""

from __future__ import annotations

from typing import Any

from monitored_openai import MonitoredOpenAI, attributes

client = MonitoredOpenAI()  # outside of the handler: one per process, not per request


def handler(event: dict[str, Any], _: object) -> dict[str, Any]:
    """Answer a request."""
    try:
        with attributes(feature="lambda"):
            answer = client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": event["question"]}]
            )
    finally:
        client.monitoring.flush(timeout=1.0)
    return {"statusCode": 200, "body": answer.choices[0].message.content}
