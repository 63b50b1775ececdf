"""`MonitoringSettings` as a value: equality, secrets, errors, and what disables monitoring."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from monitored_openai._settings.arguments import SettingsArguments
from monitored_openai._settings.model import MonitoringSettings, SettingsError
from tests.support.settings import SECRET, note, refusal, shout

ROOT = Path(__file__).resolve().parents[2]


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
        {"redact_presets": ["email"]},
        {"hash_attributes": ["customer"]},
        {"hash_secret": "another-random-text"},
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
        "hash_attributes": ["user"],
        "hash_secret": f"{SECRET}-of-16-characters",
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
        "redact_presets": SECRET,
        "hash_attributes": f"{SECRET}-",
        "hash_secret": {"text": SECRET},
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
    assert refusal(metric_url="https://host") == "metric_url: is not a setting; did you mean metrics_url?"
    assert refusal(zzz=1) == "zzz: is not a setting; remove it"
    assert len(refusal(**{"a\nb": 1}).splitlines()) == 1


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


def test_every_field_has_a_static_type_for_its_argument() -> None:
    assert list(SettingsArguments.__annotations__) == list(MonitoringSettings.model_fields)
