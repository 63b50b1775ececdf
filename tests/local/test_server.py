"""The embedded back end: its replies equal the pushed data, and only authorised clients can read it."""

from __future__ import annotations

import gzip
import io
import json
import math
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitored_openai import MonitoringSettings
from monitored_openai._cli.demo import counts
from monitored_openai._cli.demo import run as demo
from monitored_openai._cli.demo.openai_server import Api
from monitored_openai._cli.demo.receivers import LogsReceiver, MetricsReceiver
from monitored_openai._cli.terminal import Terminal
from monitored_openai._local import calls, counters, history
from monitored_openai._local.conversation import Turn, turns
from monitored_openai._local.history import History
from monitored_openai._local.http import auth
from monitored_openai._local.server import LOGS_PATH, METRICS_PATH, LocalServer
from tests.support.local_page import CALL, Page, metrics_of, open_page
from tests.support.programs import running
from tests.support.programs import settings as program_settings
from tests.support.records import full_record, record
from tests.support.servers.openai_api import OpenAIServer

pytestmark = pytest.mark.once


# Figures


def test_figures_are_the_sum_of_last_values_over_processes_and_pushes(page: Page) -> None:
    first, second = metrics_of(full_record(), full_record()), metrics_of(full_record())
    page.push_process(first, "a")
    page.push_process(second, "b")
    page.push_process(first, "a")  # nothing happened in between
    first.fold(full_record(error_type="timeout"))
    page.push_process(first, "a")

    total = page.overview()["total"]

    cost = full_record().cost
    assert cost is not None
    assert (total["calls"], total["errors"], total["retries"]) == (4, 1, 4)
    assert (total["input_tokens"], total["output_tokens"]) == (120, 80)
    assert total["cost"] == pytest.approx(4 * cost.total_usd, rel=1e-12)


def test_a_lost_push_is_made_good_by_the_next_one_and_an_old_one_adds_nothing(page: Page) -> None:
    name, labels = "gen_ai_client_operation_duration_seconds_count", {"instance": "a"}
    now = time.time_ns() // 1_000_000
    for value, at_ms in ((3.0, now - 3000), (9.0, now - 1000), (5.0, now - 2000), (9.0, now - 1000), (math.nan, now)):
        assert page.push([(name, labels, value)], at_ms=at_ms) == 204

    assert page.overview()["total"]["calls"] == 9


def test_groups_and_filters_go_by_model_and_by_attribute(page: Page) -> None:
    records = [record(attributes={"feature": feature}, request_model=model) for feature, model in ("aX", "aY", "bX")]
    records += [record(request_model="X")]
    page.push_process(metrics_of(*records, label_names=("feature",)), "p")

    by_model = {group["name"]: group["calls"] for group in page.overview()["groups"]}
    by_feature = {group["name"]: group["calls"] for group in page.overview(by="feature")["groups"]}
    of_a = {group["name"]: group["calls"] for group in page.overview(feature="a")["groups"]}

    assert by_model == {"X": 3, "Y": 1}
    assert by_feature == {"a": 2, "b": 1, "": 1}
    assert of_a == {"X": 1, "Y": 1}
    assert page.overview(feature="")["total"]["calls"] == 1
    assert page.overview()["values"]["feature"] == ["a", "b"]


def test_more_groups_than_colours_are_folded_and_still_add_up(page: Page) -> None:
    page.push_process(metrics_of(*(record(request_model=f"m{number:02}") for number in range(12))), "p")

    overview = page.overview()

    assert overview["series"][-1] == "other"
    assert len(overview["series"]) == 8
    assert len(overview["groups"]) == 12
    assert sum(sum(line) for line in overview["charts"]["calls"].values()) == 12


def test_a_group_that_is_called_as_the_rest_is_drawn_with_it_and_once(page: Page) -> None:
    names = ["other"] * 3 + [f"m{number:02}" for number in range(12)]
    page.push_process(metrics_of(*(record(request_model=name) for name in names)), "p")

    overview = page.overview()

    assert overview["groups"][0]["name"] == overview["series"][-1] == "other"
    assert overview["groups"][0]["calls"] == 3
    assert sum(sum(overview["charts"]["calls"][name]) for name in overview["series"]) == len(names)


