"""Finds the endpoint of a request, by the resource that sends it or by its path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

from monitored_openai._endpoints.audio import SPEECH, TRANSCRIPTIONS, TRANSLATIONS
from monitored_openai._endpoints.base import Endpoint
from monitored_openai._endpoints.chat import CHAT
from monitored_openai._endpoints.completions import COMPLETIONS
from monitored_openai._endpoints.decisions import DECISIONS
from monitored_openai._endpoints.embeddings import EMBEDDINGS
from monitored_openai._endpoints.images import EDITS, GENERATIONS, VARIATIONS
from monitored_openai._endpoints.jobs import BATCHES, SESSIONS, TRAINING, VIDEOS
from monitored_openai._endpoints.moderations import MODERATIONS
from monitored_openai._endpoints.responses import CANCEL, COMPACT, RESPONSES, RETRIEVE
from monitored_openai._endpoints.runs import RUNS

ENDPOINTS = (
    *(CHAT, COMPLETIONS, RESPONSES, COMPACT, RETRIEVE, CANCEL),
    *(EMBEDDINGS, GENERATIONS, EDITS, VARIATIONS, SPEECH, TRANSCRIPTIONS, TRANSLATIONS),
    *(MODERATIONS, DECISIONS, BATCHES, *VIDEOS, *TRAINING, *SESSIONS, *RUNS),
)
"""All observed endpoints."""

_PLAIN: dict[tuple[str, str], Endpoint] = {
    (endpoint.method, endpoint.path): endpoint for endpoint in ENDPOINTS if "{" not in endpoint.path
}
_WITH_IDS: defaultdict[tuple[str, int], list[tuple[list[str], Endpoint]]] = defaultdict(list)
for _endpoint in ENDPOINTS:
    if "{" in _endpoint.path:
        _WITH_IDS[_endpoint.method, _endpoint.path.count("/")].append((_endpoint.path.split("/"), _endpoint))


class EndpointPath(str):
    """The path of a request, with its endpoint as an attribute; for other code an ordinary `str`."""

    __slots__ = ("endpoint",)
    endpoint: Endpoint

    def __new__(cls, endpoint: Endpoint) -> Self:
        """Return the path of an endpoint."""
        path = super().__new__(cls, endpoint.path)
        path.endpoint = endpoint
        return path

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Copy and pickle as plain text: a `post` of the user may copy its arguments."""
        return str, (str(self),)


def with_endpoints(post: Callable[..., Any], *endpoints: Endpoint) -> Any:
    """Return a resource's `post` that replaces the path of each of these endpoints with its `EndpointPath`."""
    return partial(_post, post, {endpoint.path: EndpointPath(endpoint) for endpoint in endpoints})


def _post(post: Callable[..., Any], paths: Mapping[str, EndpointPath], path: str, **request: Any) -> Any:
    return post(paths.get(path, path), **request)


def endpoint_of(method: str, path: object) -> Endpoint | None:
    """Return the endpoint of a request; `None` if the library does not observe it."""
    if type(path) is EndpointPath:
        return path.endpoint
    if not isinstance(path, str):
        return None
    endpoint = _PLAIN.get((method, path))
    if endpoint is not None:
        return endpoint
    bare_path = "/" + path.partition("?")[0].strip("/")
    endpoint = _PLAIN.get((method, bare_path))
    if endpoint is None and (candidates := _WITH_IDS.get((method, bare_path.count("/")))):
        parts = bare_path.split("/")
        return next((endpoint for pattern, endpoint in candidates if _fits(parts, pattern)), None)
    return endpoint


def _fits(parts: list[str], pattern: list[str]) -> bool:
    return all(part == wanted or wanted[:1] == "{" for part, wanted in zip(parts, pattern, strict=True))
