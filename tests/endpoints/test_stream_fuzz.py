"""Random streams: the caller gets the chunks of the bare SDK, and the record holds all text."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.support.random_streams import STREAMS, check


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(STREAMS)
def test_a_random_stream_is_unchanged_and_recorded_whole(events: list[dict[str, object]]) -> None:
    check(events)