def test_quantiles_are_what_promql_makes_of_the_same_buckets(page: Page) -> None:
    page.push_process(metrics_of(*(record(duration=0.5) for _ in range(10))), "p")

    total = page.overview()["total"]

    assert total["duration"]["p50"] == pytest.approx(0.32 + 0.5 * 0.32)
    assert total["first_chunk"]["p50"] is None


def test_every_stretch_of_time_ends_now_and_has_the_same_total(page: Page) -> None:
    page.push_process(metrics_of(record(), record()), "p")

    for seconds in (900, 3600, 21_600, 86_400, 604_800, 2_592_000):
        overview = page.overview(seconds=seconds)
        assert overview["total"]["calls"] == 2
        assert sum(overview["charts"]["calls"]["gpt-4o"]) == 2
        assert overview["times"][-1] + overview["step"] > overview["now"] >= overview["times"][-1]
        assert 48 <= len(overview["times"]) <= 61


def test_what_was_dropped_on_the_way_is_told(page: Page) -> None:
    labels = {"signal": "logs", "reason": "queue_full", "instance": "a"}
    page.push([("monitored_openai_dropped_total", labels, 3.0)])

    assert page.overview()["dropped"] == {"queue_full": 3}


def test_an_overview_that_did_not_change_is_not_sent_again(page: Page) -> None:
    known = page.get("/api/overview", seconds=2_592_000).headers["ETag"]
    url, condition = f"{page.server.url}/api/overview?seconds=2592000", {"If-None-Match": known}

    assert httpx.get(url, headers=condition).status_code == 304
    page.push_process(metrics_of(record()), "p")
    assert httpx.get(url, headers=condition).status_code == 200


def test_the_demo_s_api_and_the_page_agree_to_the_last_token(page: Page) -> None:
    api, kept = Api(pace=0.02), page.server._history
    metrics = MetricsReceiver(also=lambda received: counters.keep(kept, received))
    logs = LogsReceiver(also=lambda received: calls.keep(kept, received))

    assert demo.run(Terminal(out=io.StringIO()), api=api, metrics=metrics, logs=logs) == 0

    total = page.overview()["total"]
    assert total["calls"] == counts.total(api.served, "calls")
    assert total["input_tokens"] == counts.total(api.served, "input tokens")
    assert total["output_tokens"] == counts.total(api.served, "output tokens")
    assert total["errors"] == 24
    listed = page.calls(limit=200)
    listed += page.calls(limit=200, before=listed[-1]["at_ns"], before_id=listed[-1]["id"])
    assert len({call["id"] for call in listed}) == total["calls"]
    assert math.fsum(call["cost"] or 0 for call in listed) == pytest.approx(total["cost"], rel=1e-9)


def test_four_processes_with_mixed_calls_add_up_to_the_last_token(page: Page) -> None:
    calls_each = 60
    with OpenAIServer() as api, ExitStack() as stack:
        url = page.server.url
        given = program_settings(metrics_url=url, logs_url=url, push_interval=0.2, label_names="program")
        given["OPENAI_BASE_URL"] = api.base_url
        programs = [stack.enter_context(running("mixed", calls_each, f"p{n}", env=given)) for n in range(4)]
        ended = [program.wait(100) for program in programs]
        served, told = api.truth.calls_by_outcome(), api.truth.tokens_by_kind()

    assert [(one.code, one.err) for one in ended] == [(0, "")] * 4
    overview = page.overview(by="program", seconds=3600)
    total = overview["total"]
    assert {group["name"]: group["calls"] for group in overview["groups"]} == {f"p{n}": calls_each for n in range(4)}
    assert (total["calls"] - total["errors"], total["calls"] + total["retries"]) == (served["ok"], served.total())
    assert (total["input_tokens"], total["output_tokens"]) == (told["input"], told["output"])
    listed = page.calls(limit=200)
    listed += page.calls(limit=200, before=listed[-1]["at_ns"], before_id=listed[-1]["id"])
    assert len({call["id"] for call in listed}) == 4 * calls_each
    assert sum(call["input_tokens"] or 0 for call in listed) == told["input"]


# Calls


