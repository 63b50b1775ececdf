"""LlamaIndex: pass both clients to `OpenAI` or to `OpenAIResponses`.

    python with_llama_index.py

The variables MONITORED_OPENAI_* name the back ends for the telemetry.
"""

from __future__ import annotations

from llama_index.llms.openai import OpenAI

from monitored_openai import AsyncMonitoredOpenAI, MonitoredOpenAI, attributes

client, async_client = MonitoredOpenAI(), AsyncMonitoredOpenAI()
llm = OpenAI(model="gpt-4o-mini", openai_client=client, async_openai_client=async_client)

if __name__ == "__main__":
    with attributes(feature="search"):
        print(llm.complete("Which city is the capital of Peru?").text)
