from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitored_openai import MonitoringSettings
from monitored_openai._cli.main import main
from monitored_openai._exporter.delivery.retry import Failure, Reply
from monitored_openai._exporter.diagnostics import Finding, check, judged
from monitored_openai._metrics.names import DOCTOR
from tests.support.servers.loki import FakeLoki, Status
from tests.support.servers.remote_write import RemoteWriteProxy
from tests.support.spools import no_byte_written_beyond


@pytest.fixture
def proxy() -> Iterator[RemoteWriteProxy]:
    with RemoteWriteProxy() as running:
        yield running


@pytest.fixture
def loki() -> Iterator[FakeLoki]:
    with FakeLoki() as running:
        yield running


def found(about: str, findings: list[Finding]) -> Finding:
    (finding,) = [one for one in findings if one.about == about]
    return finding


def test_settings_that_work_are_well_and_each_back_end_has_got_one_thing(
    proxy: RemoteWriteProxy, loki: FakeLoki, tmp_path: Path
) -> None:
    settings = MonitoringSettings(
        metrics_url=proxy.write_url, logs_url=loki.push_url, spool_dir=str(tmp_path / "spool"), extra_labels={"a": "b"}
    )

    findings = check(settings)

    assert [(one.about, one.is_well, one.advice) for one in findings] == [
        ("metrics", True, ""),
        ("logs", True, ""),
        ("spool", True, ""),
    ]
    assert (len(proxy.latest(DOCTOR.name)), proxy.violations, loki.rejected) == (1, [], [])
    assert [entry.metadata for entry in loki.entries] == [{"doctor": "true"}]


@pytest.mark.parametrize(
    ("outcome", "says", "advice"),
    [
        (Reply(401), "refuses the credentials", "logs:write"),
        (Reply(401, excerpt="no org id"), "without a tenant: HTTP 401 no org id", "set tenant_id"),
        (Reply(400, excerpt="no org id"), "without a tenant: HTTP 400 no org id", "set tenant_id"),
        (Reply(400, excerpt="tenant ID 'a' contains unsupported character"), "refuses the tenant", "check tenant_id"),
        (Reply(403, excerpt="tenant b is not allowed"), "refuses the tenant", "write to it"),
        (Reply(403, excerpt="Forbidden"), "a gateway before it", "tenant in tenant_id"),
        (Reply(404), "at this address", "path in logs_url; Loki takes logs at /loki/api/v1/push"),
        (Reply(302), "at this address", "path in logs_url"),
        (Reply(413), "limits the size", "max_content_bytes"),
        (Reply(429), "takes nothing now", "repeated until they pass"),
        (Reply(429, excerpt="Ingestion rate limit exceeded for user fake"), "rate of pushes", "log_sample_ratio"),
        (Reply(429, excerpt="Per stream rate limit exceeded for stream"), "each stream", "log_shards"),
        (Reply(429, excerpt="Maximum active stream limit exceeded"), "number of streams", "extra_labels"),
        (Reply(500, excerpt="rpc error: received message larger than max"), "the size", "max_content_bytes"),
        (Reply(400, excerpt="has 16 label names; limit 15"), "limits labels", "extra_labels"),
        (Reply(400, excerpt="has timestamp too old"), "refuses the timestamp", "NTP"),
        (Reply(503), "takes nothing now", "repeated until they pass"),
        (Reply(400, excerpt="loghttp.PushRequest: bad"), "refuses the push", "labels"),
        (Failure.CONNECT, "cannot be reached: name unknown", "host and port"),
        (Failure.LOST, "does not answer: name unknown", "host and port"),
    ],
)
def test_each_answer_means_something_and_says_what_to_do(outcome: Reply | Failure, says: str, advice: str) -> None:
    finding = judged("logs", outcome, "name unknown")

    assert not finding.is_well
    assert says in finding.says
    assert advice in finding.advice
    assert "remote" not in finding.advice


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (Reply(404), "--web.enable-remote-write-receiver"),
        (Reply(400, excerpt="received a series whose number of labels exceeds the limit"), "label_names"),
        (
            Reply(429, excerpt="per-user series limit of 150000 exceeded (err-mimir-max-series-per-user)"),
            "max_label_sets",
        ),
        (
            Reply(429, excerpt="the request has been rejected because the tenant exceeded the ingestion rate limit"),
            "push_",
        ),
        (Reply(500, excerpt="too old sample"), "NTP"),
        (Reply(415), "metrics_protocol"),
    ],
)
def test_what_refuses_metrics_gets_the_advice_for_metrics(reply: Reply, advice: str) -> None:
    finding = judged("metrics", reply)

    assert advice in finding.advice
    assert "logs" not in finding.advice


