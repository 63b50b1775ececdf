"""`MonitoringSettings`: what it takes, what it makes of it, what it refuses and that it keeps secrets to itself."""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai._settings import model
from monitored_openai._settings.model import ENV_PREFIX, MonitoringSettings, SettingsError
from monitored_openai._settings.urls import Signal

ROOT = Path(__file__).resolve().parents[2]
SECRET = "glc_planted-s3cret"
SELF_SIGNED = """\
-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUR2NolJgPnMUo0V1D//S98GnbNp0wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjMxMTM3MDlaGA8yMTI2MTAzMDExMzcw
OVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGCw
pQBn/O7TLIyjHmy+vt73d+oL0Hi5y5B/XjSTfxZnRH1BnhJfNm2dOW/rocj2Jlnt
zOXusFwYGLWEy8LuhXqjUzBRMB0GA1UdDgQWBBQPrSnwcEQNWDjR5Ox/LxqGO8RL
VTAfBgNVHSMEGDAWgBQPrSnwcEQNWDjR5Ox/LxqGO8RLVTAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIG6ivW9pVElAmLfK5+FFtxn81YQVT4YeNA08
MODaHaPOAiEApGPQfJWozNhBFVGS0f/mnpMk4Nv8mAVU1+c4gje2vVE=
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgJNdfDQ6vi5mC7BdP
0yuDeGqpLk4dlntNqnLhRdGloLihRANCAARgsKUAZ/zu0yyMox5svr7e93fqC9B4
ucuQf140k38WZ0R9QZ4SXzZtnTlv66HI9iZZ7czl7rBcGBi1hMvC7oV6
-----END PRIVATE KEY-----
"""  # made for these tests with `openssl req -x509 -newkey ec`; it opens nothing


@pytest.fixture(autouse=True)
def _nothing_logged_yet() -> Iterator[None]:
    model._log_once.cache_clear()
    yield
    model._log_once.cache_clear()


def refusal(**values: Any) -> str:
    """The text of the error that these values are refused with."""
    with pytest.raises(SettingsError) as caught:
        MonitoringSettings(**values)
    return str(caught.value)


def made_or_refused_with_a_line(**values: Any) -> MonitoringSettings | None:
    """The settings, or ``None`` where they were refused as they should be; any other error goes on."""
    try:
        return MonitoringSettings(**values)
    except SettingsError as error:
        lines = str(error).splitlines()
    assert len(lines) == 1
    return None


def shout(text: str, field: str) -> str:
    return f"{field}:{text}".upper()


def note(record: object) -> None:
    assert record is not None


async def note_later(record: object) -> None:
    assert record is not None


class Notes:
    def add(self, record: object) -> None:
        assert record is not None


CLOUD = "https://prometheus-prod-03-prod-us-central-0.grafana.net"
CLOUD_LOGS = "https://logs-prod-006.grafana.net"


