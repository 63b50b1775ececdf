"""Pydantic AI: pass the client to the provider, which also works with `OpenAIResponsesModel`.

    python with_pydantic_ai.py

The variables MONITORED_OPENAI_* name the back ends for the telemetry.
"""

from __future__ import annotations

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from monitored_openai import AsyncMonitoredOpenAI, attributes

client = AsyncMonitoredOpenAI()
model = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(openai_client=client))

if __name__ == "__main__":
    with attributes(feature="search"):
        print(Agent(model).run_sync("Which city is the capital of Peru?").output)
