"""The headers of a response that a record contains."""

from __future__ import annotations

from monitored_openai._calls.finished_call import FinishedCall


def test_headers_are_found_in_any_case_of_their_names() -> None:
    call = FinishedCall()
    call.headers = {b"X-Request-ID": b"req_1", b"openai-processing-ms": b"412", b"Content-Length": b"9"}
    assert call.recorded_headers() == {"x-request-id": "req_1", "openai-processing-ms": "412"}


def test_headers_are_found_after_more_names_than_the_cache_holds() -> None:
    call = FinishedCall()
    call.headers = {f"X-Other-{number}".encode(): b"1" for number in range(3000)}
    assert call.recorded_headers() == {}
    call.headers = {b"X-REQUEST-ID": b"req_2", b"x-other-1": b"1"}
    assert call.recorded_headers() == {"x-request-id": "req_2"}