@pytest.mark.parametrize(
    ("given_url", "pushed_to"),
    [
        (f"{CLOUD}/api/prom", f"{CLOUD}/api/prom/push"),
        (f"{CLOUD}/api/prom/", f"{CLOUD}/api/prom/push"),
        (f"{CLOUD}/api/prom/push", f"{CLOUD}/api/prom/push"),
        (f"{CLOUD}/api/prom/push/", f"{CLOUD}/api/prom/push"),
        (CLOUD, f"{CLOUD}/api/prom/push"),
        (f"{CLOUD}/", f"{CLOUD}/api/prom/push"),
        ("https://evilgrafana.net", "https://evilgrafana.net/api/v1/write"),
        ("http://prometheus:9090", "http://prometheus:9090/api/v1/write"),
        ("http://prometheus:9090/", "http://prometheus:9090/api/v1/write"),
        ("http://prometheus:9090/api/v1/write", "http://prometheus:9090/api/v1/write"),
        ("http://mimir/api/v1/push", "http://mimir/api/v1/push"),
        ("https://proxy.example/team/api/v1/write", "https://proxy.example/team/api/v1/write"),
        ("https://proxy.example/its/own/way/", "https://proxy.example/its/own/way/"),
        ("HTTPS://Prometheus.Example:443", "https://prometheus.example/api/v1/write"),
        ("http://host_with_underscore.:80/", "http://host_with_underscore./api/v1/write"),
        ("http://[2001:DB8::0:1]:9090", "http://[2001:db8::1]:9090/api/v1/write"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example/api/v1/write"),
    ],
)
def test_a_metrics_url_becomes_the_full_push_url(given_url: str, pushed_to: str) -> None:
    made = MonitoringSettings(metrics_url=given_url)
    assert made.metrics_url == pushed_to
    assert MonitoringSettings(metrics_url=pushed_to) == made


@pytest.mark.parametrize(
    ("given_url", "pushed_to"),
    [
        # as the predecessor makes it of the Prometheus URL of a stack
        (
            "https://prometheus-prod-01-eu-west-0.grafana.net/api/prom",
            "https://influx-prod-01-eu-west-0.grafana.net/api/v1/push/influx/write",
        ),
        (f"{CLOUD}/api/prom/push/", f"{CLOUD.replace('prometheus', 'influx')}/api/v1/push/influx/write"),
        (
            "https://prometheus-us-central1.grafana.net/api/prom",
            "https://influx-prod-06-prod-us-central-0.grafana.net/api/v1/push/influx/write",
        ),
        ("http://prometheus.local:9090/api/prom", "http://influx.local:9090/api/v1/push/influx/write"),
        ("http://127.0.0.1:9090/api/prom", "http://127.0.0.1:9090/api/prom"),
        # as Grafana Cloud has it now: on the same host
        (CLOUD, f"{CLOUD}/api/v1/push/influx/write"),
        (f"{CLOUD}/api/v1/push/influx", f"{CLOUD}/api/v1/push/influx/write"),
        (f"{CLOUD}/api/v1/push/influx/write", f"{CLOUD}/api/v1/push/influx/write"),
        ("http://mimir/api/v1/push", "http://mimir/api/v1/push/influx/write"),
        # others
        ("http://victoria:8428", "http://victoria:8428/write"),
        ("http://victoria:8428/influx/", "http://victoria:8428/influx/write"),
        ("http://influxdb:8086/write/?db=openai&rp=a", "http://influxdb:8086/write?db=openai&rp=a"),
        ("http://influxdb:8086/api/v2?org=o&bucket=b%20c", "http://influxdb:8086/api/v2/write?org=o&bucket=b%20c"),
        ("http://gateway/lines", "http://gateway/lines"),
    ],
)
def test_a_metrics_url_for_influx_becomes_the_full_push_url(given_url: str, pushed_to: str) -> None:
    made = MonitoringSettings(metrics_url=given_url, metrics_protocol="influx")
    assert made.metrics_url == pushed_to
    assert MonitoringSettings(metrics_url=pushed_to, metrics_protocol="influx") == made


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("https://host/api/v1/write", "metrics_protocol"),
        ("https://host/loki/api/v1/push", "logs_url"),
        ("https://host/otlp", "OTLP"),
        ("https://host/api/v1/query", "queries"),
        ("https://host/write/more", "given once"),
        ("https://host/write?db=a&u=root&p=secret", "query"),
        ("https://host/write?precision=ms", "query"),
        ("https://host/write?", "query"),
        (CLOUD_LOGS, "logs_url"),
    ],
)
def test_a_metrics_url_that_influx_cannot_mean_is_refused_with_the_fix(url: str, hint: str) -> None:
    text = refusal(metrics_url=url, metrics_protocol="influx")
    assert text.startswith("metrics_url: ")
    assert hint in text


@pytest.mark.parametrize(
    ("given_url", "pushed_to"),
    [
        (CLOUD_LOGS, f"{CLOUD_LOGS}/loki/api/v1/push"),
        ("http://loki:3100", "http://loki:3100/loki/api/v1/push"),
        ("http://loki:3100/", "http://loki:3100/loki/api/v1/push"),
        ("http://loki:3100/loki", "http://loki:3100/loki/api/v1/push"),
        ("http://loki:3100/loki/api/v1/", "http://loki:3100/loki/api/v1/push"),
        ("http://loki:3100/loki/api/v1/push", "http://loki:3100/loki/api/v1/push"),
        ("http://loki:3100/loki/api/v1/push/", "http://loki:3100/loki/api/v1/push"),
        ("http://victoria:9428/insert/loki/api/v1/push", "http://victoria:9428/insert/loki/api/v1/push"),
        ("http://old-loki/api/prom/push", "http://old-loki/api/prom/push"),
        ("https://proxy.example/logs", "https://proxy.example/logs"),
    ],
)
def test_a_logs_url_becomes_the_full_push_url(given_url: str, pushed_to: str) -> None:
    assert MonitoringSettings(logs_url=given_url).logs_url == pushed_to


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("", "https://"),
        ("   ", "https://"),
        ("prometheus.example", "https://"),
        ('"https://prometheus.example"', "quotation marks"),
        (" https://prometheus.example", "spaces"),
        ("file:///etc/passwd", "https://"),
        ("ftp://host/", "https://"),
        ("https://", "no host"),
        ("https:///api/v1/write", "no host"),
        ("https://:9090", "no host"),
        ("https://host/?a=b", "query"),
        ("https://host/#top", "fragment"),
        ("https://host?", "query"),
        ("https://host:0", "port"),
        ("https://host:99999", "port"),
        ("https://host:port", "port"),
        ("https://[::1", "host or port"),
        ("https://[::1]x/", "host or port"),
        ("https://[zz]/", "host or port"),
        ("https://[v1.a]/", "IPv6"),
        ("https://ho st/", "space"),
        ("https://host/a\nb", "line break"),
        ("https://us\ner@host/", "one line"),
        ("https://user:%0d%0a@host/", "line break"),
        ("https://host/a\\b", "backslash"),
        ("https://-host-/", "host name"),
        ("https://a..b/", "host name"),
        ("https://" + "a" * 64 + ".example", "host name"),
        ("https://b\xfccher.example", "xn--"),
        ("https://1.2.3", "IPv4"),
        ("https://2852039166/", "IPv4"),
        ("https://0xA9FEA9FE/", "IPv4"),
        ("https://256.1.1.1/", "IPv4"),
        ("https://host//api/v1/write", "path segment"),
        ("https://host/a/../api/v1/write", "path segment"),
        ("https://host/..", "path segment"),
        ("https://host/caf\xe9", "percent-encode"),
        ("https://host/100%", "percent-encode"),
        ("https://host/api/v1/write/api/v1/write", "given once"),
        ("https://host/api/prom/push/api/prom/push", "given once"),
        (f"{CLOUD}/api/v1/push/influx/write", "Influx"),
        ("https://otlp-gateway.grafana.net/otlp/v1/metrics", "OTLP"),
        (f"{CLOUD}/api/prom/api/v1/query", "queries"),
        ("https://host/loki/api/v1/push", "logs_url"),
        (CLOUD_LOGS, "logs_url"),
        ("http://169.254.169.254/", "link-local"),
        ("http://[fe80::1]/", "link-local"),
        ("http://[fe80::1%25eth0]/", "link-local"),
        ("http://[::ffff:169.254.169.254]/", "link-local"),
        ("https://:password@host/", "no user name"),
        (5, "text"),
        (b"https://host", "text"),
    ],
)
def test_a_metrics_url_that_cannot_work_is_refused_with_the_fix(url: object, hint: str) -> None:
    text = refusal(metrics_url=url)
    assert text.startswith("metrics_url: ")
    assert hint in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("https://host/loki/api/v1/push/loki/api/v1/push", "given once"),
        ("https://host/loki/api/v1/push/loki", "given once"),
        ("https://host/api/v1/write", "metrics_url"),
        (f"{CLOUD}/api/prom/push", "metrics_url"),
        ("https://host/loki/api/v1/query_range", "queries"),
        ("https://host/otlp/v1/logs", "OTLP"),
    ],
)
def test_a_logs_url_that_cannot_work_is_refused_with_the_fix(url: str, hint: str) -> None:
    text = refusal(logs_url=url)
    assert text.startswith("logs_url: ")
    assert hint in text


