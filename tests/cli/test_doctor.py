from __future__ import annotations

import email.utils
import re
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import respx

from monitored_openai import MonitoringSettings
from monitored_openai._cli.main import main
from monitored_openai._exporter.diagnostics import Finding, check
from monitored_openai._local.history import History
from monitored_openai._local.server import LocalServer
from monitored_openai._metrics.names import DOCTOR
from tests.support.servers.loki import FakeLoki, Status
from tests.support.servers.remote_write import RemoteWriteProxy
from tests.support.spools import no_byte_written_beyond


def found_after(signal: str, answer: httpx.Response | Exception) -> Finding:
    """The finding of a back end that answers so, or fails so."""
    url: dict[str, Any] = {f"{signal}_url": "http://back-end.test"}
    settings = MonitoringSettings(**url)
    with respx.mock(using="httpcore") as back_end:
        back_end.post(host="back-end.test").mock(side_effect=[answer])
        return found(signal, check(settings))


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


@pytest.mark.parametrize(("signal", "other"), [("metrics", "logs"), ("logs", "metrics")])
def test_a_signal_without_an_address_is_named(signal: str, other: str) -> None:
    url: dict[str, Any] = {f"{signal}_url": "http://back-end.test"}
    with respx.mock(using="httpcore") as back_end:
        back_end.post(host="back-end.test").mock(side_effect=[httpx.Response(204)])
        findings = check(MonitoringSettings(**url))

    assert found(signal, findings).is_well
    assert found(other, findings).says == f"{other}_url is not set: the library pushes no {other}"
    assert found(other, findings).is_well


def test_the_advice_for_a_local_page_that_does_not_run_is_to_start_it() -> None:
    with respx.mock(using="httpcore") as back_end:
        back_end.post(host="127.0.0.1", port=8642).mock(side_effect=httpx.ConnectError("refused"))
        findings = check(MonitoringSettings.local())

    assert [(one.is_well, one.advice) for one in findings] == [
        (False, "start `monitored-openai local`, or check metrics_url"),
        (False, "start `monitored-openai local`, or check logs_url"),
    ]


@pytest.mark.parametrize(
    ("answer", "says", "advice"),
    [
        (httpx.Response(401), "refuses the credentials", "logs:write"),
        (httpx.Response(401, text="no org id"), "without a tenant: HTTP 401 no org id", "set tenant_id"),
        (httpx.Response(400, text="no org id"), "without a tenant: HTTP 400 no org id", "set tenant_id"),
        (
            httpx.Response(400, text="tenant ID 'a' contains unsupported character"),
            "refuses the tenant",
            "check tenant_id",
        ),
        (httpx.Response(403, text="tenant b is not allowed"), "refuses the tenant", "write to it"),
        (httpx.Response(403, text="Forbidden"), "a gateway before it", "tenant in tenant_id"),
        (httpx.Response(404), "at this address", "path in logs_url; Loki accepts logs at /loki/api/v1/push"),
        (httpx.Response(302), "at this address", "path in logs_url"),
        (httpx.Response(413), "limits the size", "max_content_bytes"),
        (httpx.Response(429), "accepts nothing now", "retries the push"),
        (httpx.Response(429, text="Ingestion rate limit exceeded for user fake"), "rate of pushes", "log_sample_ratio"),
        (httpx.Response(429, text="Per stream rate limit exceeded for stream"), "each stream", "log_shards"),
        (httpx.Response(429, text="Maximum active stream limit exceeded"), "number of streams", "extra_labels"),
        (httpx.Response(500, text="rpc error: received message larger than max"), "the size", "max_content_bytes"),
        (httpx.Response(400, text="has 16 label names; limit 15"), "limits labels", "extra_labels"),
        (httpx.Response(400, text="has timestamp too old"), "refuses the timestamp", "NTP"),
        (httpx.Response(503), "accepts nothing now", "retries the push"),
        (httpx.Response(400, text="loghttp.PushRequest: bad"), "refuses the push", "labels"),
        (httpx.ConnectError("name unknown"), "cannot be reached: ConnectError: name unknown", "host and port"),
        (httpx.ReadError("broken off"), "does not answer: ReadError: broken off", "host and port"),
    ],
)
def test_each_answer_means_something_and_says_what_to_do(
    answer: httpx.Response | Exception, says: str, advice: str
) -> None:
    finding = found_after("logs", answer)

    assert not finding.is_well
    assert says in finding.says
    assert advice in finding.advice
    assert "remote" not in finding.advice


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (httpx.Response(404), "--web.enable-remote-write-receiver"),
        (httpx.Response(400, text="received a series whose number of labels exceeds the limit"), "label_names"),
        (
            httpx.Response(429, text="per-user series limit of 150000 exceeded (err-mimir-max-series-per-user)"),
            "max_label_sets",
        ),
        (
            httpx.Response(
                429, text="the request has been rejected because the tenant exceeded the ingestion rate limit"
            ),
            "push_",
        ),
        (httpx.Response(500, text="too old sample"), "NTP"),
        (httpx.Response(415), "metrics_protocol"),
    ],
)
def test_what_refuses_metrics_gets_the_advice_for_metrics(answer: httpx.Response, advice: str) -> None:
    finding = found_after("metrics", answer)

    assert advice in finding.advice
    assert "logs" not in finding.advice