def test_calls_are_found_by_any_of_their_words_in_capitals_or_not(page: Page) -> None:
    page.log(CALL, {**CALL, "id": "c2", "request": {"messages": [{"role": "user", "content": "100 % _ok_"}]}})

    assert [call["id"] for call in page.calls()] == ["c2", "c1"]
    for words, found in (
        ("STRASSE dort", ["c1"]),
        ("%", ["c2"]),
        ("_OK_", ["c2"]),
        ("gpt-4O", ["c2", "c1"]),
        ("x'", []),
    ):
        assert [call["id"] for call in page.calls(q=words)] == found


def test_calls_are_filtered_by_label_and_by_failure_and_come_in_pages(page: Page) -> None:
    failed = {**CALL, "id": "c2", "error_type": "timeout", "attributes": {"feature": "else"}}
    page.log(CALL, failed, stream={"environment": "test", "job": "j"})

    assert [call["id"] for call in page.calls(failed=1)] == ["c2"]
    assert [call["id"] for call in page.calls(feature="search")] == ["c1"]
    assert [call["id"] for call in page.calls(team="")] == ["c2", "c1"]
    assert [call["id"] for call in page.calls(environment="test", model="gpt-4o")] == ["c2", "c1"]
    first = page.calls(limit=1)
    assert [call["id"] for call in page.calls(limit=1, before=first[0]["at_ns"], before_id="c2")] == ["c1"]


def test_calls_are_listed_from_an_instant_on_also_page_by_page(page: Page) -> None:
    now = time.time_ns()
    page.log(*({**CALL, "id": f"c{number}"} for number in range(5)), at_ns=now)

    assert [row["id"] for row in page.calls(since_ns=now + 2)] == ["c4", "c3", "c2"]
    (last,) = page.calls(since_ns=now + 2, before=now + 3, before_id="c3")
    assert last["id"] == "c2"
    assert len(page.calls(since_ns="soon")) == 5
    assert page.calls(since_ns="9" * 19) == []


@pytest.mark.parametrize("name", ["limit", "q", "failed", "before", "since_ns", "seconds", "by"])
def test_a_label_that_is_called_as_a_parameter_is_filtered_by(page: Page, name: str) -> None:
    calls = [full_record(attributes={name: value}) for value in ("x", "y")]
    page.push_process(metrics_of(*calls, label_names=(name,)), "p")
    page.log(*({**CALL, "id": value, "attributes": {name: value}} for value in ("x", "y")))

    assert [row["id"] for row in page.calls(**{f"is.{name}": "x"})] == ["x"]
    assert page.overview(**{f"is.{name}": "x"})["total"]["calls"] == 1


def test_sums_that_json_cannot_hold_are_unknown_and_a_counter_is_not_negative(page: Page) -> None:
    for instance in ("a", "b"):
        labels = {"gen_ai_request_model": "m", "instance": instance}
        page.keep(
            [("gen_ai_client_cost_usd_total", labels, 1.7e308), ("monitored_openai_dropped_total", labels, 1.7e308)]
        )
        page.push([("gen_ai_client_operation_duration_seconds_bucket", {**labels, "le": "+Inf"}, -1.0)])
        page.push([("gen_ai_client_retries_total", {**labels, "more": "1"}, -3.0)])
        page.push([("gen_ai_client_retries_total", {**labels, "more": "1"}, 2.0)])

    answer = page.get("/api/overview", seconds=900)
    shown = json.loads(answer.text, parse_constant=pytest.fail)
    assert shown["total"]["cost"] is None
    assert shown["dropped"] == {"": None}
    assert shown["total"]["retries"] == 4