def test_link_local_addresses_can_be_allowed() -> None:
    made = MonitoringSettings(metrics_url="http://169.254.1.2:9090", allow_insecure=True)
    assert made.metrics_url == "http://169.254.1.2:9090/api/v1/write"


def test_userinfo_in_a_url_becomes_the_credentials_of_that_lane() -> None:
    made = MonitoringSettings(
        metrics_url="https://us%20er:p%40ss@host/", logs_url="https://only-user@loki", logs_token="t"
    )
    assert made.metrics_url == "https://host/api/v1/write"
    assert made.metrics_username == "us er"
    assert made.metrics_token is not None
    assert made.metrics_token.get_secret_value() == "p@ss"
    assert (made.logs_url, made.logs_username) == ("https://loki/loki/api/v1/push", "only-user")
    assert made.access_token is None


def test_an_at_sign_in_a_path_is_no_userinfo() -> None:
    assert MonitoringSettings(metrics_url="https://host/a@b/write").metrics_url == "https://host/a@b/write"


@pytest.mark.parametrize("clash", [{"metrics_username": "7"}, {"metrics_token": SECRET}])
def test_credentials_given_in_the_url_and_by_field_are_refused(clash: dict[str, str]) -> None:
    text = refusal(metrics_url=f"https://user:{SECRET}@host/", **clash)
    assert text.startswith("metrics_url: ")
    assert next(iter(clash)) in text


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"metrics_url": "http://host", "access_token": SECRET}, "metrics_url"),
        ({"logs_url": "http://host", "logs_token": SECRET}, "logs_url"),
        ({"logs_url": f"http://u:{SECRET}@host"}, "logs_url"),
        ({"logs_url": "http://10.0.0.1", "headers": {"X-Api-Key": SECRET}}, "logs_url"),
        ({"logs_url": "http://localhost.evil.example", "access_token": SECRET}, "logs_url"),
        ({"logs_url": "http://localhost", "access_token": SECRET, "proxy": "http://proxy:3128"}, "logs_url"),
        ({"proxy": f"http://user:{SECRET}@proxy:3128"}, "proxy"),
    ],
)
def test_credentials_over_http_to_another_machine_need_allow_insecure(values: dict[str, Any], field: str) -> None:
    text = refusal(**values)
    assert text.startswith(f"{field}")
    assert "https://" in text
    assert "allow_insecure" in text
    MonitoringSettings(**values, allow_insecure=True)


@pytest.mark.parametrize("host", ["localhost:3100", "127.0.0.1", "[::1]:9090", "[::ffff:127.0.0.1]", "app.localhost"])
def test_credentials_over_http_to_this_machine_are_fine(host: str) -> None:
    assert MonitoringSettings(metrics_url=f"http://{host}", access_token=SECRET).access_token is not None


def test_http_without_credentials_is_fine() -> None:
    made = MonitoringSettings(metrics_url="http://prometheus:9090", tenant_id="team-a", headers={"X-Team": "a"})
    assert made.request_headers("metrics") == {"X-Team": "a", "X-Scope-OrgID": "team-a"}


@pytest.mark.parametrize("lane", ["metrics", "logs"])
def test_a_username_without_a_token_is_refused(lane: Signal) -> None:
    other = "logs" if lane == "metrics" else "metrics"
    text = refusal(**{f"{lane}_username": "7", f"{other}_token": SECRET})
    assert text == f"{lane}_username: has no token to go with it; set access_token or {lane}_token"