STREAM = 'stream \'{environment="no org id, out of order", job="integrations/openai"}\''
ADJUST = "To adjust the related per-tenant limit, configure {}, or contact your service administrator."
MIMIR = {
    "failed pushing to ingester: user=acme: per-user series limit of 150000 exceeded (err-mimir-max-series-per-user). "
    + ADJUST.format("-ingester.max-global-series-per-user"): (400, "max_label_sets"),
    "received a series whose number of labels exceeds the limit (actual: 31, limit: 30) series: 'up{tenant=\"a\"}' "
    "(err-mimir-max-label-names-per-series). " + ADJUST.format("-validation.max-label-names-per-series"): (
        400,
        "label_names, or raise the label limits",
    ),
    "received a series whose label value length exceeds the limit, label: 'model', value: 'x' (truncated) series: 'x' "
    "(err-mimir-label-value-too-long). " + ADJUST.format("-validation.max-length-label-value"): (
        400,
        "label_names, or raise the label limits",
    ),
    "received a sample whose timestamp is too far in the future, timestamp: 1770000000000 series: 'x' "
    "(err-mimir-too-far-in-future). " + ADJUST.format("-validation.create-grace-period"): (400, "NTP"),
    "received a sample whose timestamp is too far in the past, timestamp: 1 series: 'x' (err-mimir-too-far-in-past). "
    + ADJUST.format("-validation.past-grace-period"): (400, "NTP"),
    "the request has been rejected because the tenant exceeded the ingestion rate limit, set to 10 items/s with a "
    "maximum allowed burst of 100. This limit is applied on the total number of samples, exemplars and metadata "
    "received across all distributors (err-mimir-tenant-max-ingestion-rate). To adjust the related per-tenant limits, "
    "configure -distributor.ingestion-rate-limit and -distributor.ingestion-burst-size, or contact your service "
    "administrator.": (429, "push_interval"),
    "the incoming push request has been rejected because its message size of 200000000 bytes is larger than the allowed "
    "limit of 104857600 bytes (err-mimir-distributor-max-write-message-size). To adjust the related limit, configure "
    "-distributor.max-recv-msg-size, or contact your service administrator.": (400, "size limit for requests"),
    "no org id": (401, "set tenant_id"),
    "remote write receiver needs to be enabled with --web.enable-remote-write-receiver": (404, "--web.enable"),
    "the text of no rule": (400, "metrics_protocol"),
    "<html><title>403 Forbidden</title></html>": (403, "metrics:write"),
}
LOKI = {
    f"Per stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest for {STREAM} totaling 5MB, consider "
    "splitting a stream via additional labels or contact your Loki administrator to see if the limit can be "
    "increased": (429, "log_shards, or Loki's per_stream_rate_limit"),
    'Maximum active stream limit exceeded when trying to create stream {a="b"}, reduce the number of active streams '
    "(reduce labels or reduce label values), or contact your Loki administrator to see if the limit can be increased, "
    "user: 'fake'": (429, "max_global_streams_per_user"),
    "Ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to ingest '1' lines "
    "totaling '100' bytes, reduce log volume or contact your Loki administrator to see if the limit can be "
    "increased": (429, "log_sample_ratio"),
    f"{STREAM} includes structured metadata, but this feature is disallowed. Please see "
    "`limits_config.structured_metadata` or contact your Loki administrator to enable it.": (
        400,
        "allow_structured_metadata",
    ),
    f"{STREAM} has structured metadata size too large: '70000' bytes, limit: '65536' bytes. Please see "
    "`limits_config.max_structured_metadata_size` or contact your Loki administrator to increase it.": (
        400,
        "max_structured_metadata_size",
    ),
    f"Max entry size '262144' bytes exceeded for {STREAM} while adding an entry with length '300000' bytes": (
        400,
        "max_line_size",
    ),
    f"entry for {STREAM} has 16 label names; limit 15": (400, "fewer or shorter extra_labels"),
    f"entry for {STREAM} has timestamp too old: 2020-01-01T00:00:00Z, oldest acceptable timestamp is: "
    "2026-01-01T00:00:00Z": (400, "NTP"),
    f"entry for {STREAM} has timestamp too new: 2030-01-01T00:00:00Z": (400, "NTP"),
    "entry too far behind, entry timestamp is: 2026-01-01T00:00:00Z, oldest acceptable timestamp is: "
    "2026-01-01T01:00:00Z": (400, "NTP"),
    "no org id": (401, "set tenant_id"),
    "tenant ID 'a b' contains unsupported character ' '": (400, "check tenant_id"),
    '{"status":"error","error":"authentication error: invalid token for tenant"}': (401, "set access_token"),
    "<html><h1>403 Forbidden</h1></html>": (403, "logs:write"),
    "error at least one label pair is required per stream": (400, "extra_labels"),
    "unsupported media type": (415, "/loki/api/v1/push"),
}


