"""`client.beta`, which also has chat completions."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from openai.resources import beta

from monitored_openai._resources.chat import AsyncChat, Chat


class Beta(beta.Beta):
    """The SDK's beta resources, with our `Chat`."""

    if not TYPE_CHECKING:

        @cached_property
        def chat(self) -> Chat:
            """Our `Chat`, because the SDK's property returns its own."""
            return Chat(self._client)


class AsyncBeta(beta.AsyncBeta):
    """The SDK's async beta resources, with our `AsyncChat`."""

    if not TYPE_CHECKING:

        @cached_property
        def chat(self) -> AsyncChat:
            """Our `AsyncChat`, because the SDK's property returns its own."""
            return AsyncChat(self._client)
