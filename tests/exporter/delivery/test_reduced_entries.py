"""Entries that a back end refuses for their form arrive once in a smaller form, and are counted as cut."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitored_openai import Monitoring
from monitored_openai._exporter.delivery.batch import Batch
from monitored_openai._exporter.delivery.log_queue import MAX_BYTES
from monitored_openai._exporter.delivery.reduced_entries import Form, Forms, few_labels, refused_form
from monitored_openai._exporter.delivery.refusals import Acceptance
from monitored_openai._exporter.delivery.retry import Action, Reply
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


def batch_of(lines: dict[str, object]) -> Batch:
    encoded = encode_entry(1, json.dumps(lines), {"model": "m"})
    return Batch([Entry(0, encoded, 1)], None)


def sent(queue: Acceptance, answer: Callable[[Batch], Reply], now: float, **line: object) -> Batch:
    """One batch, sent until it has come to an end."""
    batch = batch_of({"id": "a", **line})
    while True:
        queue.prepare(batch, now)
        reply = answer(batch)
        if queue.next_step(batch, reply, now).action is not Action.RETRY:
            return batch
        batch.sent_as_replay = False


def metadata_of(batch: Batch) -> object:
    return json.loads(batch.entries[0].sent)[2]


def test_entries_go_in_full_again_after_a_while() -> None:
    acceptance = Acceptance(MAX_BYTES)
    refused = Reply(400, text="stream '{}' includes structured metadata, but this feature is disallowed")
    allowed = False
    requests = 0

    def answer(batch: Batch) -> Reply:
        nonlocal requests
        requests += 1
        return Reply(204) if allowed or not metadata_of(batch) else refused

    assert metadata_of(sent(acceptance, answer, 0.0)) == {}
    assert metadata_of(sent(acceptance, answer, 599.0)) == {}
    assert requests == 3
    assert metadata_of(sent(acceptance, answer, 601.0)) == {}
    assert metadata_of(sent(acceptance, answer, 602.0)) == {}
    assert requests == 6  # one batch was refused in full
    allowed = True
    assert metadata_of(sent(acceptance, answer, 1100.0)) == {}
    assert metadata_of(sent(acceptance, answer, 1202.0)) == {"model": "m"}
    assert metadata_of(sent(acceptance, answer, 1203.0)) == {"model": "m"}


def test_batches_go_with_all_labels_again_after_a_while() -> None:
    acceptance = Acceptance(MAX_BYTES)
    refused = Reply(400, text="entry for stream '{}' has 16 label names; limit 15")
    allowed = False

    def answer(batch: Batch) -> Reply:
        return Reply(204) if allowed or batch.few_labels else refused

    found = [sent(acceptance, answer, now).few_labels for now in (0.0, 300.0, 601.0, 900.0)]
    allowed = True
    found += [sent(acceptance, answer, now).few_labels for now in (1000.0, 1202.0, 1203.0)]

    assert found == [True] * 5 + [False] * 2


def test_a_batch_that_may_be_stored_keeps_its_labels_when_others_get_theirs_back() -> None:
    acceptance = Acceptance(MAX_BYTES)
    refused = Reply(400, text="entry for stream '{}' has 16 label names; limit 15")
    sent(acceptance, lambda batch: Reply(204) if batch.few_labels else refused, 0.0)
    lost = batch_of({"id": "b"})
    acceptance.prepare(lost, 1.0)
    lost.sent_as_replay = False
    sent(acceptance, lambda batch: Reply(204), 700.0)

    acceptance.prepare(lost, 701.0)

    assert lost.few_labels


def test_shards_stay_apart_with_few_labels() -> None:
    labels = {"job": "j", "service_name": "s", "team": "t", "shard": "3"}

    assert few_labels(labels) == {"job": "j", "service_name": "s", "shard": "3"}


@pytest.mark.parametrize(("line", "loses_labels", "cut"), [({}, True, 1), ({}, False, 0), ({"cut": True}, True, 0)])
def test_an_entry_counts_as_cut_once_and_only_if_it_lost_something(
    line: dict[str, object], loses_labels: bool, cut: int
) -> None:
    assert batch_of({"id": "a", **line}).cuts(loses_labels=loses_labels) == cut


def test_an_entry_cut_before_does_not_count_again_for_its_metadata() -> None:
    (entry,) = batch_of({"id": "a", "cut": True}).entries

    smaller = Forms().refuse(entry, "stream '{}' includes structured metadata, but this feature is disallowed")

    assert smaller is not None
    assert not smaller.is_cut


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
