"""Back ends that quote the request in their replies: no log line, count or exception contains the quote."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_from_bytes

import cramjam
import pytest

from monitored_openai import _logging, attributes
from tests.support.handles import ask, flush_until, handle, in_process
from tests.support.servers._steps import Reply, Request, whole
from tests.support.servers.loki import FakeLoki
from tests.support.servers.remote_write import RemoteWriteProxy

PROMPT = 'My "diagnosis" is gr\u00fcnes Fieber, and no org id in the future\n'
RUN = 10
"""Characters of a reply in a row that a log line may share with it by chance, such as `HTTP 400 B`."""
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda sent: sent,
    "cut": lambda sent: sent[sent.find(b"diagnosis") + 4 :][:21],
    "JSON-escaped": lambda sent: json.dumps({"error": sent.decode("utf-8", "replace")}).encode(),
    "URL-escaped": lambda sent: quote_from_bytes(sent).encode(),
    "base64": base64.b64encode,
    "after known words": lambda sent: b"Max entry size '1' bytes exceeded for stream '{a=\"" + sent + b"\"}'",
}


class Quotes:
    """Replies with a form of what it is sent; status 0: as bytes that are no HTTP."""

    status: int
    form: Callable[[bytes], bytes]
    quoted: list[str]

    def reply(self, sent: bytes) -> bytes:
        """The reply to a request with this body, uncompressed."""
        text = self.form(sent)[:4000]
        self.quoted.append(text.decode("utf-8", "replace"))
        return whole(self.status, b"error near " + text) if self.status else text + b"\r\n\r\n"


class QuotingLoki(Quotes, FakeLoki):
    async def respond(self, request: Request) -> Reply:
        return Reply([self.reply(gzip.decompress(request.body))])


class QuotingPrometheus(Quotes, RemoteWriteProxy):
    async def respond(self, request: Request) -> Reply:
        return Reply([self.reply(bytes(cramjam.snappy.decompress_raw(request.body)))])


@pytest.mark.parametrize(
    ("form", "status"),
    [*zip(FORMS, (400, 401, 500, 0, 400, 401), strict=True), ("plain", 0), ("plain", 503), ("cut", 429)],
)
def test_a_quoted_request_is_in_no_log_line(
    form: str, status: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_logging, "_said", {})
    with QuotingLoki() as loki, QuotingPrometheus() as prometheus:
        for back_end in (loki, prometheus):
            back_end.status, back_end.form, back_end.quoted = status, FORMS[form], []
        urls = {"logs_url": loki.push_url, "metrics_url": prometheus.write_url}
        own: dict[str, Any] = {"label_names": ("customer",), "metric_names": ("gen_ai", "grafana_openai")}
        with handle(**urls, **own) as monitoring, in_process(monitoring) as client:
            with attributes(customer=PROMPT):
                ask(client, PROMPT)
            flush_until(monitoring, lambda: bool(loki.quoted and prometheus.quoted))
            monitoring.close(0.1)
            lines = [record.getMessage() for record in caplog.records if record.name == "monitored_openai"]
            lines += [repr(monitoring.stats()), repr(monitoring)]
        quoted = loki.quoted + prometheus.quoted
    assert any("lost when" in line for line in lines)
    assert shared_runs("\n".join(lines), quoted) == set()


def shared_runs(text: str, quoted: list[str]) -> set[str]:
    """The runs of a reply that are in the text, except names of types and settings, which both have."""
    runs = {one[at : at + RUN] for one in quoted for at in range(len(one) - RUN + 1)}
    return {run for run in runs if run in text and not re.fullmatch(r"[\w./=\\-]*", run)}