def test_calls_of_the_same_instant_are_all_in_the_list(page: Page) -> None:
    for number in range(5):
        page.log({**CALL, "id": f"c{number}"}, at_ns=time.time_ns() // 10**15 * 10**15)

    seen, last = list[str](), dict[str, str]()
    while found := page.calls(limit=2, **last):
        seen += [call["id"] for call in found]
        last = {"before": found[-1]["at_ns"], "before_id": found[-1]["id"]}

    assert seen == ["c4", "c3", "c2", "c1", "c0"]


def test_a_call_that_is_pushed_again_is_there_once(page: Page) -> None:
    for _ in range(2):
        page.log(CALL, at_ns=1_764_000_000_000_000_000 + time.time_ns() % 1000)

    assert len(page.calls()) <= 1


def test_an_opened_call_has_its_turns_and_its_line(page: Page) -> None:
    page.log(CALL)

    call = page.get("/api/calls/c1").json()

    assert [turn["text"] for turn in call["turns"]] == ["Wo ist die Straße?", "Dort."]
    assert json.loads(call["line"]) == CALL
    assert page.get("/api/calls/none").status_code == 404


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"request": {"prompt": ["a", "b"]}, "response": {"choices": [{"text": "c"}]}}, ["a", "b", "c"]),
        ({"request": {"instructions": "i", "input": "a"}, "response": "raw"}, ["i", "a", "raw"]),
        (
            {
                "request": {
                    "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]}]
                },
                "response": {
                    "output": [
                        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "r"}]},
                        {"type": "function_call", "name": "f", "arguments": "{}"},
                        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
                    ]
                },
            },
            ["a", "r", "{}", "b"],
        ),
        ({"request": {"input": "speech", "model": "tts-1"}, "response": {"text": "heard"}}, ["speech", "heard"]),
        (
            {
                "request": {
                    "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]
                }
            },
            ["[image: u]"],
        ),
        ({"request": {"messages": 5}, "response": {"choices": [None, {"message": 3}], "output": {}}}, []),
    ],
)
def test_every_family_s_turns_are_read(call: dict[str, Any], expected: list[str]) -> None:
    assert [str(turn) for turn in turns(call)] == expected


def test_tool_calls_and_refusals_are_turns() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "refusal": "No.",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
    }

    assert turns({"response": {"choices": [{"message": message}]}}) == [
        Turn(role="refusal", side="answered", text="No."),
        Turn(role="assistant", side="answered", text='{"a":1}', tool="f"),
    ]


# What bad input gets


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
FIELDS = "id error_type attributes usage cost request response duration_seconds request_model".split()


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), JSON, max_size=8))
def test_any_object_is_a_call_that_can_be_listed_and_opened(page: Page, call: dict[str, Any]) -> None:
    assert page.log({**call, "id": str(time.time_ns())}).status_code == 204

    newest = page.calls(limit=1)[0]
    assert page.get(f"/api/calls/{newest['id']}").status_code == 200


@given(st.dictionaries(st.sampled_from(["messages", "input", "prompt", "choices", "output", "text"]), JSON))
def test_no_content_is_too_odd_to_be_read(content: dict[str, Any]) -> None:
    assert all(isinstance(turn.text, str) for turn in turns({"request": content, "response": content}))


@pytest.mark.parametrize(
    ("line", "status"),
    [("no json", 400), ("[1]", 400), ("[" * 100_000, 400), ('{"id":"' + "x" * 10_000_000 + '"}', 400)],
)
def test_lines_that_are_no_calls_are_refused_and_the_rest_is_not(page: Page, line: str, status: int) -> None:
    assert page.log(line).status_code == status
    assert page.log(CALL).status_code == 204
    assert len(page.calls()) == 1


def test_a_line_that_is_too_long_costs_the_others_nothing(page: Page) -> None:
    answer = page.log(CALL, {**CALL, "id": "c2", "request": "x" * 10_000_000})

    assert (answer.status_code, answer.text) == (400, "1 lines are too long, the others were accepted")
    assert [call["id"] for call in page.calls()] == ["c1"]


def test_pushes_too_large_packed_or_not_are_refused(page: Page) -> None:
    bomb = gzip.compress(b" " * 40_000_000)
    url = page.server.url

    assert httpx.post(f"{url}{LOGS_PATH}", content=bomb).status_code == 413
    assert httpx.post(f"{url}{METRICS_PATH}", content=b"\xff\xff\xff\xff\x0f").status_code == 413
    assert httpx.post(f"{url}{METRICS_PATH}", content=b"").status_code == 400
    assert httpx.post(f"{url}{LOGS_PATH}", content=iter([b"a"])).status_code == 400
    assert httpx.post(f"{url}/elsewhere", content=b"a").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/overview",
        "/api/overview?seconds=7",
        "/api/overview?seconds=900&a%22b=1",
        "/api/calls?x'y=1",
    ],
)
def test_wrong_questions_are_answered_with_what_is_wrong(page: Page, path: str) -> None:
    assert page.get(path).status_code == 400


