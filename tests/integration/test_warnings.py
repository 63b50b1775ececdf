"""Warnings under each set-up of logging: every failure is reported, and no line has content or secrets."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from monitored_openai import MonitoringSettings, _logging
from monitored_openai._logging import warn_sparsely
from tests.support.handles import ask, call, flush_until, handle, in_process
from tests.support.programs import Ended, run, settings
from tests.support.programs.prompts import PROMPT
from tests.support.servers.loki import FakeLoki, NeverAnswer, Rate, Status
from tests.support.servers.remote_write import RemoteWriteProxy

SECRETS = ("glc_token-0123456789", "pa55word-0123456789", PROMPT)


@pytest.fixture(autouse=True)
def nothing_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_logging, "_said", {})


def warned(
    proxy: RemoteWriteProxy, loki: FakeLoki, *arguments: object, env: dict[str, str] | None = None, **values: Any
) -> Ended:
    """Run a program whose back ends get a token and a password; no stream of it may hold a secret."""
    urls = {
        "metrics_url": proxy.write_url.replace("http://", "http://bob:pa55word-0123456789@"),
        "logs_url": loki.push_url,
        "logs_token": "glc_token-0123456789",
        "exit_timeout": 5,
    }
    ended = run("warned", *(arguments or ("none", 1)), env=settings(**(urls | values)) | (env or {}))
    assert ended.code == 0
    assert not [secret for secret in SECRETS if secret in ended.err + ended.out]
    return ended


def without_attribute(text: str) -> list[str]:
    """The lines but for the one about the attribute, which every run of the program gets."""
    return [line for line in text.splitlines() if "attribute customer is left out" not in line]


def test_a_program_without_logging_that_works_gets_only_what_it_has_to_mend(
    proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    ended = warned(proxy, loki, "none", 500)
    assert ended.err == (
        "monitored_openai: attribute customer is left out: a value of type NoneType has no text form; give a text\n"
    )
    assert len(loki.entries) == 500


def test_a_wrong_url_is_warned_of_and_the_loss_at_exit_has_its_size_and_cause(
    proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    for back_end in (proxy, loki):
        back_end.refuse()
    lines = without_attribute(warned(proxy, loki, "none", 80).err)
    assert sorted(line.partition(";")[0] for line in lines[:-1]) == [
        "monitored_openai: log entries could not be delivered yet: no connection",
        "monitored_openai: metrics could not be pushed",
    ]
    assert lines[-1].startswith(
        "monitored_openai: lost when the process ended: 80 of 80 log entries (no connection: ConnectError"
    )
    assert "; the totals of all 80 calls (no connection: ConnectError" in lines[-1]


def test_a_refused_token_is_warned_of_and_named_as_the_cause_of_the_loss(
    proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    proxy.always = loki.always = Status(401)
    lines = without_attribute(warned(proxy, loki, "none", 80).err)
    assert len(lines) == 3
    assert lines[-1].startswith("monitored_openai: lost when the process ended: 80 of 80 log entries (HTTP 401")
    assert "; the totals of all 80 calls (HTTP 401" in lines[-1]


def test_entries_refused_for_good_are_counted_in_the_line_at_exit(proxy: RemoteWriteProxy, loki: FakeLoki) -> None:
    loki.always = Status(400)
    lines = without_attribute(warned(proxy, loki, "none", 80).err)
    assert lines[0].startswith("monitored_openai: 80 log entries dropped (rejected): HTTP 400")
    assert lines[1:] == ["monitored_openai: lost when the process ended: log entries dropped before: 80 (rejected)"]


def test_what_a_spool_keeps_is_no_loss(proxy: RemoteWriteProxy, loki: FakeLoki, tmp_path: Path) -> None:
    for back_end in (proxy, loki):
        back_end.refuse()
    ended = warned(proxy, loki, "none", 80, spool_dir=tmp_path / "spool", exit_timeout=0.5)
    assert "lost when" not in ended.err


def test_a_misspelt_variable_is_named_with_the_nearest_known_one_and_without_its_value(
    proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    ended = warned(proxy, loki, env={"MONITORED_OPENAI_METRIC_URL": "http://pa55word-0123456789@x.test"})
    assert without_attribute(ended.err) == [
        "monitored_openai: MONITORED_OPENAI_METRIC_URL: is not a setting; did you mean MONITORED_OPENAI_METRICS_URL?"
    ]


def test_a_setting_turns_the_warnings_off(proxy: RemoteWriteProxy, loki: FakeLoki) -> None:
    proxy.always = loki.always = Status(401)
    ended = warned(proxy, loki, "none", 80, env={"MONITORED_OPENAI_METRIC_URL": "x"}, log_warnings=False)
    assert ended.err == ""


def test_an_exception_on_stderr_has_its_type_and_place_and_not_its_message(
    proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    lines = without_attribute(warned(proxy, loki, "none", 1, "on_record").err)
    assert lines[0] == "monitored_openai: the function given as on_record raised"
    assert lines[-1] == "ValueError"
    assert any("in raises" in line for line in lines)


def test_with_basic_config_the_lines_have_its_form_and_come_once(proxy: RemoteWriteProxy, loki: FakeLoki) -> None:
    proxy.always = loki.always = Status(401)
    lines = warned(proxy, loki, "basicConfig", 3).err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("WARNING:monitored_openai:") for line in lines)
    assert "monitored_openai: " not in "".join(lines)


@pytest.mark.parametrize(("setup", "said"), [("stdout", 4), ("null", 0)])
def test_a_handler_of_the_program_keeps_the_lines_off_stderr(
    setup: str, said: int, proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    proxy.always = loki.always = Status(401)
    ended = warned(proxy, loki, setup, 3)
    assert (ended.err, len(ended.out.splitlines()) - 1) == ("", said)


def test_a_handle_that_is_closed_warns_of_its_losses_once(loki: FakeLoki, caplog: pytest.LogCaptureFixture) -> None:
    loki.refuse()
    with handle(logs_url=loki.push_url) as monitoring:
        with in_process(monitoring) as client:
            ask(client)
        for _ in range(2):
            monitoring.close(0.2)
    lost = [line for line in caplog.messages if line.startswith("lost when")]
    assert len(lost) == 1
    assert lost[0].startswith("lost when the handle was closed: 1 of 1 log entries (")


def test_one_handle_that_wants_warnings_keeps_them_on_and_errors_are_never_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with handle(log_warnings=False, job="quiet"):
        with handle(job="loud"):
            warn_sparsely("one of them", "logged")
        logging.getLogger("monitored_openai").error("an error is logged in any case")
    assert caplog.messages == ["logged", "an error is logged in any case"]


def test_settings_that_turn_warnings_off_say_nothing_of_unknown_variables(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_LOGZ_URL", "x")
    with handle(log_warnings=False, job="quiet"):
        assert not caplog.messages
        MonitoringSettings()
    assert caplog.messages == ["MONITORED_OPENAI_LOGZ_URL: is not a setting; did you mean MONITORED_OPENAI_LOGS_URL?"]


def lost_at_close(caplog: pytest.LogCaptureFixture) -> str:
    (line,) = [line for line in caplog.messages if line.startswith("lost when the handle was closed: ")]
    return line.removeprefix("lost when the handle was closed: ")


def test_a_limit_that_slows_delivery_is_the_cause_of_the_loss(caplog: pytest.LogCaptureFixture) -> None:
    with (
        FakeLoki(stream_rate=Rate(20_000, 40_000)) as loki,
        RemoteWriteProxy(rate=Rate(20, 40)) as proxy,
        handle(logs_url=loki.push_url, metrics_url=proxy.write_url) as monitoring,
    ):
        call(monitoring, 100, "x" * 4000)
        flush_until(monitoring, lambda: 429 in proxy.statuses and monitoring.stats().delivered > 0)
        monitoring.close(0.5)
    entries, totals = lost_at_close(caplog).split("; ")[:2]
    limit = "waiting for the back end's limit, HTTP 429 Too Many Requests"
    assert entries.endswith(f" of 100 log entries ({limit}: per-stream rate limit)")
    assert totals.startswith("the totals ")
    assert limit in totals


def test_a_loss_without_a_request_or_an_answer_has_that_cause(
    proxy: RemoteWriteProxy, loki: FakeLoki, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.always = loki.always = NeverAnswer()
    urls = {"logs_url": loki.push_url, "metrics_url": proxy.write_url}
    with handle(**urls) as monitoring:
        call(monitoring)
        flush_until(monitoring, lambda: bool(loki.requests and proxy.requests))
        monitoring.close(0.1)
    unanswered = "1 of 1 log entries (no answer in time); the totals of 1 call (no answer in time)"
    assert lost_at_close(caplog) == unanswered


def test_an_exit_without_time_for_a_request_names_no_answer(proxy: RemoteWriteProxy, loki: FakeLoki) -> None:
    lines = without_attribute(warned(proxy, loki, "none", 5, exit_timeout=0, log_linger=30).err)
    assert len(lines) == 1
    assert lines[0].startswith("monitored_openai: lost when the process ended: 5 of 5 log entries (not sent in time)")
    assert "no answer" not in lines[0]
    assert loki.requests == []
