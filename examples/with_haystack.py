"""Haystack: it creates its own clients; replace each of them with a monitored one.

    python with_haystack.py

The variables MONITORED_OPENAI_* name the back ends for the telemetry.
"""

from __future__ import annotations

from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage

from monitored_openai import attributes, monitor

generator = OpenAIChatGenerator(model="gpt-4o-mini")
generator.warm_up()
generator.client = monitor(generator.client)

if __name__ == "__main__":
    with attributes(feature="search"):
        answer = generator.run([ChatMessage.from_user("Which city is the capital of Peru?")])
    print(answer["replies"][0].text)
