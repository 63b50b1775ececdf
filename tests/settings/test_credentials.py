"""Credentials, tenants and headers of the requests to each back end."""

from __future__ import annotations

import base64

import pytest

from monitored_openai._settings.model import MonitoringSettings
from monitored_openai._settings.urls import Signal
from tests.support.settings import SECRET, refusal


@pytest.mark.parametrize("lane", ["metrics", "logs"])
def test_a_username_without_a_token_is_refused(lane: Signal) -> None:
    other = "logs" if lane == "metrics" else "metrics"
    text = refusal(**{f"{lane}_username": "7", f"{other}_token": SECRET})
    assert text == f"{lane}_username: has no token; set access_token or {lane}_token"


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
        "headers: sets authorization, and so does the token",
        "headers: sets x-scope-orgid, and so does tenant_id",
    ]
