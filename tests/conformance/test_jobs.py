"""Work that continues after the reply: observed as a call, whose usage is reported later or never."""

from __future__ import annotations

from typing import Any

import pytest

from monitored_openai import CallRecord
from tests.conformance._caller import Caller
from tests.conformance._stage import Api
from tests.support.servers._jobs import RUN_USAGE
from tests.support.servers.openai_api import Behaviour

BATCH = {"completion_window": "24h", "endpoint": "/v1/chat/completions", "input_file_id": "file-1"}
DATA = {"type": "jsonl", "source": {"type": "file_id", "id": "file-1"}}
JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "batches.create": ("batch", BATCH),
    "videos.create": ("video_generation", {"model": "sora-2", "prompt": "The sky."}),
    "videos.remix": ("video_generation", {"video_id": "video_1", "prompt": "Bluer."}),
    "fine_tuning.jobs.create": ("fine_tuning", {"model": "gpt-4o-mini", "training_file": "file-1"}),
    "evals.runs.create": ("evaluation", {"eval_id": "eval_1", "data_source": DATA}),
    "containers.create": ("create_container", {"name": "mine"}),
}
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # the newest SDK announces the end of some of them


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_a_call_whose_usage_and_cost_are_unknown(server: Api, caller: Caller, name: str) -> None:
    resource, _, method = name.rpartition(".")
    operation, given = JOBS[name]
    made, record = caller.of(resource).do(method, **given)

    later = "background" if operation == "batch" else None
    unpriced = "no_rate_for_kind" if operation == "create_container" else "usage_unknown"  # its session has a price
    assert (record.operation, record.error_type, record.response_id) == (operation, None, made.id)
    assert (record.usage, record.usage_unknown) == (None, later or "never_told")
    assert (record.cost, record.unpriced) == (None, later or unpriced)
    assert record.request_model == given.get("model")
    assert (record.finish_reasons, server.truth.calls_by_outcome()["ok"]) == (("queued",), 1)


def test_a_job_that_failed_at_once_is_an_error(server: Api, caller: Caller) -> None:
    server.default = Behaviour(fails="invalid_prompt")
    _, record = caller.of("videos").do("create", model="sora-2", prompt="The sky.")
    assert (record.error_type, record.error_message) == ("bad_request", "The fake API was asked to fail.")


RUN: dict[str, Any] = {"thread_id": "thread_1", "assistant_id": "asst_1"}


def tokens(record: CallRecord) -> tuple[int | None, int | None] | None:
    return None if record.usage is None else (record.usage.input_tokens, record.usage.output_tokens)


def test_a_run_counts_when_a_later_look_tells_its_usage(server: Api, caller: Caller) -> None:
    runs = caller.of("beta.threads.runs")
    made, record = runs.do("create", **RUN)
    assert (record.operation, record.usage_unknown, record.unpriced) == ("invoke_agent", "background", "background")

    told = (RUN_USAGE["prompt_tokens"], RUN_USAGE["completion_tokens"])
    _, record = runs.do("retrieve", made.id, thread_id="thread_1")
    assert (record.operation, tokens(record), record.response_model) == ("retrieve", told, "gpt-4o-2024-08-06")
    _, record = runs.do("retrieve", made.id, thread_id="thread_1")
    assert (tokens(record), record.usage_unknown, record.unpriced) == (None, None, None)


def test_a_streamed_run_tells_its_usage_itself(server: Api, caller: Caller) -> None:
    _, record = caller.of("beta.threads.runs").do("create", **RUN, stream=True)
    assert tokens(record) == (RUN_USAGE["prompt_tokens"], RUN_USAGE["completion_tokens"])
    assert (record.chunks, record.error_type) == (4, None)
    assert isinstance(record.response, dict)
    assert record.response["text"] == "It is about light."