@pytest.mark.parametrize(
    ("signal", "others", "text", "status", "advice"),
    [
        *(("metrics", r"[Ll]oki|log_|logs|content", text, *rest) for text, rest in MIMIR.items()),
        *(("logs", r"metrics|label_names|Prometheus|push_interval", text, *rest) for text, rest in LOKI.items()),
    ],
)
def test_complete_texts_of_refusals_get_the_advice_of_their_signal(
    signal: Literal["metrics", "logs"], others: str, text: str, status: int, advice: str
) -> None:
    finding = found_after(signal, httpx.Response(status, text=text))

    assert advice in finding.advice
    assert ("tenant_id" in finding.advice) == ("tenant_id" in advice or status == 403)
    assert not re.search(others, finding.advice)
    assert text[:300] in finding.says


@pytest.mark.parametrize(
    ("loki", "settings", "advice"),
    [
        ({"auth_enabled": True}, {}, "set tenant_id"),
        ({"bearer": "right"}, {"access_token": "wrong-one"}, "access_token"),
    ],
)
def test_a_loki_that_refuses_is_understood(loki: dict[str, Any], settings: dict[str, Any], advice: str) -> None:
    with FakeLoki(**loki) as strict:
        finding = found("logs", check(MonitoringSettings(logs_url=strict.push_url, **settings)))

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
    said = capsys.readouterr().out
    assert "neither metrics_url nor logs_url is set: the library pushes nothing" in said
    assert "if Prometheus scrapes the metrics and you need no logs, run `monitored-openai doctor --scraped`" in said
    monkeypatch.setenv("MONITORED_OPENAI_LOGS_URL", loki.push_url)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out == (
        "ok     metrics  metrics_url is not set: the library pushes no metrics\nok     logs     Loki accepts logs\n"
    )
    monkeypatch.setenv("MONITORED_OPENAI_LOGS_URL", "nonsense")
    assert main(["doctor"]) == 2


