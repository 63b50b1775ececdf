"""Parameters given as enum members: the record, the labels and the log hold their values, as the request does."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import openai
import pytest

from monitored_openai import CallRecord, MonitoredAzureOpenAI, MonitoredOpenAI, MonitoringSettings
from tests.support.handles import handle, http
from tests.support.servers.loki import FakeLoki


class Text(str, enum.Enum):  # noqa: UP042 - its `str` is not its text, as that of a StrEnum is
    MODEL = "gpt-4o"
    USER = "u-17"
    ROLE = "user"
    TIER = "flex"
    EFFORT = "low"
    KEY = "team"


class Modern(enum.StrEnum):
    MODEL = "gpt-4o"
    USER = "u-17"
    ROLE = "user"
    TIER = "flex"
    EFFORT = "low"
    KEY = "team"


class Plain(enum.Enum):
    MODEL = "gpt-4o"
    ROLE = "user"


class Shouting(str, enum.Enum):  # noqa: UP042 - as above
    """A text member whose `str` is neither its name nor its value."""

    MODEL = "gpt-4o"

    def __str__(self) -> str:
        return "SHOUT"


RECORDS: list[CallRecord] = []


def keep(record: CallRecord) -> None:
    RECORDS.append(record)


@pytest.fixture(autouse=True)
def no_records() -> None:
    RECORDS.clear()


def answer(request: Any) -> Any:
    if "refuse" in request.read().decode("utf-8", "replace"):
        return http.Response(400, json={"error": {"message": "no", "code": None}})
    return http.Response(200, json={"id": "x", "usage": USAGE})


PRICES = {"gpt-4o": {"input": 1.0, "output": 2.0}}
USAGE = {"input_tokens": 9, "prompt_tokens": 9, "output_tokens": 1, "completion_tokens": 1, "total_tokens": 10}
Ask = Callable[[Any, Any], object]
ASKS: dict[str, Ask] = {
    "chat": lambda made, of: made.chat.completions.create(model=of.MODEL, messages=[]),
    "extra body": lambda made, of: made.chat.completions.create(
        model="other", messages=[], extra_body={"model": of.MODEL}
    ),
    "completions": lambda made, of: made.completions.create(model=of.MODEL, prompt="x"),
    "responses": lambda made, of: made.responses.create(model=of.MODEL, input="x"),
    "embeddings": lambda made, of: made.embeddings.create(model=of.MODEL, input="x", encoding_format="float"),
    "images": lambda made, of: made.images.generate(model=of.MODEL, prompt="x"),
    "image form": lambda made, of: made.images.edit(model=of.MODEL, prompt="x", image=b"png"),
    "speech": lambda made, of: made.audio.speech.create(model=of.MODEL, input="x", voice="alloy"),
    "audio form": lambda made, of: made.audio.transcriptions.create(model=of.MODEL, file=b"wav"),
    "moderations": lambda made, of: made.moderations.create(model=of.MODEL, input="x"),
    "refused": lambda made, of: made.chat.completions.create(
        model=of.MODEL, messages=[{"role": "user", "content": "refuse"}]
    ),
}


def monitored(loki: FakeLoki, ask: Callable[[Any], object], of: type[Any] = MonitoredOpenAI, **more: Any) -> Any:
    """The record and the log's entry of one call."""
    with (
        handle(logs_url=loki.push_url, on_record=keep, prices=PRICES) as monitoring,
        http.Client(transport=http.MockTransport(answer)) as http_client,
    ):
        made = of(api_key="sk-test", max_retries=0, http_client=http_client, monitoring=monitoring, **more)
        with suppress(openai.APIError, TypeError):
            ask(made)
        assert monitoring.flush(20).complete
        labels = {
            value for s in monitoring._runner.metrics.samples() for name, value in s.labels if "request_model" in name
        }
    (record,), (entry,) = RECORDS, loki.entries
    assert labels == {record.request_model}
    return record, entry


