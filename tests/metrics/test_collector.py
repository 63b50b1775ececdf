"""The metrics for a scrape: the content of the scraped page, and no side effects."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from openai import APIConnectionError
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from monitored_openai import MonitoredOpenAI, Monitoring, attributes
from monitored_openai._metrics.metric_set import DETAILS
from monitored_openai._metrics.names import DURATION, OWN_METRICS, SEND_SECONDS
from tests.metrics.test_store import LABELS, LIMITS, OWN
from tests.support.handles import MODEL, ask, handle, in_process
from tests.support.servers._http import wait_until

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def page(*handles: Monitoring, generate: Callable[[Any], bytes] = generate_latest) -> str:
    registry = CollectorRegistry()
    for each in handles:
        registry.register(each.collector)
    return generate(registry).decode()


def samples_of(families: Iterable[Any]) -> Samples:
    found: Samples = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def total(samples: Samples, name: str, **labels: str) -> float:
    return sum(value for (found, of), value in samples.items() if found == name and labels.items() <= dict(of).items())


def wait_folded(monitoring: Monitoring) -> None:
    assert monitoring.flush(60).complete


@pytest.mark.parametrize(
    ("generate", "parser"), [(generate_latest, parse), (generate_openmetrics, parse_openmetrics)], ids=["text", "open"]
)
def test_a_scrape_says_what_the_calls_were(generate: Callable[[Any], bytes], parser: Callable[[str], Any]) -> None:
    odd = 'a "quoted" \\ one\nof two lines 😀'
    with (
        handle(
            environment="test", service_name="shop", extra_labels={"team": "a"}, label_names=["feature"]
        ) as monitoring,
        in_process(monitoring) as client,
    ):
        ask(client)
        with attributes(feature=odd):
            ask(client)
        wait_folded(monitoring)
        samples = samples_of(parser(page(monitoring, generate=generate)))
    assert total(samples, "gen_ai_client_operation_duration_seconds_count", gen_ai_request_model=MODEL) == 2
    assert total(samples, "gen_ai_client_tokens_total", gen_ai_token_type="input") == 10
    assert total(samples, "gen_ai_client_tokens_total", gen_ai_token_type="output", feature=odd) == 2
    assert total(samples, "monitored_openai_produced_total", signal="metrics") == 2
    assert {(dict(of)["environment"], dict(of)["service_name"], dict(of)["team"]) for _, of in samples} == {
        ("test", "shop", "a")
    }
    assert not {"job", "instance"} & {name for _, of in samples for name, _ in of}


def test_every_family_of_a_page_has_its_promised_type_and_says_what_it_is() -> None:
    with handle(provider="openai", histograms="full") as monitoring, in_process(monitoring) as client:
        ask(client)
        wait_folded(monitoring)
        families = {family.name: family for family in parse(page(monitoring))}
    types = {name: kind for name, (kind, _) in LABELS.items()} | LIMITS | OWN
    promised = {name.removesuffix("_total"): kind for name, kind in types.items()}
    assert {name: family.type for name, family in families.items()} == {name: promised[name] for name in families}
    assert all(family.documentation for family in families.values())
    assert {"gen_ai_client_operation_duration_seconds", "monitored_openai_prices_timestamp_seconds"} <= families.keys()


@pytest.mark.parametrize("histograms", DETAILS)
def test_a_scrape_of_failed_calls_is_valid_openmetrics(histograms: str) -> None:
    with (
        handle(histograms=histograms) as monitoring,
        in_process(monitoring) as client,
        MonitoredOpenAI(
            base_url="http://127.0.0.1:9/v1", api_key="none", max_retries=0, monitoring=monitoring
        ) as failing,
    ):
        ask(client)
        with pytest.raises(APIConnectionError):
            ask(failing)
        wait_folded(monitoring)
        parser: Callable[[str], Any] = parse_openmetrics
        families = {family.name: family for family in parser(page(monitoring, generate=generate_openmetrics))}
    samples = samples_of(families.values())
    for labels in (dict[str, str](), {"error_type": "connection"}):
        counts = [
            total(samples, DURATION.count, **labels),
            total(samples, DURATION.bucket, le="+Inf", **labels),
        ]
        assert counts == [2 - len(labels)] * 2
    assert families[SEND_SECONDS.name].type == ("histogram" if histograms == "full" else "summary")


def test_our_own_metrics_have_the_promised_labels() -> None:
    settings: dict[str, Any] = {"metrics_url": "http://127.0.0.1:9", "push_interval": 0.01, "provider": "openai"}
    settings["histograms"] = "full"
    with handle(**settings) as monitoring, in_process(monitoring) as client:
        ask(client)
        wait_until(lambda: monitoring.stats().folded == 1)
        monitoring.close(0)
        samples = samples_of(parse(page(monitoring)))
    labels: dict[str, set[frozenset[str]]] = {}
    for name, of in samples:
        if name.startswith("monitored_openai_"):
            labels.setdefault(name, set()).add(frozenset(dict(of)) - {"environment"})
    declared = {series: {*metric.labels} for metric in OWN_METRICS for series in metric.series_names}
    assert all(found - {"le"} == declared[name] for name, each in labels.items() for found in each)
    assert {name: sorted(map(sorted, each)) for name, each in labels.items()} == {
        "monitored_openai_produced_total": [["signal"]],
        "monitored_openai_delivered_total": [["signal"]],
        "monitored_openai_queued": [["signal"]],
        "monitored_openai_in_flight": [["signal"]],
        "monitored_openai_folded_label_sets_total": [["signal"]],
        "monitored_openai_prices_timestamp_seconds": [["gen_ai_provider_name"]],
        "monitored_openai_send_seconds_bucket": [["le", "signal"]],
        "monitored_openai_send_seconds_sum": [["signal"]],
        "monitored_openai_send_seconds_count": [["signal"]],
    }


def test_calls_under_way_are_a_gauge_that_comes_down_to_zero() -> None:
    with handle() as monitoring, in_process(monitoring) as client:
        during: list[float] = []

        def look(record: object) -> None:
            samples = samples_of(parse(page(monitoring)))
            during.append(total(samples, "gen_ai_client_active_requests", gen_ai_request_model=MODEL))

        client._client.event_hooks["request"].append(look)
        ask(client)
        after = samples_of(parse(page(monitoring)))
    assert during == [1]
    assert [value for (name, _), value in after.items() if name == "gen_ai_client_active_requests"] == [0]


def test_the_models_of_calls_under_way_are_bounded_too() -> None:
    with handle(max_label_sets=2) as monitoring, in_process(monitoring) as client:
        for number in range(6):
            client._client.event_hooks["request"] = [lambda request: samples_of(parse(page(monitoring))) and None]
            client.chat.completions.create(model=f"m{number}", messages=[{"role": "user", "content": "x"}])
        samples = samples_of(parse(page(monitoring)))
    models = {dict(of)["gen_ai_request_model"] for name, of in samples if name == "gen_ai_client_active_requests"}
    assert models == {"m0", "m1", "other"}


def test_two_handles_that_differ_in_a_label_go_into_one_registry() -> None:
    with (
        handle(extra_labels={"part": "a"}) as first,
        handle(extra_labels={"part": "b"}) as second,
        in_process(first) as one,
        in_process(second) as other,
    ):
        for client in (one, other, other):
            ask(client)
        wait_folded(first)
        wait_folded(second)
        registry = CollectorRegistry()
        registry.register(first.collector)
        registry.register(second.collector)
        counts = Counter[str]()
        for family in registry.collect():
            for sample in family.samples:
                if sample.name == "gen_ai_client_operation_duration_seconds_count":
                    counts[sample.labels["part"]] += int(sample.value)
    assert counts == {"a": 1, "b": 2}


def test_scrapes_during_calls_are_consistent_and_end_with_the_truth() -> None:
    with handle() as monitoring, in_process(monitoring) as client:
        done = threading.Event()
        seen: list[float] = []
        torn: list[str] = []

        def scrape() -> None:
            while not done.is_set():
                samples = samples_of(monitoring.collector.collect())
                count = total(samples, "gen_ai_client_operation_duration_seconds_count")
                infinite = total(samples, "gen_ai_client_operation_duration_seconds_bucket", le="+Inf")
                tokens = total(samples, "gen_ai_client_tokens_total", gen_ai_token_type="input")
                if not count == infinite == tokens / 5:
                    torn.append(f"{count} {infinite} {tokens}")
                seen.append(count)

        def work() -> None:
            for _ in range(50):
                ask(client)

        scraper = threading.Thread(target=scrape)
        workers = [threading.Thread(target=work) for _ in range(4)]
        for thread in (scraper, *workers):
            thread.start()
        for thread in workers:
            thread.join(60)
        wait_folded(monitoring)
        done.set()
        scraper.join(60)
        last = total(samples_of(monitoring.collector.collect()), "gen_ai_client_operation_duration_seconds_count")
    assert torn == []
    assert seen == sorted(seen)
    assert last == 200


MULTIPROCESS = """
import os
from pathlib import Path
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families as parse
from tests.support.handles import ask, handle, in_process

folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
with handle() as monitoring, in_process(monitoring) as client:
    ask(client)
    assert monitoring.flush(20).complete
    alone = CollectorRegistry()
    alone.register(monitoring.collector)
    assert "gen_ai_client_tokens_total" in generate_latest(alone).decode()
    assert list(folder.iterdir()) == [], list(folder.iterdir())
    Counter("own", "The program's own").inc()
    assert [path.name.partition("_")[0] for path in folder.iterdir()] == ["counter"]
    both = CollectorRegistry()
    MultiProcessCollector(both)
    both.register(monitoring.collector)
    values = {s.name: s.value for family in parse(generate_latest(both).decode()) for s in family.samples}
    assert values["own_total"] == 1 and values["gen_ai_client_operation_duration_seconds_count"] == 1, values
    assert not [path for path in folder.iterdir() if b"gen_ai" in path.read_bytes()]
"""


def test_in_multiprocess_mode_no_files_are_written_and_the_programs_own_metrics_stay(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    places = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": places}
    done = subprocess.run(
        [sys.executable, "-c", MULTIPROCESS], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def promtool() -> str | None:
    found = sorted((Path(__file__).parents[2] / ".cache").glob("prometheus/**/promtool"))
    return str(found[-1]) if found else None


@pytest.mark.skipif(promtool() is None, reason="promtool is not at hand")
def test_promtool_finds_a_page_well_formed() -> None:
    with handle(label_names=["feature"]) as monitoring, in_process(monitoring) as client:
        with attributes(feature='odd "\\\n'):
            ask(client)
        wait_folded(monitoring)
        text = page(monitoring)
    done = subprocess.run(
        [str(promtool()), "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert complaints == []


def test_without_the_extra_the_error_says_what_to_install() -> None:
    program = """
import sys
sys.modules["prometheus_client"] = None
from monitored_openai import MonitoredOpenAI
client = MonitoredOpenAI(api_key="sk-test", base_url="http://127.0.0.1:9")
try:
    client.monitoring.collector
except ImportError as error:
    assert "monitored-openai[scrape]" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