def test_a_username_makes_basic_and_its_absence_bearer_credentials() -> None:
    made = MonitoringSettings(metrics_username=123456, access_token="one", logs_token="two")
    basic = "Basic " + base64.b64encode(b"123456:one").decode()
    assert made.request_headers("metrics") == {"Authorization": basic}
    assert made.request_headers("logs") == {"Authorization": "Bearer two"}
    assert MonitoringSettings().request_headers("logs") == {}


@pytest.mark.parametrize("field", ["access_token", "metrics_token", "logs_token", "metrics_username", "logs_username"])
@pytest.mark.parametrize(
    "value", ["", " ", "a\r\nb", "a\n", " a", "\u20ac", "'quoted'", '"quoted"', "a\x00b", "\ud800", b"a", 1.5]
)
def test_credentials_that_no_header_can_carry_are_refused(field: str, value: object) -> None:
    text = refusal(**{field: value})
    assert text.startswith(f"{field}: ")


def test_a_colon_in_a_username_and_a_space_in_a_bearer_token_are_refused() -> None:
    assert refusal(metrics_username="a:b", access_token="t").startswith("metrics_username: has a colon")
    assert refusal(logs_token="a b", access_token="t").startswith("logs_token: has a space")
    assert MonitoringSettings(logs_token="a b", logs_username="u").logs_token is not None


@pytest.mark.parametrize("value", ["a/b", "a|b", "a b", "a\n", "", "..", "x" * 151, "\xfc", True])
def test_tenants_that_mimir_and_loki_refuse_are_refused(value: object) -> None:
    assert refusal(tenant_id=value).startswith("tenant_id: ")


@pytest.mark.parametrize(
    ("headers", "hint"),
    [
        ({"Content-Type": "x"}, "content-type"),
        ({"content-encoding": "x"}, "content-encoding"),
        ({"User-Agent": "x"}, "user-agent"),
        ({"X-Prometheus-Remote-Write-Version": "x"}, "x-prometheus-remote-write-version"),
        ({"Host": "x"}, "host"),
        ({"Content-Length": "1"}, "content-length"),
        ({"Bad Name": "x"}, "header name"),
        ({"": "x"}, "header name"),
        ({"X-A\r\n": "x"}, "header name"),
        ({"X-A": f"{SECRET}\r\nX-B: y"}, "Latin-1"),
        ({"X-A": f"{SECRET}\u20ac"}, "Latin-1"),
        ({"X-A": f" {SECRET}"}, "Latin-1"),
        ({"X-A": ""}, "Latin-1"),
        ({"X-A": 5}, "text"),
        ({"X-A": "a", "x-a": "b"}, "twice"),
        ({5: "x"}, "keys"),
        ("no equals sign", "k=v"),
        ("X-A=1,X-A=2", "twice"),
        ('{"X-A": "1", "X-A": "2"}', "twice"),
        (["X-A"], "mapping"),
    ],
)
def test_headers_that_may_not_or_cannot_be_sent_are_refused(headers: object, hint: str) -> None:
    text = refusal(headers=headers)
    assert text.startswith("headers: ")
    assert hint in text
    assert SECRET not in text


def test_headers_may_not_replace_what_token_and_tenant_set() -> None:
    headers = {"Authorization": "Basic x", "X-Scope-OrgID": "a"}
    assert MonitoringSettings(headers=headers).request_headers("logs") == headers
    text = refusal(headers=headers, metrics_token="t", tenant_id="a")
    assert [line.split(";")[0] for line in text.splitlines()] == [
        "headers: sets authorization, which the token sets",
        "headers: sets x-scope-orgid, which tenant_id sets",
    ]


@pytest.mark.parametrize(
    "name", ["a-b", "a.b", "1a", "", "\xe4", "a\n", "__a", "gen_ai_x", "job", "instance", "le", "x" * 129]
)
def test_label_names_that_are_illegal_or_reserved_are_refused(name: str) -> None:
    assert refusal(label_names=[name]).startswith("label_names: has a")
    assert refusal(extra_labels={name: "x"}).startswith("extra_labels: has a")


@pytest.mark.parametrize("value", ["", " ", "a\nb", "a\x00", "\ud800", "\u00fc" * 513, 5, None])
def test_label_values_that_would_be_lost_on_the_way_are_refused(value: object) -> None:
    for field in ("environment", "job", "instance"):
        assert refusal(**{field: value}).startswith(f"{field}: ")
    assert refusal(extra_labels={"team": value}).startswith("extra_labels: ")


def test_label_values_may_be_any_readable_text_up_to_1024_bytes() -> None:
    made = MonitoringSettings(environment="\u00fc" * 512, job="a b/c", service_name="\U0001f600", provider="openai")
    assert (len(made.environment), made.job, made.service_name) == (512, "a b/c", "\U0001f600")


def test_labels_are_bounded_and_disjoint() -> None:
    names = [f"n{number}" for number in range(11)]
    assert "more than 10" in refusal(label_names=names)
    assert "more than 10" in refusal(extra_labels=dict.fromkeys(names, "x"))
    assert "twice" in refusal(label_names=["a", "a"])
    assert refusal(label_names=["a"], extra_labels={"a": "b"}).startswith("label_names: has a name that extra_labels")


