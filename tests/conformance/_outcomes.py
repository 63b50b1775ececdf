"""Possible outcomes of a call: on the server, on the network, or by a cancellation."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.conformance._paths import Path
from tests.support.servers.openai_api import Behaviour

GATE = "gate"
"""The name of the gate in a behaviour; each run gets one of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the server behaves, and what the record of the call then says."""

    name: str
    behaviour: Behaviour = field(default_factory=Behaviour)
    error: str | None = None
    status: int | None = 200
    retries: int | None = 0
    usage_unknown: str | None = None
    """Why the usage is not known; `None` when it is as the server told it."""
    if_parsed: str | None = None
    """The error where the SDK parses the answer for the caller."""
    kinds: str = "value raw body stream events unparsed"
    paths: str = ""
    """The only paths to look at it on, and on OpenAI's own clients: it takes its time."""
    only_core: bool = False
    only_async: bool = False
    refused: bool = False
    """The server does not even listen."""
    cancels: bool = False
    """The caller's task is cancelled at the gate."""
    timeout: float | None = None

    def applies(self, path: Path) -> bool:
        """Whether the outcome is looked at on this path."""
        if self.paths:
            return path.name in self.paths.split()
        return path.kind in self.kinds.split() and (path.core or not self.only_core)

    @property
    def limits(self) -> dict[str, float]:
        """The options of the client that the outcome needs."""
        limits = {"max_retries": self.retries, "timeout": self.timeout}
        return {name: limit for name, limit in limits.items() if limit}


OK = Outcome(name="ok")

_EVERYWHERE = (400, 429)
_REFUSALS = {
    400: "bad_request",
    401: "invalid_api_key",
    403: "permission_denied",
    404: "model_not_found",
    409: "conflict",
    422: "unprocessable_entity",
    429: "rate_limit",
    500: "server_error",
}
_BAD_JSON = "{not json"

FAILURES: tuple[Outcome, ...] = (
    *(
        Outcome(
            name=str(status),
            behaviour=Behaviour(status=status),
            error=error,
            status=status,
            only_core=status not in _EVERYWHERE,
        )
        for status, error in _REFUSALS.items()
    ),
    *(
        Outcome(name=f"{status}-twice", behaviour=Behaviour(status=status, times=2), retries=2, only_core=status != 500)
        for status in (409, 429, 500)
    ),
    Outcome(
        name="500-for-good",
        behaviour=Behaviour(status=500),
        error="server_error",
        status=500,
        retries=2,
        only_core=True,
    ),
    Outcome(
        name="refused",
        refused=True,
        error="connection",
        status=None,
        usage_unknown="connection",
        only_core=True,
    ),
    Outcome(name="reset", behaviour=Behaviour(reset=True), error="connection", status=None, usage_unknown="connection"),
    Outcome(
        name="timeout",
        behaviour=Behaviour(hold=GATE),
        timeout=0.5,
        error="timeout",
        status=None,
        usage_unknown="timeout",
        paths="create stream raw body legacy",
    ),
    Outcome(
        name="dropped-half-way",
        behaviour=Behaviour(drop=True),
        error="connection",
        status=None,
        usage_unknown="connection",
        kinds="value raw",
    ),
    Outcome(
        name="invalid-json",
        behaviour=Behaviour(body=_BAD_JSON),
        error="invalid_response",
        usage_unknown="invalid_response",
        kinds="value",
    ),
    Outcome(
        name="invalid-json-raw", behaviour=Behaviour(body=_BAD_JSON), usage_unknown="invalid_body", kinds="raw body"
    ),
    Outcome(
        name="invalid-event",
        behaviour=Behaviour(body=f"data: {_BAD_JSON}\n\n", content_type="text/event-stream"),
        error="invalid_response",
        usage_unknown="invalid_response",
        kinds="stream",
    ),
    Outcome(
        name="error-event",
        behaviour=Behaviour(error_event=True, after=3),
        error="server_error",
        usage_unknown="server_error",
        kinds="stream",
    ),
    Outcome(
        name="drop-mid-stream",
        behaviour=Behaviour(drop=True, after=3),
        error="connection",
        usage_unknown="connection",
        kinds="stream events",
    ),
    Outcome(
        name="timeout-mid-stream",
        behaviour=Behaviour(hold=GATE, after=2),
        timeout=1.0,
        error="timeout",
        usage_unknown="timeout",
        paths="stream raw-stream legacy-stream",
    ),
    Outcome(name="no-done", behaviour=Behaviour(done=False), kinds="stream events", only_core=True),
    Outcome(name="keep-alives", behaviour=Behaviour(comments=True), kinds="stream events", only_core=True),
    Outcome(name="compressed", behaviour=Behaviour(gzip=True), kinds="value raw body", only_core=True),
    Outcome(
        name="length",
        behaviour=Behaviour(finish_reason="length"),
        if_parsed="length_limit",
        kinds="value stream",
    ),
    Outcome(
        name="filtered",
        behaviour=Behaviour(finish_reason="content_filter"),
        if_parsed="content_filter",
        kinds="value stream",
    ),
    Outcome(name="refusal", behaviour=Behaviour(refusal="I must not."), kinds="value stream"),
    Outcome(
        name="cancelled",
        behaviour=Behaviour(hold=GATE),
        error="cancelled",
        status=None,
        usage_unknown="cancelled",
        retries=None,
        cancels=True,
        only_async=True,
    ),
    Outcome(
        name="cancelled-mid-stream",
        behaviour=Behaviour(hold=GATE, after=2),
        error="cancelled",
        usage_unknown="cancelled",
        kinds="stream events",
        cancels=True,
        only_async=True,
    ),
)
