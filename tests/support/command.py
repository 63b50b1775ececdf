"""Runs the command in this process or in another, with a Loki that answers its queries."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from monitored_openai._cli.main import main
from tests.support.servers._http import HttpServer
from tests.support.servers._steps import Reply, Request, whole

TOKEN = "glsa_secret"
COMMAND = Path(sys.executable).with_name("monitored-openai")


class LokiQueries(HttpServer):
    """Answers range queries with entries of its own, as Loki does whatever is asked for."""

    def __init__(self) -> None:
        super().__init__(keep_requests=True)
        self.entries: list[tuple[int, str]] = []
        self.refusal = ""

    async def respond(self, request: Request) -> Reply:
        """Answer."""
        if self.refusal or request.path != "/loki/api/v1/query_range":
            return Reply([whole(400 if self.refusal else 404, self.refusal.encode())])
        asked = {name: values[0] for name, values in parse_qs(urlsplit(request.target).query).items()}
        inside = [entry for entry in self.entries if int(asked["start"]) <= entry[0] < int(asked["end"])]
        inside.sort(reverse=asked["direction"] == "backward")
        values = [[str(at), line] for at, line in inside[: int(asked["limit"])]]
        data = {"resultType": "streams", "result": [{"stream": {}, "values": values}] if values else []}
        return Reply([whole(200, json.dumps({"status": "success", "data": data}).encode())])


class Asked:
    """The command run in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object, code: int = 0) -> str:
        """Its output; with a code of 2 the one line of its complaint."""
        self._capsys.readouterr()
        ended = main([str(argument) for argument in arguments])
        told = self._capsys.readouterr()
        assert ended == code, told.err
        if code:
            assert told.out == ""
            assert told.err.count("\n") == 1, told.err
            return told.err.removeprefix("monitored-openai: ").strip()
        return told.out


class Other(HttpServer):
    """A server of another kind, which answers everything alike."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self._body = body.encode()

    async def respond(self, request: Request) -> Reply:
        """Answer."""
        return Reply([whole(200, self._body)])
