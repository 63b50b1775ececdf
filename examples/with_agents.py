"""OpenAI Agents: set one client for all agents.

    python with_agents.py

The variables MONITORED_OPENAI_* name the back ends for the telemetry.
"""

from __future__ import annotations

from agents import Agent, Runner, set_default_openai_client

from monitored_openai import AsyncMonitoredOpenAI, attributes

client = AsyncMonitoredOpenAI()
set_default_openai_client(client)
guide = Agent(name="guide", model="gpt-4o-mini")

if __name__ == "__main__":
    with attributes(feature="search"):
        print(Runner.run_sync(guide, "Which city is the capital of Peru?").final_output)
