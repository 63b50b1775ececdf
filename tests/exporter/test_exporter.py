"""Secrets and content in the exporter."""

from __future__ import annotations

import base64
import logging

import pytest

from monitored_openai import _logging, attributes
from tests.support.handles import MANUAL, ask, call, handle, in_process
from tests.support.servers.loki import FakeLoki, Status
from tests.support.servers.remote_write import RemoteWriteProxy, Reset

CALLS = "gen_ai_client_operation_duration_seconds_count"
SECRETS = {
    "password": "pa55word-in-the-url",
    "metrics token": "glc_metricstoken00112233",
    "logs token": "logs-token-4455",
    "header": "x-secret-header-6677",
    "proxy": "proxy-pass-8899",
    "api key": "sk-test-abcdefgh12345678",
}
SENT = ("password", "metrics token", "header", "api key")


def test_no_secret_shows_up_in_logs_reprs_or_books(
    loki: FakeLoki, proxy: RemoteWriteProxy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_logging, "_said", {})  # what other tests have led to hushes nothing here
    caplog.set_level(logging.DEBUG)
    basic = base64.b64encode(f"someone:{SECRETS['password']}".encode()).decode()
    echo = f"you sent Authorization: Basic {basic}, or {' '.join(SECRETS[name] for name in SENT)}".encode()
    for back_end in (loki, proxy):
        back_end.fail_next(Status(503, body=echo))
        back_end.fail_next(Reset())
        back_end.fail_next(Status(400, body=echo))
    with handle(
        logs_url=loki.push_url.replace("://", f"://someone:{SECRETS['password']}@"),
        metrics_url=proxy.write_url,
        metrics_token=SECRETS["metrics token"],
        headers={"X-Custom-Key": SECRETS["header"]},
        **MANUAL,
    ) as monitoring:
        with in_process(monitoring) as client:
            client.api_key = SECRETS["api key"]
            ask(client)
        monitoring.flush(20)
        loki.refuse()
        call(monitoring)
        monitoring.flush(0.2)
        seen = [caplog.text, repr(monitoring), repr(monitoring.settings), str(monitoring.settings)]
        seen += [repr(monitoring.stats()), repr(client), repr(vars(monitoring)), monitoring.settings.model_dump_json()]
        seen += [entry.line for entry in loki.entries]

    sent = [f"{request.headers}" for back_end in (loki, proxy) for request in back_end.requests]
    assert any(SECRETS["header"] in headers for headers in sent)  # it did have to go over the wire
    assert any(SECRETS["metrics token"] in headers for headers in sent)
    found = {name for name, secret in SECRETS.items() if any(secret in text for text in seen)}
    assert found == set()
    assert not any(basic in text for text in seen)
    assert "you sent" not in caplog.text
    assert "dropped (rejected): HTTP 400 Bad Request" in caplog.text
    assert "127.0.0.1" not in "".join(
        record.getMessage() for record in caplog.records if record.name == "monitored_openai"
    )


def refuse_to_redact(text: str, field: str) -> str:
    raise ValueError(text)


def test_a_failing_redactor_is_counted_and_logged_once(loki: FakeLoki, caplog: pytest.LogCaptureFixture) -> None:
    with handle(logs_url=loki.push_url, redact=refuse_to_redact) as monitoring, in_process(monitoring) as client:
        for _ in range(3):
            ask(client, "Bluebird")
        assert monitoring.flush(20).complete
        assert monitoring.stats().content_failed == 3
    assert sum("redact failed" in message for message in caplog.messages) == 1
    assert "Bluebird" not in caplog.text
    assert len(loki.entries) == 3


def test_a_key_behind_a_colour_is_in_no_label_no_metadata_and_no_line(loki: FakeLoki, proxy: RemoteWriteProxy) -> None:
    urls = {"logs_url": loki.push_url, "metrics_url": proxy.write_url}
    with (
        handle(**urls, label_names=("feature",)) as monitoring,
        in_process(monitoring) as client,
        attributes(feature="\x1b[31msk-proj-Ab3_9xYz-0123456789"),
    ):
        ask(client, "it says \x1b[01;31m\x1b[Ksk-proj\x1b[m\x1b[K-Ab3_9xYz-0123456789")
        assert monitoring.flush(20).complete
    [logged] = loki.entries
    features = {dict(labels)["feature"] for labels in proxy.latest(CALLS)}
    assert features == {"\x1b[31m[redacted]"}
    assert logged.metadata["feature"] == "\x1b[31m[redacted]"
    assert "0123456789" not in str(logged)
