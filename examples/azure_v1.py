"""Azure OpenAI at its v1 endpoint: the plain client with the address of the resource; the model is the deployment.

    python azure_v1.py

AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY and AZURE_OPENAI_DEPLOYMENT name the resource, its key and the deployment.
The variables MONITORED_OPENAI_* name the back ends for the telemetry.
"""

from __future__ import annotations

import os

from monitored_openai import MonitoredOpenAI, MonitoringSettings, attributes

client = MonitoredOpenAI(
    base_url=f"{os.environ['AZURE_OPENAI_ENDPOINT'].rstrip('/')}/openai/v1/",
    api_key=os.environ["AZURE_OPENAI_API_KEY"],
    monitoring=MonitoringSettings(azure_deployment="global"),  # or data_zone, regional, provisioned
)

if __name__ == "__main__":
    with attributes(feature="search"):
        answer = client.chat.completions.create(
            model=os.environ["AZURE_OPENAI_DEPLOYMENT"],
            messages=[{"role": "user", "content": "Which city is the capital of Peru?"}],
        )
    print(answer.choices[0].message.content)