@pytest.mark.parametrize("path", ["/../server.py", "/__init__.py", "/%2e%2e/server.py", "/page/index.html", "/nothing"])
def test_nothing_but_the_page_is_handed_out(page: Page, path: str) -> None:
    assert page.get(path).status_code == 404


# Who is answered


@pytest.mark.parametrize(
    ("host", "origin", "authorization", "token", "status"),
    [
        ("127.0.0.1:8642", None, "", None, None),
        ("localhost", "http://localhost", "", None, None),
        ("[::1]:8642", None, "", None, None),
        ("evil.example:8642", None, "", None, 403),
        ("", None, "", None, 403),
        ("[", None, "", None, 403),
        ("127.0.0.1", None, "", None, None),
        ("app.localhost:80", None, "", None, None),
        ("[::1", None, "", None, 403),
        ("[::1]x", None, "", None, 403),
        ("evil.example\\@127.0.0.1", None, "", None, 403),
        ("evil.example@127.0.0.1", None, "", None, 403),
        ("127.0.0.1#.evil.example", None, "", None, 403),
        ("127.0.0.1?.evil.example", None, "", None, 403),
        ("127.0.0.1/x", None, "", None, 403),
        ("127.0.0.1:99999999", None, "", None, 403),
        ("127.0.0.1:65536", None, "", None, 403),
        ("127.0.0.1:", None, "", None, 403),
        ("127.0.0.1:x", None, "", None, 403),
        ("127.0.0.1\t", None, "", None, 403),
        ("localhost.evil.example", None, "", None, 403),
        ("\u0661\u0662\u0667.0.0.1", None, "", None, 403),
        ("127.0.0.1:8642", "http://evil.example", "", None, 403),
        ("127.0.0.1:8642", "null", "", None, 403),
        ("server:1", None, "Bearer secret", "secret", None),
        ("server:1", None, "Basic dXNlcjpzZWNyZXQ=", "secret", None),
        ("server:1", None, "Bearer other", "secret", 401),
        ("server:1", None, "Basic ???", "secret", 401),
        ("server:1", None, "", "secret", 401),
        ("server:1", "http://evil.example", "Bearer secret", "secret", 403),
    ],
)
def test_only_those_who_may_are_answered(
    host: str, origin: str | None, authorization: str, token: str | None, status: int | None
) -> None:
    headers = {"host": host, "authorization": authorization} | ({} if origin is None else {"origin": origin})
    refused = auth.request_error(headers, token)

    assert (refused and refused[0]) == status


@pytest.mark.parametrize(
    ("site", "destination", "status"),
    [
        ("cross-site", "image", 403),
        ("cross-site", "iframe", 403),
        ("cross-site", None, 403),
        ("same-site", "script", 403),
        ("cross-site", "document", 200),
        ("same-origin", "empty", 200),
        ("none", "document", 200),
    ],
)
def test_an_image_or_a_frame_of_another_page_is_refused(
    page: Page, site: str, destination: str | None, status: int
) -> None:
    headers = {"Sec-Fetch-Site": site} | ({"Sec-Fetch-Dest": destination} if destination else {})

    assert httpx.get(f"{page.server.url}/api/calls", headers=headers).status_code == status


def test_every_answer_forbids_foreign_scripts_and_frames(page: Page) -> None:
    for path in ("/", "/page.js", "/api/calls", "/nothing", "/api/overview"):
        policy = page.get(path).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_a_name_of_somebody_else_for_this_machine_is_refused(page: Page) -> None:
    assert httpx.get(f"{page.server.url}/", headers={"Host": "rebound.example"}).status_code == 403


def test_a_token_is_asked_for_and_the_library_sends_it(tmp_path: Path) -> None:
    kept = History(tmp_path / "history.sqlite3", say=print)
    with LocalServer(kept, token="secret") as server:
        headers = MonitoringSettings.local(server.url, access_token="secret").request_headers("metrics")

        assert httpx.get(server.url).headers["WWW-Authenticate"].startswith("Basic ")
        assert httpx.get(server.url, headers=headers).status_code == 200
        assert httpx.get(server.url, auth=("anybody", "secret")).status_code == 200
    kept.close()