@pytest.mark.parametrize("of", [Text, Modern, Shouting], ids=lambda of: of.__name__)
@pytest.mark.parametrize("way", ASKS)
def test_a_model_given_as_a_text_member_is_its_value_everywhere(way: str, of: type[Any], loki: FakeLoki) -> None:
    record, entry = monitored(loki, lambda made: ASKS[way](made, of), base_url="http://api.test/v1")
    line = json.loads(entry.line)
    assert (record.request_model, type(record.request_model)) == ("gpt-4o", str)
    assert (line["request_model"], line["request"]["model"]) == ("gpt-4o", "gpt-4o")
    assert (entry.metadata["request_model"], entry.metadata["model"]) == ("gpt-4o", "gpt-4o")


@pytest.mark.parametrize("way", ["chat", "responses", "audio form"])
def test_a_plain_member_which_the_sdk_cannot_send_as_json_is_logged_by_its_value(way: str, loki: FakeLoki) -> None:
    record, entry = monitored(loki, lambda made: ASKS[way](made, Plain), base_url="http://api.test/v1")
    line = json.loads(entry.line)
    assert (record.request_model, line["request"]["model"], entry.metadata["model"]) == ("gpt-4o",) * 3


def test_an_azure_deployment_given_as_a_member_is_its_value(loki: FakeLoki) -> None:
    azure = {"azure_endpoint": "http://azure.test", "api_version": "2024-06-01"}
    record, entry = monitored(loki, lambda made: ASKS["chat"](made, Text), MonitoredAzureOpenAI, **azure)
    assert (record.request_model, entry.metadata["request_model"]) == ("gpt-4o", "gpt-4o")


def test_a_call_whose_model_only_the_request_names_has_its_price(loki: FakeLoki) -> None:
    record, _ = monitored(loki, lambda made: ASKS["images"](made, Text), base_url="http://api.test/v1")
    assert (record.response_model, record.unpriced) == (None, None)
    assert record.cost is not None


@pytest.mark.parametrize("of", [Text, Modern], ids=lambda of: of.__name__)
def test_other_parameters_given_as_members_are_logged_by_their_values(of: Any, loki: FakeLoki) -> None:
    def ask(made: Any) -> None:
        made.chat.completions.create(
            model=of.MODEL,
            messages=[{"role": of.ROLE, "content": "x"}],
            service_tier=of.TIER,
            reasoning_effort=of.EFFORT,
            user=of.USER,
            metadata={of.KEY: of.EFFORT},
        )

    record, entry = monitored(loki, ask, base_url="http://api.test/v1")
    asked = json.loads(entry.line)["request"]
    assert asked["messages"] == [{"role": "user", "content": "x"}]
    assert (asked["service_tier"], asked["reasoning_effort"], asked["user"]) == ("flex", "low", "u-17")
    assert record.identifiers == {"user": "u-17", "metadata": {"team": "low"}}
    assert entry.metadata["openai_user"] == "u-17"
    assert {type(record.identifiers["user"]), *map(type, record.identifiers["metadata"].values())} == {str}


def test_a_role_given_as_a_plain_member_is_logged_by_its_value(loki: FakeLoki) -> None:
    def ask(made: Any) -> None:
        made.chat.completions.create(model="gpt-4o", messages=[{"role": Plain.ROLE, "content": "x"}])

    _, entry = monitored(loki, ask, base_url="http://api.test/v1")
    assert json.loads(entry.line)["request"]["messages"] == [{"role": "user", "content": "x"}]


def test_without_content_the_identifiers_of_members_are_their_values(loki: FakeLoki) -> None:
    with (
        handle(logs_url=loki.push_url, capture_content=False) as monitoring,
        http.Client(transport=http.MockTransport(answer)) as http_client,
        MonitoredOpenAI(
            api_key="sk-test", base_url="http://api.test/v1", http_client=http_client, monitoring=monitoring
        ) as made,
    ):
        made.chat.completions.create(model=Text.MODEL, messages=[], user=Text.USER)
        assert monitoring.flush(20).complete
    (entry,) = loki.entries
    assert (entry.metadata["openai_user"], entry.metadata["model"]) == ("u-17", "gpt-4o")


def test_a_setting_given_as_a_text_member_is_its_text() -> None:
    given, plain = MonitoringSettings(environment=Text.MODEL), MonitoringSettings(environment="gpt-4o")
    assert (f"{given.environment}", given) == ("gpt-4o", plain)
