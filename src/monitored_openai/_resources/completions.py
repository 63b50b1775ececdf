"""`client.completions`, the legacy endpoint."""

from __future__ import annotations

from openai import AsyncOpenAI, OpenAI
from openai.resources import completions

from monitored_openai._endpoints.completions import COMPLETIONS
from monitored_openai._endpoints.registry import with_endpoints


class Completions(completions.Completions):
    """Legacy completions: `create` sends to the endpoint `COMPLETIONS`."""

    def __init__(self, client: OpenAI) -> None:
        super().__init__(client)
        self._post = with_endpoints(self._post, COMPLETIONS)


class AsyncCompletions(completions.AsyncCompletions):
    """Legacy completions of an async client; see `Completions`."""

    def __init__(self, client: AsyncOpenAI) -> None:
        super().__init__(client)
        self._post = with_endpoints(self._post, COMPLETIONS)
