"""Push URLs: the full URL that each setting becomes, and the URLs that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from monitored_openai._settings.model import MonitoringSettings
from tests.support.settings import CLOUD, CLOUD_LOGS, SECRET, refusal


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
        ("https://host/api/v1/query", "query address"),
        ("https://host/write/more", "remove everything after "),
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
        ("https://host/api/v1/write/api/v1/write", "remove everything after "),
        ("https://host/api/prom/push/api/prom/push", "remove everything after "),
        (f"{CLOUD}/api/v1/push/influx/write", "Influx"),
        ("https://otlp-gateway.grafana.net/otlp/v1/metrics", "OTLP"),
        (f"{CLOUD}/api/prom/api/v1/query", "query address"),
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
        ("https://host/loki/api/v1/push/loki/api/v1/push", "remove everything after "),
        ("https://host/loki/api/v1/push/loki", "remove everything after "),
        ("https://host/api/v1/write", "metrics_url"),
        (f"{CLOUD}/api/prom/push", "metrics_url"),
        ("https://host/loki/api/v1/query_range", "query address"),
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
