"""AWS Lambda: deliver at the end of each request, because Lambda freezes the process between requests.

Set MONITORED_OPENAI_* in the function's environment. The flush sends one request to each back end, which takes about
50 ms. If a back end is down, the flush waits at most for its timeout of 1 second; the next request then delivers the
rest.
"""

from __future__ import annotations

from typing import Any

from monitored_openai import MonitoredOpenAI, attributes

client = MonitoredOpenAI()  # outside the handler: one client for each process, not for each request


def handler(event: dict[str, Any], _: object) -> dict[str, Any]:
    """Answer one request and deliver its telemetry."""
    try:
        with attributes(feature="lambda"):
            answer = client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": event["question"]}]
            )
    finally:
        client.monitoring.flush(timeout=1.0)
    return {"statusCode": 200, "body": answer.choices[0].message.content}
