"""Properties: any text in any field is accepted or refused with one line."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai._settings.model import MonitoringSettings, SettingsError
from tests.support.settings import refusal


def made_or_refused_with_a_line(**values: Any) -> MonitoringSettings | None:
    """The settings, or ``None`` where they were refused as they should be; any other error goes on."""
    try:
        return MonitoringSettings(**values)
    except SettingsError as error:
        lines = str(error).splitlines()
    assert len(lines) == 1
    return None


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