@pytest.mark.parametrize(
    ("loki", "settings", "advice"),
    [
        ({"auth_enabled": True}, {}, "set tenant_id"),
        ({"bearer": "right"}, {"access_token": "wrong-one"}, "access_token"),
    ],
)
def test_a_loki_that_refuses_is_understood(loki: dict[str, Any], settings: dict[str, str], advice: str) -> None:
    with FakeLoki(**loki) as strict:
        (finding,) = check(MonitoringSettings(logs_url=strict.push_url, **settings))

    assert not finding.is_well
    assert advice in finding.advice


def test_a_back_end_that_is_gone_a_clock_that_is_wrong_and_a_spool_that_is_no_directory_are_found(
    proxy: RemoteWriteProxy, loki: FakeLoki, tmp_path: Path
) -> None:
    proxy.refuse()
    loki.always = Status(204, {"Date": email.utils.formatdate(time.time() - 300, usegmt=True)})
    settings = MonitoringSettings(
        metrics_url=proxy.write_url, logs_url=loki.push_url, spool_dir=str(tmp_path / "spool" / "below")
    )
    (tmp_path / "spool").touch()

    findings = check(settings)

    assert "cannot be reached" in found("metrics", findings).says
    ahead = re.search(r"(\d+) s ahead of", found("clock", findings).says)
    assert ahead is not None
    assert 299 <= int(ahead[1]) < 330
    assert not found("spool", findings).is_well


def test_the_command_says_it_and_its_exit_code_too(
    loki: FakeLoki, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor"]) == 1
    assert "neither metrics_url nor logs_url is set" in capsys.readouterr().out
    monkeypatch.setenv("MONITORED_OPENAI_LOGS_URL", loki.push_url)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out == "ok     logs     Loki takes logs\n"
    monkeypatch.setenv("MONITORED_OPENAI_LOGS_URL", "nonsense")
    assert main(["doctor"]) == 2


def test_what_vanishes_while_the_spool_is_looked_at_is_no_trouble(loki: FakeLoki, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(0o700)
    (spool / "gone.db").symlink_to("nowhere")  # as a file that its owner has used up since it was listed

    findings = check(MonitoringSettings(logs_url=loki.push_url, spool_dir=str(spool)))

    assert found("spool", findings).is_well
    assert [path.name for path in spool.iterdir()] == ["gone.db"]


def test_a_spool_in_which_no_file_can_be_made_is_found(loki: FakeLoki, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(0o700)
    with no_byte_written_beyond(0):
        findings = check(MonitoringSettings(logs_url=loki.push_url, spool_dir=str(spool)))

    assert "cannot be used" in found("spool", findings).says
    assert list(spool.iterdir()) == []


def test_the_command_names_a_misspelt_variable_and_the_nearest_known_one_once_and_without_its_value(
    loki: FakeLoki, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_LOGS_URL", loki.push_url)
    monkeypatch.setenv("MONITORED_OPENAI_METRIC_URL", "http://secret-value.test")

    assert main(["doctor"]) == 1

    shown = capsys.readouterr()
    named = "MONITORED_OPENAI_METRIC_URL is no setting; did you mean MONITORED_OPENAI_METRICS_URL?"
    assert f"WRONG  settings {named}" in shown.out
    assert (shown.out + shown.err).count("METRIC_URL") == 1
    assert "secret-value" not in shown.out + shown.err
