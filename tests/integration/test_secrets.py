"""Secrets in every possible place, with every kind of failure: nothing that is left contains a secret."""

from __future__ import annotations

import logging
import pickle
import traceback
from pathlib import Path

import openai
import pytest

from monitored_openai import MonitoredOpenAI, MonitoringSettings, SettingsError, attributes
from monitored_openai._exporter.diagnostics import check
from tests.support.handles import ask, handle, http
from tests.support.servers.loki import FakeLoki, Reset, Status
from tests.support.servers.remote_write import RemoteWriteProxy

SECRETS = {
    "password in the URL": "pa55word-in-the-url",
    "token for metrics": "glc_metricstoken00112233445566",
    "header": "x-secret-header-6677",
    "API key": "sk-proj-abcdefgh12345678ABCDEFGH",
    "API key that the prompt quotes": "sk-live-quoted0987654321quoted",
    "token that the prompt quotes": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
}


def in_files(directory: Path) -> bytes:
    return b"\0".join([path.name.encode() + b"\0" + path.read_bytes() for path in directory.iterdir()])


def test_no_secret_is_left_behind_anywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    left: list[str] = []
    echo = f"you sent {SECRETS['token for metrics']}, {SECRETS['header']} and {SECRETS['API key']}".encode()
    key = SECRETS["API key"]

    def refuse(request: object) -> object:
        return http.Response(401, json={"error": {"message": f"Incorrect API key provided: {key}"}})

    with FakeLoki() as loki, RemoteWriteProxy() as proxy:
        for back_end in (loki, proxy):
            for fault in (
                Status(503, body=echo),
                Reset(),
                Status(401, body=echo),
                Status(302, {"Location": "/x"}, echo),
            ):
                back_end.fail_next(fault)
        with (
            handle(
                logs_url=loki.push_url.replace("://", f"://someone:{SECRETS['password in the URL']}@"),
                metrics_url=proxy.write_url,
                metrics_token=SECRETS["token for metrics"],
                headers={"X-Custom-Key": SECRETS["header"]},
                spool_dir=str(tmp_path / "spool"),
            ) as monitoring,
            http.Client(transport=http.MockTransport(refuse)) as http_client,
            MonitoredOpenAI(
                base_url="http://api.test/v1",
                api_key=key,
                http_client=http_client,
                monitoring=monitoring,
                max_retries=0,
            ) as client,
            attributes(note=SECRETS["API key that the prompt quotes"]),
        ):
            quoted = f"{SECRETS['API key that the prompt quotes']} and {SECRETS['token that the prompt quotes']}"
            with pytest.raises(openai.AuthenticationError):
                ask(client, quoted)
            loki.refuse()
            loki.wait_until(lambda: monitoring.stats().spooled + monitoring.stats().in_flight == 1)
            monitoring.flush(0.3)
            spooled = in_files(tmp_path / "spool")
            left += [spooled.decode("latin-1"), repr(monitoring), repr(vars(monitoring)), repr(client)]
            left += [repr(monitoring.settings), str(monitoring.settings), monitoring.settings.model_dump_json()]
            left += [repr(monitoring.stats()), pickle.dumps(monitoring.stats()).decode("latin-1")]
            left += [repr(check(monitoring.settings))]
        left += [repr(list(proxy.stored)), *(entry.line for entry in loki.entries)]
    with pytest.raises(SettingsError) as raised:
        MonitoringSettings(
            logs_url=f"https://u:{SECRETS['password in the URL']}@loki.test/?x={SECRETS['header']}",
            access_token=SECRETS["token for metrics"] + "\n",
            headers={"Host": SECRETS["header"]},
        )
    left += ["".join(traceback.format_exception(raised.value)), pickle.dumps(raised.value).decode("latin-1")]
    # At DEBUG the SDK's 1.x and 2.x tell of the whole request themselves.
    left += [caplog.handler.format(record) for record in caplog.records if not record.name.startswith("openai")]

    assert b"Incorrect API key provided" in spooled  # what was looked for secrets is what one thinks it is
    assert {name for name, secret in SECRETS.items() if any(secret in text for text in left)} == set()
