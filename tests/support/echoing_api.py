"""An API whose responses and errors repeat the fields of the request, and a client of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from monitored_openai import MonitoredOpenAI, Monitoring
from tests.support.handles import http


class EchoingAPI:
    """An API whose responses and errors repeat the fields of the request, and a look at the metrics during a call."""

    def __init__(self, monitoring: Monitoring) -> None:
        self.requests: list[dict[str, Any]] = []
        self.scrapes: list[str] = []
        self._registry = CollectorRegistry()
        self._registry.register(monitoring.collector)

    def answer(self, request: Any) -> Any:
        body = json.loads(request.content)
        self.requests.append(body)
        self.scrapes.append(generate_latest(self._registry).decode())
        echo = {
            name: body[name] for name in ("user", "safety_identifier", "prompt_cache_key", "metadata") if name in body
        }
        if body["model"] == "refused":
            message = f"Invalid value {body['user']!r} of {json.dumps(echo)}"
            return http.Response(
                400, json={"error": {"message": message, "param": body["user"], "code": "x", "type": "y"}}
            )
        if body["model"] == "odd":
            return http.Response(422, json={"detail": [{"loc": ["body", "user"], "input": body["user"]}]})
        if request.url.path.endswith("/responses"):
            failed = {"status": "failed", "error": {"code": "server_error", "message": f"no answer for {body['user']}"}}
            return http.Response(200, json={**response(), **echo, **(failed if body["model"] == "failing" else {})})
        return http.Response(200, json={**completion(), **echo})


def completion() -> dict[str, Any]:
    message = {"role": "assistant", "content": "fine"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }


def response() -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-4o-2024-08-06",
        "status": "completed",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 5,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 7,
        },
    }


@contextmanager
def echoing(monitoring: Monitoring, customer: str) -> Iterator[tuple[MonitoredOpenAI, EchoingAPI]]:
    api = EchoingAPI(monitoring)
    with (
        http.Client(transport=http.MockTransport(api.answer)) as connection,
        MonitoredOpenAI(
            base_url="http://api.test/v1",
            api_key="sk-test",
            http_client=connection,
            monitoring=monitoring,
            max_retries=0,
        ) as client,
    ):
        yield client.with_attributes(customer=customer), api
