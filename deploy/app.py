"""An application that asks a model something every few seconds: with OPENAI_API_KEY the real API, else one of its own.

python deploy/app.py [CALLS]
"""

from __future__ import annotations

import itertools
import os
import random
import sys
import time
from contextlib import ExitStack

import openai

from monitored_openai import MonitoredOpenAI, MonitoringSettings, attributes
from monitored_openai._cli.demo.openai_server import Api

MODELS = ("gpt-4o", "gpt-4.1-mini", "gpt-5-mini")
QUESTIONS = {"support": "Where is my order {}?", "summaries": "Ticket {}: the customer wants a summary."}
PAUSE_SECONDS = 2.0


def main(calls: int | None) -> None:
    """Ask until there were so many calls, or for ever."""
    with ExitStack() as stack:
        if os.environ.get("OPENAI_API_KEY"):
            client = stack.enter_context(MonitoredOpenAI())
        else:
            api = stack.enter_context(Api())
            settings = MonitoringSettings(provider="openai")  # so that the models have prices
            client = MonitoredOpenAI(base_url=api.base_url, api_key="none", monitoring=settings)
            stack.enter_context(client)
        for number in itertools.count() if calls is None else range(calls):
            ask(client, number)
            if calls is None:
                time.sleep(PAUSE_SECONDS)


def ask(client: MonitoredOpenAI, number: int) -> None:
    """Make a call, every second one streamed."""
    feature, question = random.choice(list(QUESTIONS.items()))  # noqa: S311  # no secret
    with attributes(feature=feature):
        try:
            answer = client.chat.completions.create(
                model=random.choice(MODELS),  # noqa: S311  # no secret
                messages=[{"role": "user", "content": question.format(10_000 + number)}],
                stream=bool(number % 2),
            )
            if not isinstance(answer, openai.types.chat.ChatCompletion):
                for _ in answer:
                    pass
        except openai.OpenAIError as error:
            print(f"call {number}: {type(error).__name__}", file=sys.stderr)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else None)