def test_the_settings_for_the_page_name_its_two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_METRICS_PROTOCOL", "influx")
    monkeypatch.setenv("MONITORED_OPENAI_METRICS_URL", "https://influx.example.com")
    monkeypatch.setenv("MONITORED_OPENAI_METRIC_NAMES", "grafana_openai")
    local = MonitoringSettings.local(environment="test")

    assert local.metrics_url == f"http://127.0.0.1:8642{METRICS_PATH}"
    assert local.logs_url == f"http://127.0.0.1:8642{LOGS_PATH}"
    assert (local.push_seconds, local.environment) == (2, "test")
    assert (local.metrics_protocol, local.metric_names) == ("remote_write", ("gen_ai",))


# The file


def test_the_history_is_there_after_a_new_start_and_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "history.sqlite3"
    metrics = metrics_of(record())
    for page in open_page(path):
        page.push_process(metrics, "a")
        page.log(CALL)
    for page in open_page(path):
        page.push_process(metrics, "a")
        assert page.overview()["total"]["calls"] == 1
        assert len(page.calls()) == 1
        assert page.said == []
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_damaged_history_is_set_aside_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    for page in open_page(path):
        page.log(CALL)
    content = path.read_bytes()
    broken = content[:4096] + b"\xee" * (len(content) - 4096)
    path.write_bytes(broken)

    for page in open_page(path):
        assert page.calls() == []
        assert page.log(CALL).status_code == 204
        assert len(page.said) == 1
        assert "renamed to" in page.said[0]
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == broken


def test_odd_questions_are_answered_or_refused(tmp_path: Path) -> None:
    for page in open_page(tmp_path / "history.sqlite3"):
        page.log(CALL)
        many = {f"label{number}": "x" for number in range(3000)}

        assert [call["id"] for call in page.calls(before="9" * 19)] == ["c1"]
        assert [call["id"] for call in page.calls(before="9" * 20, limit="9" * 8)] == ["c1"]
        for path, asked in (("/api/calls", many), ("/api/overview", {"seconds": 900, **many})):
            refused = page.get(path, **asked)
            assert (refused.status_code, refused.text) == (400, "more than 20 labels")


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "bookmarks.sqlite3"
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute("CREATE TABLE call (who TEXT)")
        foreign.commit()
    before = path.read_bytes()
    said: list[str] = []

    with pytest.raises(OSError, match="a database of another program"):
        History(path, say=said.append)

    assert (path.read_bytes(), said, list(tmp_path.iterdir())) == (before, [], [path])


def test_a_history_damaged_while_in_use_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    for page in open_page(path):
        page.log(*({**CALL, "id": f"c{number}"} for number in range(500)))
        kept = page.server._history
        with kept.writing() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)") if not connection.in_transaction else None
        kept._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xee" * (path.stat().st_size - 4096))
        kept._reader.execute("PRAGMA shrink_memory")

        statuses = {page.get("/api/calls").status_code for _ in range(2)} | {page.log(CALL).status_code}

        assert statuses <= {200, 204, 503}
        assert page.log({**CALL, "id": "after"}).status_code == 204
        assert "renamed to" in page.said[0]


def test_no_more_is_kept_than_allowed_and_the_oldest_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_PRUNE_SECONDS", 0)
    monkeypatch.setattr(history, "_SWEEP_SECONDS", 0)
    for page in open_page(tmp_path / "a.sqlite3", calls=2):
        for number in range(4):
            page.log({**CALL, "id": f"c{number}"})
        assert [call["id"] for call in page.calls()] == ["c3", "c2"]
    for page in open_page(tmp_path / "b.sqlite3", days=1):
        page.log({**CALL, "id": "old"}, at_ns=time.time_ns() - 2 * 86400 * 10**9)
        assert page.calls() == []
    for page in open_page(tmp_path / "c.sqlite3", bytes=600):
        for number in range(4):
            page.log({**CALL, "id": f"c{number}"})
        assert [call["id"] for call in page.calls()] == ["c3", "c2"]


def test_a_full_disk_is_said_and_may_pass(page: Page) -> None:
    kept = page.server._history
    kept._writer.execute("PRAGMA max_page_count = 1")
    content = {"request": {"prompt": "x" * 200_000}}
    assert page.log({**CALL, **content}).status_code == 503
    kept._writer.execute("PRAGMA max_page_count = 1000000")
    assert page.log({**CALL, **content}).status_code == 204