NUMBERS = {
    "max_label_sets": (0, 100_001),
    "log_shards": (0, 129),
    "max_content_bytes": (1023, 240 * 1024 + 1),
    "log_sample_ratio": (-0.1, 1.1),
    "push_interval": (0, 60.1),
    "log_linger": (-0.1, 60.1),
    "queue_size": (0, 200_001),
    "queue_bytes": (1023, 1024**3 + 1),
    "exit_timeout": (-1, 301),
}


@pytest.mark.parametrize("field", NUMBERS)
def test_numbers_out_of_bounds_or_no_numbers_are_refused(field: str) -> None:
    no_numbers: list[object] = ["nan", "-inf", "5s", "", True, "true", []]
    for value in [*NUMBERS[field], -1, float("nan"), float("inf"), 10**400, *no_numbers]:
        text = refusal(**{field: value})
        assert text.startswith(f"{field}: "), value
        assert len(text.splitlines()) == 1


def test_numbers_may_be_written_as_text() -> None:
    made = MonitoringSettings(queue_size="50", exit_timeout="1e1", push_interval=" 5 ")
    assert (made.queue_size, made.exit_timeout, made.push_interval) == (50, 10.0, 5.0)


def test_the_queue_holds_at_least_one_full_entry() -> None:
    assert refusal(queue_bytes=2048).startswith("queue_bytes: is less than max_content_bytes")
    assert MonitoringSettings(queue_bytes=2048, max_content_bytes=2048).queue_bytes == 2048


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({}, 15),
        ({"metrics_url": "https://host"}, 15),
        ({"metrics_url": CLOUD}, 60),
        ({"logs_url": CLOUD_LOGS}, 15),
        ({"metrics_url": CLOUD, "push_interval": 20}, 20),
    ],
)
def test_metrics_are_pushed_every_15_seconds_and_to_grafana_cloud_every_60(
    values: dict[str, Any], seconds: float
) -> None:
    assert MonitoringSettings(**values).push_seconds == seconds


@pytest.mark.parametrize(
    ("proxy", "hint"),
    [
        (f"socks5://u:{SECRET}@proxy:1080", "SOCKS"),
        ("SOCKS5H://proxy", "SOCKS"),
        ("proxy:3128", "https://"),
        ("http://proxy:3128/path", "path"),
        ("http://proxy:0", "port"),
        ("http://169.254.169.254", "link-local"),
        (f"https://u\n:{SECRET}@proxy", "line"),
        (5, "text"),
    ],
)
def test_proxies_that_cannot_be_used_are_refused(proxy: object, hint: str) -> None:
    text = refusal(proxy=proxy)
    assert text.startswith("proxy: ")
    assert hint in text
    assert SECRET not in text


def test_a_proxy_may_carry_credentials_and_hides_them() -> None:
    made = MonitoringSettings(proxy=f"https://user:{SECRET}@proxy:3128")
    assert made.proxy is not None
    assert made.proxy.get_secret_value() == f"https://user:{SECRET}@proxy:3128"
    assert SECRET not in repr(made)


def test_verify_takes_a_certificate_file_or_directory(tmp_path: Path) -> None:
    certificate = tmp_path / "ca.pem"
    certificate.write_text(SELF_SIGNED)
    assert MonitoringSettings(verify=certificate).verify == str(certificate)
    assert MonitoringSettings(verify=str(tmp_path)).verify == str(tmp_path)
    assert MonitoringSettings(verify=False).verify is False
    assert MonitoringSettings(verify="true").verify is True


