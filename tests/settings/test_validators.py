"""Validators of labels, numbers, proxies, certificates, prices and functions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from monitored_openai._settings.model import MonitoringSettings
from tests.support.settings import CLOUD, CLOUD_LOGS, SECRET, note, refusal, shout

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


async def note_later(record: object) -> None:
    assert record is not None


class Notes:
    def add(self, record: object) -> None:
        assert record is not None


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


def test_optional_labels_are_known_and_belong_to_no_other_setting() -> None:
    made = MonitoringSettings(optional_labels="server_address, input_size,input_size", label_names=["service_tier"])
    assert made.optional_labels == ("input_size", "server_address")
    assert "unknown name" in refusal(optional_labels=["user"])
    for other in ({"label_names": ["input_size"]}, {"extra_labels": {"input_size": "x"}}):
        assert refusal(optional_labels=["input_size"], **other).startswith("optional_labels: has a name that")


def test_labels_are_bounded_and_disjoint() -> None:
    names = [f"n{number}" for number in range(11)]
    assert "more than 10" in refusal(label_names=names)
    assert "more than 10" in refusal(extra_labels=dict.fromkeys(names, "x"))
    assert "twice" in refusal(label_names=["a", "a"])
    assert refusal(label_names=["a"], extra_labels={"a": "b"}).startswith(
        "label_names: has a name that extra_labels also has"
    )


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
    texts: dict[str, Any] = {"queue_size": "50", "exit_timeout": "1e1", "push_interval": " 5 "}
    made = MonitoringSettings(**texts)
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
        ({"m": {}}, "without a price"),
        ({"m": {"multiplier": 2}}, "without a price"),
        ({"m": {"input": 1, "output": 2, "audio": 3}}, "unknown kind"),
        ({"m": {"input": 1, "minute": 2}}, "per token"),
        ({"m": {"input": 1, "input_per_million_tokens": 1}}, "two prices for input"),
        ({"m": {"input": 1, "tiers": {"flex": {"output": -1}}}}, "number"),
        ({"m": {"input": 1, "tiers": {"flex": {"tiers": {}}}}}, "unknown kind"),
        ({"m": {"input": 1, "longer_than": {"many": {"input": 2}}}}, "272000"),
        ({"m": {"input": 1, "longer_than": 272000}}, "unknown kind"),
        ({"m": {"input": 1, "output": -2}}, "number"),
        ({"m": {"input": float("nan"), "output": 2}}, "number"),
        ({"m": {"input": float("inf"), "output": 2}}, "number"),
        ({"m": {"input": 10**400, "output": 2}}, "number"),
        ({"m": {"input": True, "output": 2}}, "number"),
        ({"m": {"input": "1", "output": 2}}, "number"),
        ({"m": {"input": 1, "output": 2, "cached_input": None}}, "number"),
        ({"m": {1: 1, "input": 1, "output": 2}}, "unknown kind"),
        ({"m": 3}, "input"),
        ({"m": {"input": 1, "longer_than": {"9": {"web_search_per_call": 0.1}}}}, "longer_than"),
        ({"m": {"input": 1, "longer_than": {"9": {"tiers": {"flex": {"input": 1}}}}}}, "longer_than"),
        ({"m": {"input": 1, "longer_than": {"9": {}}}}, "without a price"),
        ({"m": {"input": 1, "tiers": {"flex": {}}}}, "without a price"),
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


def test_the_default_metrics_are_lean_and_may_be_full_or_coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MonitoringSettings().histograms == "lean"
    monkeypatch.setenv("MONITORED_OPENAI_HISTOGRAMS", "coarse")
    assert MonitoringSettings().histograms == "coarse"
    assert "'lean', 'coarse' or 'full'" in refusal(histograms="many")


def test_metrics_left_out_are_names_of_metrics() -> None:
    made = MonitoringSettings(metrics_left_out="openai_processing_seconds, monitored_openai_send_seconds")
    assert made.metrics_left_out == ("monitored_openai_send_seconds", "openai_processing_seconds")
    assert refusal(metrics_left_out=["openai_processing_seconds_bucket"]) == (
        "metrics_left_out: names an unknown metric; did you mean openai_processing_seconds?"
    )
    assert refusal(metrics_left_out=["zzz"]).endswith("unknown metric; docs/metrics.md lists the names")
    for name in ("gen_ai_client_operation_duration_seconds", "monitored_openai_dropped_total"):
        assert refusal(metrics_left_out=[name]) == (
            f"metrics_left_out: has {name}, without which dashboards and alerts would be wrong; remove it from the list"
        )
