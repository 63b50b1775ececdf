"""From calls to the data in a real, strict Prometheus and in a fake Loki, compared with the API's own counts."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.handles import ask, client
from tests.support.programs import run, running, settings
from tests.support.servers.loki import FakeLoki
from tests.support.servers.openai_api import OpenAIServer, usage_for
from tests.support.servers.prometheus import Prometheus, require_prometheus
from tests.support.servers.remote_write import LoseAnswer, RemoteWriteProxy, Status

PROCESSES, CALLS = 4, 250
ROUNDS = 12
"""Of the calls of every family."""
PRICES = {
    "gpt-4o-2024-08-06": {"input": 2.5, "cached_input": 1.25, "output": 10.0},
    "gpt-4o-mini-2024-07-18": {"input": 0.15, "cached_input": 0.075, "output": 0.6},
    "gpt-3.5-turbo-instruct": {"input": 1.5, "output": 2.0},
}
CALLS_METRIC = "gen_ai_client_operation_duration_seconds_count"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with Prometheus(require_prometheus(), tmp_path_factory.mktemp("prometheus")) as running:
        yield running


@pytest.fixture
def proxy(prometheus: Prometheus) -> Iterator[RemoteWriteProxy]:
    with RemoteWriteProxy(prometheus.url) as running:
        yield running


class PrometheusTotals:
    """What a Prometheus says of one test, by the form for exact totals, over a range of so many seconds."""

    def __init__(self, prometheus: Prometheus, job: str, seconds: float, at: float | None = None) -> None:
        self._prometheus, self._job, self._seconds, self._at = prometheus, job, seconds, at

    def by(self, label: str, metric: str, **matchers: str) -> dict[str, float]:
        """The total of a metric for each value of a label (for none: the empty text), those of zero left out."""
        chosen = ",".join(f'{name}="{value}"' for name, value in {"job": self._job, **matchers}.items())
        c, r = f"{metric}{{{chosen}}}", f"{int(self._seconds * 1000)}ms"
        total = (
            f"sum by ({label}) (last_over_time({c}[{r}])"
            f" - (last_over_time({c}[1h] offset {r}) or last_over_time({c}[{r}]) * 0))"
        )
        found = {labels.get(label, ""): value for labels, value in self._prometheus.query(total, self._at)}
        return {value: number for value, number in found.items() if number}

    def of(self, metric: str, **matchers: str) -> float:
        """The total over all series."""
        return sum(self.by("job", metric, **matchers).values())


def env(job: str, api: OpenAIServer, metrics_url: str, loki: FakeLoki, **values: object) -> dict[str, str]:
    own = {
        "job": job,
        "exit_timeout": 30,
        "metrics_url": metrics_url,
        "logs_url": loki.push_url,
        "prices": json.dumps(PRICES),
    }
    return settings(**(own | values)) | {"OPENAI_BASE_URL": api.base_url}


class Expected:
    """What must be told of the calls that an API served, all of whose failures were retried as the SDK does."""

    def __init__(self, api: OpenAIServer, loki: FakeLoki) -> None:
        attempts = api.truth.calls_by_outcome()
        tried_three_times = attempts["http_500"] // 3
        self.errors = {
            "": attempts["ok"],
            "bad_request": attempts["http_400"],
            "invalid_api_key": attempts["http_401"],
            "model_not_found": attempts["http_404"],
            "server_error": tried_three_times,
        }
        self.calls = sum(self.errors.values())
        self.retries = attempts["http_429"] + attempts["http_503"] + 2 * tried_three_times
        self.tokens = {kind: float(number) for kind, number in api.truth.tokens_by_kind().items()}
        lines = [json.loads(entry.line) for entry in loki.entries]
        self.cost = sum(cost_of(line) or 0 for line in lines)
        self.incomplete = sum(any(audio_of(line)) and cost_of(line) is not None for line in lines)
        self.unpriced = [cost_of(line) for line in lines].count(None)


def served_usage(request: dict[str, Any]) -> dict[str, Any]:
    """The usage that the API has told for a request."""
    return usage_for(request, "/completions" if "prompt" in request else "/chat/completions")


def audio_of(line: dict[str, Any]) -> tuple[int, int]:
    """The tokens of audio of a call in the log, of its input and its output."""
    usage = {} if "error_type" in line else served_usage(line["request"])
    given, made = (usage.get(f"{of}_tokens_details", {}).get("audio_tokens", 0) for of in ("prompt", "completion"))
    return given, made


def cost_of(line: dict[str, Any]) -> float | None:
    """What a call in the log must have cost without its audio, which has no price; None if cached tokens may be audio."""
    if "error_type" in line:
        return 0.0
    usage, price = served_usage(line["request"]), PRICES[str(line["response_model"])]
    heard, spoken = audio_of(line)
    cached: int = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    if cached and heard:
        return None
    usd: float = (usage["prompt_tokens"] - cached - heard) * price["input"] + cached * price.get("cached_input", 0.0)
    usd += (usage["completion_tokens"] - spoken) * price["output"]
    return usd / 1e6


def matches(totals: PrometheusTotals, expected: Expected) -> None:
    assert totals.of(CALLS_METRIC) == expected.calls
    assert totals.by("error_type", CALLS_METRIC) == {kind: n for kind, n in expected.errors.items() if n}
    told = totals.by("gen_ai_token_type", "gen_ai_client_tokens_total")
    told |= totals.by("gen_ai_token_type", "gen_ai_client_token_details_total")
    assert told == expected.tokens
    assert totals.of("gen_ai_client_retries_total") == expected.retries
    assert totals.of("gen_ai_client_cost_usd_total") == pytest.approx(expected.cost, rel=1e-9)
    assert totals.of("gen_ai_client_cost_incomplete_total") == expected.incomplete
    assert totals.of("gen_ai_client_unpriced_total") == expected.unpriced
    assert totals.of("monitored_openai_dropped_total") == 0


@pytest.mark.timeout(240)
def test_four_processes_with_250_mixed_calls_each_add_up_to_the_last_token(
    prometheus: Prometheus, proxy: RemoteWriteProxy, api: OpenAIServer, loki: FakeLoki
) -> None:
    began = time.time()
    given = env("mixed", api, proxy.write_url, loki, push_interval=1, label_names="program")
    with ExitStack() as stack:
        programs = [stack.enter_context(running("mixed", CALLS, f"p{n}", env=given)) for n in range(PROCESSES)]
        ended = [program.wait(180) for program in programs]
    took = int(time.time() - began) + 5

    assert [(one.code, one.err) for one in ended] == [(0, "")] * PROCESSES
    expected = Expected(api, loki)
    seen = Counter[str]()
    for one in ended:
        seen.update(one.said)
    assert seen.total() == expected.calls == PROCESSES * CALLS
    assert seen["ok"] == expected.errors[""]
    for seconds, later in [(took, 0), (took + 60, 30), (3600, 0), (3600, 600), (7200, 3000), (86400, 0)]:
        matches(PrometheusTotals(prometheus, "mixed", seconds, at=time.time() + later), expected)

    totals = PrometheusTotals(prometheus, "mixed", 3600)
    assert totals.by("program", CALLS_METRIC) == {f"p{n}": CALLS for n in range(PROCESSES)}
    assert len(totals.by("instance", CALLS_METRIC)) == PROCESSES
    assert (proxy.violations, set(proxy.statuses)) == ([], {204})
    the_log_agrees(loki, expected)


def the_log_agrees(loki: FakeLoki, expected: Expected) -> None:
    """Everything is in the log once, in few streams, and its figures are those that the API served."""
    assert (loki.rejected, loki.duplicates) == ([], 0)
    assert len(loki.streams) <= PROCESSES
    lines = [json.loads(entry.line) for entry in loki.entries]
    assert len(lines) == len({line["id"] for line in lines}) == expected.calls
    assert Counter(line.get("error_type", "") for line in lines) == Counter(expected.errors)
    assert sum(line.get("retries", 0) for line in lines) == expected.retries
    tokens: Counter[str] = Counter()
    for line in lines:
        for kind, number in line.get("usage", {}).items():
            tokens[kind.removesuffix("_tokens")] += number
    assert {kind: number for kind, number in tokens.items() if number} == expected.tokens
    for entry, line in zip(loki.entries, lines, strict=True):
        _one_entry_agrees(entry.metadata, line)


def _one_entry_agrees(metadata: Any, line: dict[str, Any]) -> None:
    """What one filters by is what the line says, and the usage is that of the request in the line."""
    ok, cost = "error_type" not in line, cost_of(line)
    wanted = {
        "operation": line["operation"],
        "openai_api_type": line.get("api_type"),
        "openai_error_code": line.get("api_error", {}).get("code"),
        "provider": line["provider"],
        "model": line.get("response_model") or line["request_model"],
        "request_model": line["request_model"],
        "request_id": line["request_id"],
        "error_type": line.get("error_type"),
        "program": line["attributes"]["program"],
    }
    if ok:
        usage = served_usage(line["request"])
        tokens = {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
        assert tokens.items() <= line["usage"].items()
        wanted |= {name: str(number) for name, number in tokens.items()}
        wanted["finish_reason"] = line["finish_reasons"][0]
        assert line["response"]["choices"]
    else:
        assert line["error_message"]
    if ok and cost is not None:
        assert line["cost"]["total_usd"] == pytest.approx(cost, rel=1e-9)
        wanted["cost_usd"] = f"{line['cost']['total_usd']:.9f}"
        wanted["cost_incomplete"] = ",".join(line.get("cost_incomplete", ())) or None
    assert "stream_options" not in line["request"]
    assert dict(metadata) == {name: value for name, value in wanted.items() if value is not None}


@pytest.mark.timeout(240)
def test_every_family_adds_up_to_the_last_token_second_and_character(
    prometheus: Prometheus, proxy: RemoteWriteProxy, api: OpenAIServer, loki: FakeLoki
) -> None:
    ended = run("families", ROUNDS, env=env("families", api, proxy.write_url, loki, push_interval=1))

    assert (ended.code, ended.err) == (0, "")
    totals, made = PrometheusTotals(prometheus, "families", 3600), Counter[str](ended.said)
    assert totals.by("gen_ai_operation_name", CALLS_METRIC) == made
    api_types = Counter(json.loads(entry.line).get("api_type", "") for entry in loki.entries)
    assert totals.by("openai_api_type", CALLS_METRIC) == api_types
    assert min(api_types["chat_completions"], api_types["responses"]) > 0
    told = totals.by("gen_ai_token_type", "gen_ai_client_tokens_total")
    told |= totals.by("gen_ai_token_type", "gen_ai_client_token_details_total")
    assert told == api.truth.tokens_by_kind()
    assert totals.of("gen_ai_client_audio_seconds_total") == 12 * ROUNDS
    lines = [json.loads(entry.line) for entry in loki.entries]
    spoken = [line["request"]["input"] for line in lines if line["operation"] == "speech"]
    assert totals.of("gen_ai_client_characters_total") == sum(map(len, spoken)) > 0
    assert totals.by("reason", "gen_ai_client_usage_unknown_total") == {"background": 2 * ROUNDS, "abandoned": ROUNDS}
    assert totals.by("error_type", CALLS_METRIC) == {"": made.total() - ROUNDS, "abandoned": ROUNDS}
    assert totals.of("monitored_openai_dropped_total") == 0
    assert Counter(line["operation"] for line in lines) == made
    assert (proxy.violations, loki.rejected, loki.duplicates) == ([], [], 0)


def test_two_clients_with_different_settings_in_one_process_add_up(
    prometheus: Prometheus, api: OpenAIServer, loki: FakeLoki
) -> None:
    shared = {"metrics_url": prometheus.write_url, "logs_url": loki.push_url, "job": "two clients"}
    with (
        client(api.base_url, **shared) as one,
        client(api.base_url, **shared, environment="other") as other,
        client(api.base_url, **shared, log_linger=0.06) as third,
    ):
        for asking, times in ((one, 5), (other, 8), (third, 13)):
            for number in range(times):
                ask(asking, f"question {number}")
        assert all(asking.monitoring.flush(10).complete for asking in (one, other, third))

        totals = PrometheusTotals(prometheus, "two clients", 3600)
        assert totals.by("environment", CALLS_METRIC) == {"default": 18, "other": 8}
        told = totals.by("gen_ai_token_type", "gen_ai_client_tokens_total")
        truth = api.truth.tokens_by_kind()
        assert told == {"input": truth["input"], "output": truth["output"]}
        assert (len(loki.entries), len(loki.streams)) == (26, 2)


def test_a_script_that_makes_seven_calls_and_ends_shows_seven(
    prometheus: Prometheus, api: OpenAIServer, loki: FakeLoki
) -> None:
    ended = run("seven", env=env("seven", api, prometheus.write_url, loki))

    assert (ended.code, ended.err) == (0, "")
    for seconds, later in ((10, 0), (300, 0), (300, 240), (3600, 3000)):
        matches(PrometheusTotals(prometheus, "seven", seconds + 30, at=time.time() + later), Expected(api, loki))
    assert PrometheusTotals(prometheus, "seven", 3600).of(CALLS_METRIC) == 7
    # A zero is there before the first value, so that those who look at increases see the seven too.
    assert prometheus.value(f'sum(increase({CALLS_METRIC}{{job="seven"}}[5m]))') is not None
    assert len(loki.entries) == 7


def test_short_lived_processes_one_after_the_other_add_up(
    prometheus: Prometheus, api: OpenAIServer, loki: FakeLoki
) -> None:
    given = env("in a row", api, prometheus.write_url, loki)
    for number in range(1, 4):
        assert run("seven", env=given).code == 0
        assert PrometheusTotals(prometheus, "in a row", 3600).of(CALLS_METRIC) == 7 * number

    matches(PrometheusTotals(prometheus, "in a row", 3600), Expected(api, loki))
    assert (len(loki.entries), len(loki.streams), loki.rejected) == (21, 1, [])


def test_a_back_end_that_stores_a_push_and_loses_the_answer_changes_no_total(
    prometheus: Prometheus, proxy: RemoteWriteProxy, api: OpenAIServer, loki: FakeLoki
) -> None:
    for fault in (LoseAnswer(), None, LoseAnswer(), LoseAnswer(), None):
        proxy.fail_next(fault)
    with client(api.base_url, metrics_url=proxy.write_url, job="lost", push_interval=60) as asking:
        for number in range(1, 6):
            ask(asking, f"question {number}")
            assert asking.monitoring.flush(10).pushed
            assert PrometheusTotals(prometheus, "lost", 3600).of(CALLS_METRIC) == number

        truth = api.truth.tokens_by_kind()
        told = PrometheusTotals(prometheus, "lost", 3600).by("gen_ai_token_type", "gen_ai_client_tokens_total")
        assert told == {"input": truth["input"], "output": truth["output"]}
    assert (proxy.violations, proxy.faulted) == ([], 3)
    # The first push is strict Prometheus's reason to refuse its repetition: the zero is older by then than the value.
    assert proxy.statuses == [204, 400, *[204] * (len(proxy.statuses) - 2)]


@pytest.mark.parametrize("fault", [Status(503), Status(429), Status(400), None], ids=["503", "429", "400", "gone"])
def test_a_push_that_was_refused_is_made_good_by_the_next(
    fault: Status | None, prometheus: Prometheus, proxy: RemoteWriteProxy, api: OpenAIServer
) -> None:
    job = f"refused {fault.status if fault else ''}"
    with client(api.base_url, metrics_url=proxy.write_url, job=job, push_interval=60) as asking:
        ask(asking, "before")
        assert asking.monitoring.flush(10).pushed
        proxy.always = fault
        if fault is None:
            proxy.refuse()
        ask(asking, "meanwhile", extra_body={"model": "gpt-4o-mini"})
        assert not asking.monitoring.flush(0.5).pushed
        assert PrometheusTotals(prometheus, job, 3600).of(CALLS_METRIC) == 1

        proxy.always = None
        if fault is None:
            proxy.listen()
        assert asking.monitoring.flush(10).pushed
        assert PrometheusTotals(prometheus, job, 3600).of(CALLS_METRIC) == 2
        truth = api.truth.tokens_by_kind()
        told = PrometheusTotals(prometheus, job, 3600).by("gen_ai_token_type", "gen_ai_client_tokens_total")
        assert told == {"input": truth["input"], "output": truth["output"]}
    assert proxy.violations == []


def test_a_range_that_begins_in_the_middle_has_what_was_added_since(prometheus: Prometheus, api: OpenAIServer) -> None:
    with client(api.base_url, metrics_url=prometheus.write_url, job="middle", push_interval=60) as asking:
        for number in range(3):
            ask(asking, f"before {number}")
        assert asking.monitoring.flush(10).pushed
        middle = time.time() + 0.002
        for number in range(4):
            ask(asking, f"after {number}")
        assert asking.monitoring.flush(10).pushed
        now = time.time() + 0.002

    assert PrometheusTotals(prometheus, "middle", now - middle, at=now).of(CALLS_METRIC) == 4
    assert PrometheusTotals(prometheus, "middle", 3600, at=now).of(CALLS_METRIC) == 7


def test_calls_do_not_fail_while_the_exporter_starts_in_another_thread(
    prometheus: Prometheus, api: OpenAIServer, loki: FakeLoki
) -> None:
    # From its last 2.x on the SDK looks for httpx or httpx2 in sys.modules in each call, and fails if another thread is still
    # importing it; so nothing may import these after the first call.
    ended = run("seven", env=env("imports", api, prometheus.write_url, loki))

    assert (ended.code, ended.said) == (0, {"imported late": []})