def test_verify_refuses_what_holds_no_certificate(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for value in (tmp_path / "missing.pem", empty, "~no-such-user-here/ca.pem", "", "\x00", "~\x00", "\ud800", None, 1):
        assert refusal(verify=value).startswith("verify: "), value


@pytest.mark.parametrize("value", ["false", "0", "no", "OFF"])
def test_verify_cannot_be_switched_off_by_the_environment(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_VERIFY", value)
    assert refusal().startswith("verify (MONITORED_OPENAI_VERIFY): cannot be switched off")


def test_a_client_certificate_is_one_file_or_two(tmp_path: Path) -> None:
    both, key = tmp_path / "both.pem", tmp_path / "key.pem"
    both.write_text(SELF_SIGNED)
    key.write_text(SELF_SIGNED[SELF_SIGNED.index("-----BEGIN PRIVATE") :])
    assert MonitoringSettings(client_cert=both).client_cert == (str(both),)
    assert MonitoringSettings(client_cert=f"{both},{key}").client_cert == (str(both), str(key))
    assert MonitoringSettings(client_cert=(both, key)).client_cert == (str(both), str(key))
    wrong: list[object] = [key, tmp_path / "missing.pem", "", (), (both, key, "password"), 5, (both, 5), {"a": "b"}]
    for value in wrong:
        assert refusal(client_cert=value).startswith("client_cert: "), value


@pytest.mark.parametrize(
    ("prices", "hint"),
    [
        ({"m": {"input": 1}}, "output"),
        ({"m": {"output": 1}}, "input"),
        ({"m": {"input": 1, "output": 2, "audio": 3}}, "nothing else"),
        ({"m": {"input": 1, "output": -2}}, "number"),
        ({"m": {"input": float("nan"), "output": 2}}, "number"),
        ({"m": {"input": float("inf"), "output": 2}}, "number"),
        ({"m": {"input": 10**400, "output": 2}}, "number"),
        ({"m": {"input": True, "output": 2}}, "number"),
        ({"m": {"input": "1", "output": 2}}, "number"),
        ({"m": {"input": 1, "output": 2, "cached_input": None}}, "number"),
        ({"m": {1: 1, "input": 1, "output": 2}}, "nothing else"),
        ({"m": 3}, "input"),
        ({"": {"input": 1, "output": 2}}, "empty"),
        ("m=3", "input"),
        ("{not json", "JSON"),
        ("[" * 100_000, "JSON"),
        ('{"m": ' * 100_000, "JSON"),
    ],
)
def test_prices_that_make_no_sense_are_refused(prices: object, hint: str) -> None:
    text = refusal(prices=prices)
    assert text.startswith("prices: ")
    assert hint in text


def test_prices_are_read_as_given() -> None:
    made = MonitoringSettings(
        prices={"m": {"input": 1, "cached_input": 0.25, "output": 4}, "free": {"input": 0, "output": 0}}
    )
    assert made.prices == {
        "m": {"input": 1.0, "cached_input": 0.25, "output": 4.0},
        "free": {"input": 0.0, "output": 0.0},
    }


def test_redact_takes_patterns_or_a_named_function() -> None:
    assert MonitoringSettings(redact=[r"\d{2,4}", "b"]).redact == (r"\d{2,4}", "b")
    assert MonitoringSettings(redact=r"\d+,b").redact == (r"\d+", "b")
    assert MonitoringSettings(redact=r'["\\d{2,4}"]').redact == (r"\d{2,4}",)
    assert MonitoringSettings(redact="[0-9]{16}").redact == ("[0-9]{16}",)
    assert MonitoringSettings(redact=shout).redact is shout


@pytest.mark.parametrize(
    ("redact", "hint"),
    [
        (["("], "regular expression"),
        (["(" * 5000], "regular expression"),
        (["a{99999999999}"], "10,000 times"),
        (["x*"], "empty text"),
        ([""], "empty text"),
        (r"\d{2,4}", "JSON list"),
        ([5], "texts"),
        (5, "texts"),
        ({"a"}, "order"),
        (lambda text, _field: text, "lambda"),
        (note, "2 positional"),
        (str.upper, "name"),
        (partial(shout, field="x"), "name"),
    ],
)
def test_redact_refuses_what_would_redact_too_little_or_too_much(redact: object, hint: str) -> None:
    text = refusal(redact=redact)
    assert text.startswith("redact: ")
    assert hint in text


def test_on_record_takes_a_named_function_of_one_argument() -> None:
    assert MonitoringSettings(on_record=note).on_record is note

    def local(record: object) -> None:
        assert record is not None

    for function in (local, lambda _record: None, Notes().add, Notes(), 5, "module:name"):
        text = refusal(on_record=function)
        assert text.startswith("on_record: must be a function"), function
    assert "not async def" in refusal(on_record=note_later)
    assert "1 positional" in refusal(on_record=shout)


def test_settings_are_frozen_hashable_and_equal_by_value() -> None:
    one = full_settings()
    other = full_settings()
    assert one == other
    assert hash(one) == hash(other)
    assert one != MonitoringSettings()
    assert {one: 1}[other] == 1
    with pytest.raises(ValueError, match="frozen"):
        one.job = "another"
    with pytest.raises(TypeError):
        one.prices["m"]["input"] = 5  # type: ignore[index]  # what is tested


def test_settings_can_be_made_again_from_their_dump() -> None:
    made = full_settings()
    assert MonitoringSettings(**made.model_dump()) == made


def test_the_order_of_labels_makes_no_difference() -> None:
    one = MonitoringSettings(label_names=["a", "b"], extra_labels={"c": "1", "d": "2"})
    other = MonitoringSettings(label_names={"b", "a"}, extra_labels={"d": "2", "c": "1"})
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    "changed",
    [
        {"access_token": "x"},
        {"headers": {"X-Key": "x"}},
        {"prices": {}},
        {"redact": ["x"]},
        {"on_record": None},
        {"proxy": None},
    ],
)
def test_settings_with_one_different_field_are_not_equal(changed: dict[str, Any]) -> None:
    assert full_settings() != full_settings(**changed)


def full_settings(**changed: Any) -> MonitoringSettings:
    values: dict[str, Any] = {
        "metrics_url": f"https://user:{SECRET}1@host/",
        "logs_url": "https://logs.example",
        "logs_token": f"{SECRET}2",
        "access_token": f"{SECRET}3",
        "proxy": f"https://user:{SECRET}4@proxy",
        "headers": {"X-Key": f"{SECRET}5"},
        "prices": {"m": {"input": 1, "output": 2}},
        "redact": shout,
        "on_record": note,
    }
    return MonitoringSettings(**(values | changed))


def test_no_secret_shows_in_any_text_made_of_settings() -> None:
    made = full_settings()
    copied = pickle.loads(pickle.dumps(made))  # noqa: S301 - made in the line itself
    assert copied == made
    assert copied.request_headers("metrics") == made.request_headers("metrics")
    dumped = made.model_dump(mode="json")
    texts = [
        repr(made),
        str(made),
        f"{made}",
        json.dumps(dumped),
        made.model_dump_json(),
        repr(made.model_dump()),
        repr(copied),
    ]
    assert [text for text in texts if SECRET in text] == []
    assert dumped["on_record"] == f"{note.__module__}:note"


def test_no_secret_shows_in_an_error_or_its_causes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bad: dict[str, Any] = {
        "metrics_url": f"https://u:{SECRET}1\n@host:0/{SECRET}",
        "logs_url": f"https://[{SECRET}",
        "access_token": f"{SECRET}\r\n",
        "headers": f"{SECRET}",
        "proxy": f"socks5://{SECRET}",
        "queue_size": SECRET,
        "push_interval": SECRET,
        "environment": f"{SECRET}\n",
        "verify": f"/{SECRET}",
        "prices": SECRET,
        "redact": [f"{SECRET}("],
        "on_error": SECRET,
        "enabled": SECRET,
    }
    with pytest.raises(SettingsError) as caught:
        MonitoringSettings(**bad)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert SECRET not in "".join(traceback.format_exception_only(error)) + repr(error) + caplog.text
    assert {line.split(":")[0] for line in str(error).splitlines()} == bad.keys()


@pytest.mark.parametrize(
    "field", ["environment", "job", "service_name", "instance", "provider", "extra_labels", "label_names", "prices"]
)
def test_a_label_that_looks_like_a_secret_is_refused_and_not_repeated(field: str) -> None:
    key = "sk-proj-Ab3x9xYz0123456789Qw7"
    name = "sk_live_Ab3x9xYz0123456789Qw7"
    values: dict[str, list[Any]] = {
        "extra_labels": [{"team": f"a {key}"}, {name: "a"}, f"team={key}"],
        "label_names": [["team", name]],
        "prices": [{key: {"input": 1, "output": 2}}],
    }
    for value in values.get(field, [key, f"prod-{key}", f"a\u00ad{key}", f"prod {key[:9]} {key}"]):
        text = refusal(**{field: value})
        assert text.startswith(f"{field}: ")
        assert "secret" in text or "control character" in text
        assert "Ab3x9" not in text


def test_a_service_name_of_the_environment_is_refused_if_it_looks_like_a_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "sk-proj-Ab3x9xYz0123456789Qw7")
    text = refusal()
    assert text.startswith("service_name (MONITORED_OPENAI_SERVICE_NAME or OTEL_SERVICE_NAME): ")
    assert "Ab3x9" not in text


