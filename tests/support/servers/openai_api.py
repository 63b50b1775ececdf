"""A loopback server that speaks the API's completions, responses and more, plain and streamed, and keeps the truth.

    with OpenAIServer() as server:
        client = OpenAI(base_url=server.base_url, api_key="sk-test")                     # or
        client = AzureOpenAI(azure_endpoint=server.url, api_version="2024-10-21", api_key="x")

Answers and token counts follow from the request alone (``usage_for``). What is to go wrong is a ``Behaviour``, sent
with the request (``extra_headers=Behaviour(status=429, times=2).header()`` or ``extra_body=....extra_body()``), or
scripted for the next requests in the order of their arrival (``server.script([Behaviour(status=500), Behaviour()])``),
or set for all (``server.default = Behaviour(stream_options=400)``); the first of these three that is there counts.
So "fail k times, then succeed" is ``Behaviour(status=503, times=k)`` for one call, or k scripted ones for any.
Errors that the SDK retries ask it to wait one millisecond (``retry-after-ms``) besides ``Retry-After: 0``,
which the SDK takes for "none given" and would answer with its own half second.

To hold an answer, name a gate: ``Behaviour(hold="g")`` before the head, ``Behaviour(hold="g", after=2)`` in a stream
after two chunks; then ``server.gate("g").wait_reached()`` and ``server.gate("g").set()``.
An answer whose client leaves at a gate counts as ``abandoned``; one not held is written at once and counts as served.

``server.truth`` counts what was served: attempts, not calls of the SDK; a retried call counts several times.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from email import message_from_bytes
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ._answers import CREATED, SNAPSHOTS, answer, usage_for
from ._attempt import Attempt, error, plain
from ._behaviour import BODY_KEY, HEADER, Behaviour
from ._http import HttpServer
from ._kinds import KINDS, STORED, place_of, whole_in
from ._steps import Gate, Reply, Request
from ._truth import Truth

__all__ = ["Behaviour", "Gate", "OpenAIServer", "Truth", "usage_for"]

_PATH = re.compile(r"^(?:/openai/deployments/([^/]+)|(?:/openai)?/v1)(/chat/completions|/completions)(?:/([^/]+))?$")


class OpenAIServer(HttpServer):
    """The server; see the module's text. ``keep_requests`` keeps every request in ``requests``."""

    def __init__(self, *, keep_requests: bool = False, default: Behaviour | None = None) -> None:
        super().__init__(keep_requests=keep_requests)
        self.truth = Truth()
        self.default = default or Behaviour()
        self.deployments: dict[str, str] = {}
        """Model behind each Azure deployment; ``gpt-4o-2024-08-06`` where none is named."""
        self.stored: dict[str, dict[str, Any]] = {}
        """The responses made so far, finished, by id."""
        self.last_reply: Any = None
        """The latest answer of an endpoint that is not of the completions, before anything was patched."""
        self._told: set[str] = set()
        self._script: deque[Behaviour] = deque()
        self._gates: dict[str, Gate] = {}
        self._numbers = itertools.count(1)

    @property
    def base_url(self) -> str:
        """What ``OpenAI(base_url=...)`` takes."""
        return f"{self.url}/v1"

    def script(self, behaviours: Iterable[Behaviour]) -> None:
        """Answer the next requests that carry no behaviour of their own like this, in order of arrival."""
        self._script.extend(behaviours)

    def gate(self, name: str) -> Gate:
        """The gate of this name."""
        return self._gates.setdefault(name, Gate())

    async def respond(self, request: Request) -> Reply:
        """Route, and answer as the request's behaviour says."""
        number = next(self._numbers)
        if request.method == "GET" and request.path == "/v1/models":
            listed = [{"id": "gpt-4o", "object": "model", "created": CREATED, "owned_by": "fake"}]
            return plain(number, {"object": "list", "data": listed})
        found = _PATH.match(request.path)
        if found is None:
            return self._of_other_kind(request, number)
        deployment, endpoint, stored = found.groups()
        try:
            body = json.loads(request.body or b"{}")
        except ValueError:
            return error(number, 400, "We could not parse the JSON body of your request.", {})
        if stored is not None:
            kept = answer(endpoint, {"model": "gpt-4o"}, SNAPSHOTS["gpt-4o"], number, Behaviour())
            return plain(number, {**kept, "id": stored})
        asked = self._behaviour(request, body)
        model = deployment or str(body.get("model"))
        answered = self.deployments.get(deployment, SNAPSHOTS["gpt-4o"]) if deployment else SNAPSHOTS.get(model, model)
        azure = asked.azure if asked.azure is not None else deployment is not None
        attempt = Attempt(self, number, endpoint, model, answered, body, replace(asked, azure=azure))
        return Reply(attempt.steps(), lambda: self.truth.count(endpoint, model, "abandoned"))

    def _of_other_kind(self, request: Request, number: int) -> Reply:
        deployment, path = place_of(request.path)
        body = fields_of(request)
        asked = self._behaviour(request, body)
        if stored := STORED.match(path):
            if stored["id"] not in self.stored:
                return error(number, 404, f"No such thing: '{stored['id']}'.", {})
            reply = self.stored[stored["id"]]
            path, body, deployment = (
                stored["kind"],
                {"stored": reply, "model": reply["model"], **queried(request)},
                None,
            )
            model = answered = reply["model"]
        elif path in KINDS:
            model = deployment or str(body.get("model"))
            answered = SNAPSHOTS.get(model, model)
        else:
            return error(number, 404, f"Invalid URL ({request.method} {request.path})", {})
        attempt = Attempt(self, number, path, model, answered, body, asked, KINDS[path])
        return Reply(attempt.steps(), lambda: self.truth.count(path, model, "abandoned"))

    def tells(self, path: str, model: str, reply: Mapping[str, Any]) -> None:
        """Book the usage in an answer or event, that of one response once."""
        whole = whole_in(reply)
        name, usage = str(whole.get("id")), whole.get("usage")
        if usage is not None and (name not in self.stored or name not in self._told):
            self._told.add(name)
            self.truth.spend(path, model, usage, told=True)

    def _behaviour(self, request: Request, body: Mapping[str, Any]) -> Behaviour:
        given = json.loads(request.headers.get(HEADER, "null")) or body.get(BODY_KEY)
        if given is not None:
            asked = Behaviour.read(given)
        elif self._script:
            asked = self._script.popleft()
        else:
            asked = self.default
        retries = int(request.headers.get("x-stainless-retry-count", "0"))
        return asked if asked.times is None or retries < asked.times else Behaviour()


def fields_of(request: Request) -> dict[str, Any]:
    """The fields of a request's body: JSON, or a form with files, of which the fields that are texts."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return dict(json.loads(request.body or b"{}"))
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + request.body).get_payload()
    assert isinstance(parts, list)
    fields = {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        for part in parts
        if isinstance(part, Message) and part.get_filename() is None
    }
    texts = {name: value.decode() for name, value in fields.items() if isinstance(value, bytes)}
    return {name: value == "true" if name == "stream" else value for name, value in texts.items()}


def queried(request: Request) -> dict[str, Any]:
    """What the query of a look at a stored response asks for."""
    query = dict(parse_qsl(urlsplit(request.target).query))
    return {**query, "stream": query.get("stream") == "true"}
