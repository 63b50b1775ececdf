"""`client.responses`."""

from __future__ import annotations

from openai import AsyncOpenAI, OpenAI
from openai.resources import responses

from monitored_openai._endpoints.registry import with_endpoints
from monitored_openai._endpoints.responses import COMPACT, RESPONSES


class Responses(responses.Responses):
    """Responses: `create`, `parse` and `stream` send to the endpoint `RESPONSES`, `compact` sends to `COMPACT`.

    The paths of `retrieve` and `cancel` contain an id; the client finds their endpoints by path.
    """

    def __init__(self, client: OpenAI) -> None:
        super().__init__(client)
        self._post = with_endpoints(self._post, RESPONSES, COMPACT)


class AsyncResponses(responses.AsyncResponses):
    """Responses of an async client; see `Responses`."""

    def __init__(self, client: AsyncOpenAI) -> None:
        super().__init__(client)
        self._post = with_endpoints(self._post, RESPONSES, COMPACT)
