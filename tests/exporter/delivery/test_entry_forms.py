"""What a back end refuses for its form arrives in a smaller one, once, and is counted as cut."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from monitored_openai import Monitoring
from monitored_openai._exporter.delivery.entry_forms import Form, Forms, refused_form
from monitored_openai._exporter.encoders.loki import encode_entry
from monitored_openai._exporter.values import Entry
from tests.support.handles import ask, handle, imbalance, in_process
from tests.support.servers.loki import FakeLoki

MANUAL = {"push_interval": 60, "log_linger": 30}
LENGTHS = [10, 9000, 20, 9100, 9200, 30, 12000, 40]


def logged(monitoring: Monitoring, lengths: list[int]) -> None:
    with in_process(monitoring) as client:
        for number, length in enumerate(lengths):
            ask(client, f"{number} ".ljust(length, "x"))


def asked(loki: FakeLoki) -> list[dict[str, Any]]:
    return [json.loads(one.line) for one in loki.entries]


def settled(monitoring: Monitoring) -> None:
    assert monitoring.flush(30).complete
    assert imbalance(monitoring.stats()) == (0, 0)


@pytest.mark.parametrize("spooled", [False, True])
def test_lines_that_are_too_long_arrive_shorter_and_the_others_whole(spooled: bool, tmp_path: Path) -> None:
    kept = {"spool_dir": tmp_path} if spooled and os.name == "posix" else {}
    with FakeLoki(max_line=6000) as loki, handle(logs_url=loki.push_url, **MANUAL, **kept) as monitoring:
        logged(monitoring, LENGTHS)
        settled(monitoring)
        stats = monitoring.stats()
        requests = len(loki.requests)
        logged(monitoring, [15000])
        settled(monitoring)

        assert (stats.delivered, stats.dropped, stats.cut) == (8, {}, 4)
        lines = asked(loki)
        assert len({line["id"] for line in lines}) == len(lines) == 9
        assert sum("cut" in line for line in lines) == 5
        whole = [line["request"]["messages"][0]["content"] for line in lines if "cut" not in line]
        assert [len(text) for text in sorted(whole)] == [10, 20, 30, 40]
        assert len(loki.requests) == requests + 1  # the limit is known now
        assert monitoring.stats().cut == 5


def test_metadata_that_is_refused_is_left_out_and_the_line_has_it_all() -> None:
    with FakeLoki(max_metadata=3) as loki, handle(logs_url=loki.push_url, **MANUAL) as monitoring:
        logged(monitoring, [10] * 20)
        settled(monitoring)

        stats = monitoring.stats()
        assert (stats.delivered, stats.dropped, stats.cut) == (20, {}, 20)
        assert len({line["id"] for line in asked(loki)}) == len(loki.entries) == 20
        assert {len(one.metadata) for one in loki.entries} == {0}
        assert len(loki.requests) < 20


def test_labels_beyond_a_limit_are_left_out_of_the_stream() -> None:
    labels = {f"label_{number}": "x" for number in range(8)}
    with (
        FakeLoki(max_labels=5) as loki,
        handle(logs_url=loki.push_url, extra_labels=labels, job="here", **MANUAL) as monitoring,
    ):
        logged(monitoring, [10] * 5)
        settled(monitoring)

        stats = monitoring.stats()
        assert (stats.delivered, stats.dropped, stats.cut) == (5, {}, 5)
        assert {one.labels["job"] for one in loki.entries} == {"here"}
        assert len(loki.requests) == 2


def test_an_entry_that_is_refused_in_every_form_is_given_up_and_the_others_arrive() -> None:
    with (
        FakeLoki(max_line=50, max_metadata=0) as loki,
        handle(logs_url=loki.push_url, **MANUAL) as monitoring,
    ):
        logged(monitoring, [10, 20])
        settled(monitoring)

        stats = monitoring.stats()
        assert (stats.delivered, stats.dropped, len(loki.entries)) == (0, {"rejected": 2}, 0)
        assert len(loki.requests) < 12


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Max entry size '262144' bytes exceeded for stream '{}' with length '262145' bytes", Form.LINE),
        ("stream '{}' has structured metadata too large: '65537' bytes, limit: '65536' bytes", Form.METADATA),
        ("stream '{}' includes structured metadata, but this feature is disallowed", Form.METADATA),
        ("entry for stream '{}' has 16 label names; limit 15", Form.LABELS),
        ("stream '{}' has label value too long: 'x'", Form.LABELS),
        ("entry for stream '{}' has timestamp too old: 1", None),
        ("", None),
    ],
)
def test_a_refusal_names_the_part_that_it_is_about(text: str, form: Form | None) -> None:
    assert refused_form(text) is form


def test_an_entry_below_every_refused_size_stays_as_it_is() -> None:
    forms = Forms()
    small, large = (Entry(None, encode_entry(1, json.dumps({"id": "x" * size}), {"a": "b"}), 1) for size in (10, 9000))
    assert forms.refuse(large, "Max entry size '4000' bytes exceeded") is not None

    assert forms.fitting(small) is small
    assert len(forms.fitting(large).sent) < 4100
    assert forms.fitting(large).encoded == large.encoded