def test_settings_for_scraping_alone_are_well_if_the_metrics_are_scraped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--scraped"]) == 0

    assert capsys.readouterr().out == (
        "ok     scraping the collector is available; open your page /metrics to see whether the application has "
        "registered it\n"
        "ok     metrics  metrics_url is not set: the library pushes no metrics\n"
        "ok     logs     logs_url is not set: the library pushes no logs\n"
    )


def test_scraping_without_its_package_is_found(monkeypatch: pytest.MonkeyPatch, loki: FakeLoki) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "prometheus_client", raising=False)
    for url in (loki.push_url, None):
        finding = found("scraping", check(MonitoringSettings(logs_url=url), scraped=True))
        assert (finding.is_well, finding.advice) == (False, "pip install 'monitored-openai[scrape]'")


def test_settings_that_switch_the_library_off_are_found(
    loki: FakeLoki, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_LOGS_URL", loki.push_url)
    monkeypatch.setenv("MONITORED_OPENAI_ENABLED", "false")
    assert main(["doctor"]) == 1
    assert "WRONG  settings enabled is false: the library monitors no calls" in capsys.readouterr().out

    monkeypatch.setenv("MONITORED_OPENAI_ENABLED", "true")
    monkeypatch.setenv("MONITORED_OPENAI_ON_ERROR", "disable")
    monkeypatch.setenv("MONITORED_OPENAI_LOGS_URL", "nonsense")
    assert main(["doctor"]) == 2
    assert capsys.readouterr().err.startswith("logs_url (MONITORED_OPENAI_LOGS_URL): ")


def test_a_directory_for_the_host_without_metrics_to_push_has_no_effect(loki: FakeLoki, tmp_path: Path) -> None:
    findings = check(MonitoringSettings(logs_url=loki.push_url, host_dir=str(tmp_path / "host")))

    assert found("host", findings) == Finding(
        about="host", is_well=True, says="host_dir has no effect, because metrics_url is not set"
    )
    assert not (tmp_path / "host").exists()


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({}, "set access_token (or logs_token)"),
        ({"access_token": "wrong-one"}, "check access_token (or logs_token)"),
        ({"headers": {"authorization": "Bearer wrong-one"}}, "check access_token (or logs_token)"),
    ],
)
def test_a_missing_token_is_to_be_set_and_a_wrong_one_to_be_checked(given: dict[str, Any], advice: str) -> None:
    with FakeLoki(bearer="right") as strict:
        finding = found("logs", check(MonitoringSettings(logs_url=strict.push_url, **given)))

    assert (finding.is_well, finding.advice[: len(advice)]) == (False, advice)


def test_the_local_page_refuses_a_wrong_token_and_another_protocol(tmp_path: Path) -> None:
    token = "a-long-random-text"
    with (
        closing(History(tmp_path / "history.sqlite3", say=lambda _: None)) as history,
        LocalServer(history, token=token) as server,
    ):
        right = check(MonitoringSettings.local(server.url, access_token=token))
        wrong = check(MonitoringSettings.local(server.url, access_token="another-text"))
        influx = check(MonitoringSettings(metrics_url=server.url, metrics_protocol="influx", access_token=token))

    assert [one.is_well for one in right] == [True, True]
    assert [(one.is_well, one.advice.partition(" (")[0]) for one in wrong] == [(False, "check access_token")] * 2
    assert found("metrics", influx).advice.startswith("check metrics_protocol and the path in metrics_url")


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
    named = "MONITORED_OPENAI_METRIC_URL is not a setting; did you mean MONITORED_OPENAI_METRICS_URL?"
    assert f"WRONG  settings {named}" in shown.out
    assert (shown.out + shown.err).count("METRIC_URL") == 1
    assert "secret-value" not in shown.out + shown.err
