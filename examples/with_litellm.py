"""LiteLLM: pass it the client with each call.

    python with_litellm.py

The variables MONITORED_OPENAI_* name the back ends for the telemetry.
"""

from __future__ import annotations

import litellm

from monitored_openai import MonitoredOpenAI, attributes

client = MonitoredOpenAI()

if __name__ == "__main__":
    with attributes(feature="search"):
        answer = litellm.completion(
            model="openai/gpt-4o-mini",
            messages=[{"role": "user", "content": "Which city is the capital of Peru?"}],
            client=client,
        )
    print(answer.choices[0].message.content)
