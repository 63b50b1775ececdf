"""Streams that are left early, beside those of the bare SDK."""

from __future__ import annotations

import pytest

from tests.support.programs import run
from tests.support.servers.openai_api import Behaviour, OpenAIServer


@pytest.mark.once  # streams of old SDKs leave no complaints behind
def test_streams_left_early_leave_no_more_complaints_than_bare() -> None:
    with OpenAIServer(default=Behaviour(hold="rest", after=2)) as server:
        bare, ours = (
            run("left_early", which, 2, 1, env={"OPENAI_BASE_URL": server.base_url}) for which in ("bare", "ours")
        )
    assert ours.noise == ""
    assert sum(len(complaints) for complaints, _ in bare.said.values()) > 0
    assert ours.said == bare.said