def test_each_wrong_field_gets_one_line_with_its_variable_if_it_came_from_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_QUEUE_SIZE", "many")
    monkeypatch.setenv("MONITORED_OPENAI_LOGS_URL", "loki:3100")
    lines = refusal(log_shards=0).splitlines()
    assert sorted(line.split(":")[0] for line in lines) == [
        "log_shards",
        "logs_url (MONITORED_OPENAI_LOGS_URL)",
        "queue_size (MONITORED_OPENAI_QUEUE_SIZE)",
    ]


def test_an_unknown_field_is_refused_with_the_nearest_one() -> None:
    assert refusal(metric_url="https://host") == "metric_url: is no setting; did you mean metrics_url?"
    assert refusal(zzz=1) == "zzz: is no setting; remove it"
    assert len(refusal(**{"a\nb": 1}).splitlines()) == 1


def test_everything_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "METRICS_URL": "https://host",
        "METRICS_USERNAME": "7",
        "ACCESS_TOKEN": SECRET,
        "HEADERS": "X-A=1=1, X-B=2",
        "EXTRA_LABELS": '{"team": "a,b"}',
        "LABEL_NAMES": "user, feature",
        "PRICES": '{"m": {"input": 1, "output": 2}}',
        "REDACT": "abc,def",
        "CAPTURE_CONTENT": "false",
        "PUSH_INTERVAL": "5",
        "VERIFY": "true",
    }.items():
        monkeypatch.setenv(ENV_PREFIX + name, value)
    given_in_code = MonitoringSettings(
        metrics_url="https://host",
        metrics_username="7",
        access_token=SECRET,
        headers={"X-A": "1=1", "X-B": "2"},
        extra_labels={"team": "a,b"},
        label_names=["user", "feature"],
        prices={"m": {"input": 1, "output": 2}},
        redact=["abc", "def"],
        capture_content=False,
        push_interval=5,
    )
    assert MonitoringSettings() == given_in_code


def test_an_argument_wins_over_the_environment_even_if_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_METRICS_URL", "https://host")
    assert MonitoringSettings(metrics_url=None).metrics_url is None


@pytest.mark.parametrize("name", MonitoringSettings.model_fields)
@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_blank_variable_counts_as_unset(name: str, blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_PREFIX + name.upper(), blank)
    assert MonitoringSettings() == MonitoringSettings(**{name: getattr(MonitoringSettings(), name)})


def test_unknown_variables_are_warned_of_once_by_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_METRIC_URL", SECRET)
    monkeypatch.setenv("MONITORED_OTHER_THING", SECRET)
    MonitoringSettings()
    MonitoringSettings()
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "monitored_openai",
            "WARNING",
            "MONITORED_OPENAI_METRIC_URL: is no setting; did you mean MONITORED_OPENAI_METRICS_URL?",
        )
    ]


