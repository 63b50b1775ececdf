"""LangChain: `ChatOpenAI` uses `client` for plain and streamed answers, and `root_client` for structured ones.

    python with_langchain.py

The variables MONITORED_OPENAI_* name the back ends for the telemetry.
"""

from __future__ import annotations

from langchain_openai import ChatOpenAI

from monitored_openai import AsyncMonitoredOpenAI, MonitoredOpenAI, attributes

client, async_client = MonitoredOpenAI(), AsyncMonitoredOpenAI()
llm = ChatOpenAI(
    model="gpt-4o-mini",
    root_client=client,
    client=client.chat.completions,
    root_async_client=async_client,
    async_client=async_client.chat.completions,
)

if __name__ == "__main__":
    with attributes(feature="search"):
        print(llm.invoke("Which city is the capital of Peru?").content)
