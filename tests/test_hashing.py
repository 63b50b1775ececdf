"""Hashing of user ids: no raw value leaves the process on any path, and the request stays as it is."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai import CallRecord, MonitoredOpenAI, MonitoringSettings, SettingsError, attributes
from monitored_openai._hashing import ValueHasher
from tests.support.echoing_api import echoing
from tests.support.handles import MANUAL, ask, handle, in_process
from tests.support.local_page import Page, open_page
from tests.support.records import record
from tests.support.servers._http import wait_until
from tests.support.servers.loki import FakeLoki, Status
from tests.support.servers.remote_write import RemoteWriteProxy

SECRET = "a-long-random-text-0123456789abcdef"
RAW = {
    "user": "raw-user-'é\"\\-17",
    "customer": "raw-customer-'é\"-99",
    "safety_identifier": "raw-safety-5",
    "prompt_cache_key": "raw-cache-8",
    "metadata.patient": "raw-patient-3",
    "conversation": "raw-conversation-4",
}
SIGN = "raw-"
HASHING: dict[str, Any] = {"hash_attributes": tuple(RAW), "hash_secret": SECRET}
SEEN: list[CallRecord] = []


def expected(text: str) -> str:
    return "hmac_" + hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()[:16]


def keep(made: CallRecord) -> None:
    SEEN.append(made)


@pytest.fixture(autouse=True)
def _seen() -> Iterator[None]:
    SEEN.clear()
    yield
    SEEN.clear()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    yield from open_page(tmp_path / "history.sqlite3")


FIELDS: dict[str, Any] = {
    "user": RAW["user"],
    "safety_identifier": RAW["safety_identifier"],
    "prompt_cache_key": RAW["prompt_cache_key"],
    "metadata": {"patient": RAW["metadata.patient"], "team": "shop"},
}
OPTIONS: dict[str, Any] = {"extra_body": FIELDS}
"""The oldest SDK has no parameters for some of the fields."""


def make_calls(client: MonitoredOpenAI) -> None:
    """One call on each path on which an API may repeat a value."""
    ask(client, **OPTIONS)
    with attributes(user=RAW["user"]):
        client.chat.completions.with_raw_response.create(model="gpt-4o", messages=[], **OPTIONS)
    for model in ("gpt-4o", "failing"):
        client.responses.create(
            model=model, input="x", extra_body={"conversation": {"id": RAW["conversation"]}, **FIELDS}
        )
    for model in ("refused", "odd"):
        with suppress(openai.APIStatusError):
            client.chat.completions.create(model=model, messages=[], **OPTIONS)


def test_no_raw_value_is_in_any_log_entry_label_metric_or_record(
    loki: FakeLoki, proxy: RemoteWriteProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "monitored_openai")
    urls = {"logs_url": loki.push_url, "metrics_url": proxy.write_url}
    with handle(
        **urls,
        **HASHING,
        label_names=("customer", "user"),
        on_record=keep,
        metric_names=("gen_ai", "grafana_openai"),
        **MANUAL,
    ) as monitoring:
        with echoing(monitoring, RAW["customer"]) as (client, api):
            make_calls(client)
        assert monitoring.flush(30).complete
        texts = [repr(monitoring.stats()), repr(monitoring), repr(monitoring.settings), caplog.text]
    texts += [f"{entry.line} {entry.metadata} {entry.labels}" for entry in loki.entries]
    texts += [repr(series.labels) for batch in proxy.received for series in batch]
    texts += api.scrapes
    texts += [repr(made) for made in SEEN]
    assert len(loki.entries) == len(SEEN) == 6
    assert [text for text in texts if SIGN in text] == []
    assert [text for text in texts if SECRET in text] == []

    first = loki.entries[0]
    assert json.loads(first.line)["identifiers"] == {
        "user": expected(RAW["user"]),
        "safety_identifier": expected(RAW["safety_identifier"]),
        "prompt_cache_key": expected(RAW["prompt_cache_key"]),
        "metadata": {"patient": expected(RAW["metadata.patient"]), "team": "shop"},
    }
    assert first.metadata["openai_user"] == expected(RAW["user"])
    assert first.metadata["customer"] == expected(RAW["customer"])
    calls = "gen_ai_client_operation_duration_seconds_count"
    assert proxy.total(calls, customer=expected(RAW["customer"])) == 6
    assert proxy.total(calls, user=expected(RAW["user"])) == 1
    refused = json.loads(loki.entries[4].line)
    assert expected(RAW["user"]) in refused["error_message"]
    assert refused["response"]["error"]["param"] == expected(RAW["user"])
    assert SIGN not in str(refused["api_error"])
    assert SEEN[0].identifiers["user"] == SEEN[1].attributes["user"] == expected(RAW["user"])
    assert {name: api.requests[0][name] for name in FIELDS} == FIELDS


def test_no_raw_value_is_in_an_entry_without_content(loki: FakeLoki) -> None:
    with handle(logs_url=loki.push_url, **HASHING, capture_content=False) as monitoring:
        with echoing(monitoring, RAW["customer"]) as (client, _):
            make_calls(client)
        assert monitoring.flush(30).complete
    assert [entry for entry in loki.entries if SIGN in f"{entry.line} {entry.metadata}"] == []
    assert loki.entries[0].metadata["openai_user"] == expected(RAW["user"])


def test_no_raw_value_is_in_the_spool(loki: FakeLoki, tmp_path: Path) -> None:
    loki.fail_next(Status(503, body=b"later"), times=1_000)
    with handle(logs_url=loki.push_url, **HASHING, spool_dir=tmp_path / "spool") as monitoring:
        with echoing(monitoring, RAW["customer"]) as (client, _):
            make_calls(client)
        wait_until(lambda: monitoring.stats().spooled == 6)
        spooled = b"".join(path.read_bytes() for path in (tmp_path / "spool").rglob("*") if path.is_file())
    assert expected(RAW["user"]).encode() in spooled
    assert SIGN.encode() not in spooled


def test_the_local_page_shows_hashes(page: Page) -> None:
    with handle(metrics_url=page.server.url, logs_url=page.server.url, **HASHING) as monitoring:
        with echoing(monitoring, RAW["customer"]) as (client, _):
            make_calls(client)
        assert monitoring.flush(30).complete
    shown = page.get("/api/calls").text + "".join(page.get(f"/api/calls/{one['id']}").text for one in page.calls())
    assert expected(RAW["user"]) in shown
    assert SIGN not in shown


def test_a_hash_depends_on_the_secret_and_the_value_only() -> None:
    assert ValueHasher((), SECRET).hashed("u-17") == expected("u-17") == "hmac_8f183a8a622db035"  # in every process
    assert ValueHasher((), SECRET + "x").hashed("u-17") != expected("u-17")


def test_metadata_as_a_whole_and_the_parts_of_a_stored_prompt_are_hashed() -> None:
    hasher = ValueHasher(("metadata", "prompt_id"), SECRET)
    fields = {"metadata": {"a": "raw-1", "b": "raw-2"}, "prompt": {"id": "raw-3", "version": "4"}}
    made = hasher.record(record(request=fields, identifiers={"metadata": {"a": "raw-1"}, "prompt_id": "raw-3"}))
    assert made.identifiers == {"metadata": {"a": expected("raw-1")}, "prompt_id": expected("raw-3")}
    assert made.request == {
        "metadata": {"a": expected("raw-1"), "b": expected("raw-2")},
        "prompt": {"id": expected("raw-3"), "version": "4"},
    }


def test_conversations_keep_their_text() -> None:
    hasher = ValueHasher(("user",), SECRET)
    asked = {"user": "alice", "messages": [{"role": "user", "content": "I am alice"}]}
    made = hasher.record(record(request=asked, response={"choices": ["hello alice"]}, http_status=200))
    assert made.request == asked | {"user": expected("alice")}
    assert made.response == {"choices": ["hello alice"]}


def test_a_short_value_is_replaced_in_errors_only_where_it_stands_alone() -> None:
    hasher = ValueHasher(("user",), SECRET)
    made = hasher.record(record(request={"user": 7}, error_message="user 7 of 77 is unknown", error_type="bad_request"))
    assert made.error_message == f"user {expected('7')} of 77 is unknown"


@given(st.text(), st.text())
@settings(max_examples=30)
def test_every_text_has_a_hash(text: str, surrogates: str) -> None:
    hasher = ValueHasher(("user",), SECRET)
    odd = text + "\ud800" + surrogates
    made = hasher.record(record(request={"user": odd}, error_message=f"no {odd}", error_type="bad_request"))
    assert made.error_message == f"no {hasher.hashed(odd)}"


@pytest.mark.parametrize("names", ["user,customer", ["customer", "user"], {"user", "customer"}])
def test_settings_with_equal_names_and_secrets_are_equal(names: Any) -> None:
    made = MonitoringSettings(hash_attributes=names, hash_secret=SECRET)
    assert made.hash_attributes == ("customer", "user")
    assert made == MonitoringSettings(hash_attributes=("user", "customer"), hash_secret=SECRET)
    assert hash(made) == hash(MonitoringSettings(hash_attributes=("user", "customer"), hash_secret=SECRET))
    assert made != MonitoringSettings(hash_attributes=names, hash_secret=SECRET + "x")
    assert SECRET not in f"{made!r} {made.model_dump()} {made.model_dump_json()}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"hash_attributes": "user"},
            "hash_secret (MONITORED_OPENAI_HASH_SECRET): is required by hash_attributes; set it to a random text",
        ),
        ({"hash_secret": "short-secret"}, "hash_secret: is shorter than 16 characters, so it could be guessed"),
        ({"hash_attributes": "no name", "hash_secret": SECRET}, "hash_attributes: has an illegal label name"),
    ],
)
def test_a_setting_that_would_hash_nothing_or_badly_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        MonitoringSettings(**values)
    assert str(caught.value).startswith(message)
    assert "short-secret" not in str(caught.value)


def test_the_environment_sets_the_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_HASH_ATTRIBUTES", "user,metadata.patient")
    monkeypatch.setenv("MONITORED_OPENAI_HASH_SECRET", SECRET)
    made = MonitoringSettings()
    assert made.hash_attributes == ("metadata.patient", "user")
    assert made.hash_secret is not None
    assert made.hash_secret.get_secret_value() == SECRET


def test_a_call_without_the_named_values_stays_as_it_is(loki: FakeLoki) -> None:
    with handle(logs_url=loki.push_url, **HASHING) as monitoring:
        with in_process(monitoring) as client:
            ask(client)
        assert monitoring.flush(30).complete
    assert "hmac_" not in loki.entries[0].line


@pytest.mark.parametrize(
    "raw",
    [
        "o'brien",
        'the "boss"',
        'it\'s "me"',
        "back\\slash",
        'back\\\\"\\',
        "Zoë",
        "two\nlines",
        "\x01\x7f\u200b",
        "😀a/b",
    ],
)
def test_a_quoted_value_is_replaced_in_an_error(raw: str) -> None:
    hasher = ValueHasher(("user",), SECRET)
    body = {"error": {"message": f"Invalid 'user': \"{raw}\" of {json.dumps({'user': raw})}"}}
    for message in (str(body), json.dumps(body), json.dumps(str(body))):
        made = hasher.record(record(request={"user": raw}, error_message=message, error_type="bad_request"))
        assert made.error_message is not None
        assert made.error_message.count(expected(raw)) == 2


@pytest.mark.parametrize("raw", ["\\" * 64, "\\\n" * 32, '\\"' * 32, "é\\" * 32, "a" * 64])
@pytest.mark.parametrize("text", ["\\" * 100_000, "\\n" * 50_000, '\\"' * 50_000, "\\u00e9" * 16_000, "a" * 100_000])
def test_no_value_and_no_error_take_long_together(raw: str, text: str) -> None:
    hasher = ValueHasher(("user",), SECRET)
    started = time.thread_time()
    hasher.record(record(request={"user": raw}, error_message=text + "!", error_type="bad_request"))
    assert time.thread_time() - started < 1


def test_an_error_beside_a_very_long_value_is_left_out() -> None:
    raw = "raw-" * 100_000
    refused = record(
        request={"user": raw}, response={"error": {"message": raw}}, error_message=f"no {raw}", http_status=400
    )
    made = ValueHasher(("user",), SECRET).record(refused)
    assert SIGN not in repr(made)
    assert made.error_message == "[left out, because it may repeat a hashed value]"


def test_a_code_of_an_error_that_repeats_a_value_is_hashed() -> None:
    made = ValueHasher(("user",), SECRET).record(record(request={"user": "raw-1"}, api_error={"code": "no_raw-1"}))
    assert made.api_error == {"code": f"no_{expected('raw-1')}"}