def test_the_service_name_defaults_to_opentelemetrys(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MonitoringSettings().service_name is None
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    assert MonitoringSettings().service_name == "shop"
    assert MonitoringSettings(service_name="till").service_name == "till"
    monkeypatch.setenv("OTEL_SERVICE_NAME", " ")
    assert MonitoringSettings().service_name is None
    monkeypatch.setenv("OTEL_SERVICE_NAME", "a\nb")
    assert refusal().startswith("service_name (MONITORED_OPENAI_SERVICE_NAME or OTEL_SERVICE_NAME): has a line break")


def test_an_env_file_is_read_only_if_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("OPENAI_API_KEY=sk-x\nMONITORED_OPENAI_JOB=from-file\nMONITORED_OPENAI_ENVIRONMENT=\n")
    monkeypatch.chdir(tmp_path)
    assert MonitoringSettings().job == "integrations/openai"
    made = MonitoringSettings(_env_file=file)
    assert (made.job, made.environment) == ("from-file", "default")
    monkeypatch.setenv("MONITORED_OPENAI_JOB", "from-environment")
    assert MonitoringSettings(_env_file=".env").job == "from-environment"


def test_an_env_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    latin = tmp_path / "latin.env"
    latin.write_bytes(b"MONITORED_OPENAI_JOB=caf\xe9\n")
    for file in (tmp_path / "missing.env", tmp_path, latin):
        assert refusal(_env_file=file).startswith("_env_file: is no readable file"), file


def test_wrong_settings_disable_monitoring_if_asked_and_say_why_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_ON_ERROR", "disable")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "a\nb")
    for _ in range(2):
        made = MonitoringSettings(metrics_url=f"http://u:{SECRET}@host", queue_size=-1)
        assert (made.enabled, made.metrics_url, made.on_error) == (False, None, "disable")
        assert isinstance(hash(made), int)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "queue_size" in record.getMessage()
    assert SECRET not in caplog.text
    assert MonitoringSettings(metrics_url="http://h", service_name="a").enabled


def test_conflicting_settings_disable_monitoring_if_asked() -> None:
    made = MonitoringSettings(metrics_url=f"http://u:{SECRET}@host", access_token="t", on_error="disable")
    assert (made.enabled, made.metrics_url, made.access_token) == (False, None, None)


def test_importing_the_settings_opens_nothing_and_configures_no_logging() -> None:
    program = """
import logging, sys, threading
events = []
sys.addaudithook(lambda event, _: events.append(event) if event.startswith(("socket.", "subprocess.")) else None)
import monitored_openai._settings.model
assert events == [], events
assert threading.active_count() == 1 and logging.getLogger().handlers == []
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environment)


@pytest.mark.once
def test_the_table_in_the_docs_is_up_to_date() -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "settings_table.py", "--check"], check=True, timeout=60)


def test_every_field_is_described() -> None:
    assert [name for name, field in MonitoringSettings.model_fields.items() if not field.description] == []


URL_PARTS = st.lists(
    st.one_of(
        st.sampled_from(
            ["http://", "https://", "user:pw@", "host", "[::1]", ":80", "/", "?", "#", "%", "..", "\\", "@"]
        ),
        st.text(max_size=8),
    ),
    max_size=8,
).map("".join)
TEXT_FIELDS = [
    "metrics_username",
    "access_token",
    "tenant_id",
    "headers",
    "verify",
    "client_cert",
    "proxy",
    "environment",
    "service_name",
    "extra_labels",
    "label_names",
    "redact",
    "prices",
    "push_interval",
    "queue_size",
    "on_error",
]


@settings(deadline=None)
@given(url=URL_PARTS, field=st.sampled_from(["metrics_url", "logs_url", "proxy"]))
def test_any_text_as_a_url_is_taken_or_refused_with_a_line(url: str, field: str) -> None:
    made = made_or_refused_with_a_line(**{field: url}, access_token="t", allow_insecure=True)
    if made is not None and field != "proxy":
        taken = made.model_dump()[field]
        assert MonitoringSettings(**{field: taken}).model_dump()[field] == taken
        assert taken.isascii()
        assert "@" not in taken.split("/")[2]


@settings(deadline=None, max_examples=300)
@given(text=st.text(st.characters(exclude_categories=())), field=st.sampled_from(TEXT_FIELDS))
def test_any_text_in_any_field_is_taken_or_refused_with_a_line(text: str, field: str) -> None:
    made = made_or_refused_with_a_line(**{field: text})
    assert made is None or isinstance(hash(made), int)


@settings(deadline=None)
@given(
    secret=st.text(min_size=12).map(lambda text: f"s3cret{text}\n"),
    field=st.sampled_from(["access_token", "metrics_token", "logs_token", "proxy", "headers", "metrics_url"]),
)
def test_no_refused_secret_is_ever_repeated(secret: str, field: str) -> None:
    value = f"https://user:{secret}@host" if field in ("proxy", "metrics_url") else secret
    assert "s3cret" not in refusal(**{field: {"X-A": value} if field == "headers" else value})
