"""`client.chat.completions`."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from openai import AsyncOpenAI, OpenAI
from openai.resources import chat

from monitored_openai._endpoints.chat import CHAT
from monitored_openai._endpoints.registry import with_endpoints


class Completions(chat.Completions):
    """Chat completions: `create`, `parse` and `stream` send to the endpoint `CHAT`."""

    def __init__(self, client: OpenAI) -> None:
        super().__init__(client)
        self._post = with_endpoints(self._post, CHAT)


class AsyncCompletions(chat.AsyncCompletions):
    """Chat completions of an async client; see `Completions`."""

    def __init__(self, client: AsyncOpenAI) -> None:
        super().__init__(client)
        self._post = with_endpoints(self._post, CHAT)


class Chat(chat.Chat):
    """The SDK's chat resource, with our `Completions`."""

    if not TYPE_CHECKING:

        @cached_property
        def completions(self) -> Completions:
            """Our `Completions`."""
            return Completions(self._client)


class AsyncChat(chat.AsyncChat):
    """The SDK's async chat resource, with our `AsyncCompletions`."""

    if not TYPE_CHECKING:

        @cached_property
        def completions(self) -> AsyncCompletions:
            """Our `AsyncCompletions`."""
            return AsyncCompletions(self._client)
