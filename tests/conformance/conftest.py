"""One server and one pair of clients for all cases."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conformance._caller import a_caller, a_server
from tests.conformance._stage import RECORDS, Api, Stage

__all__ = ["a_caller", "a_server"]

pytest.register_assert_rewrite("tests.conformance._compare", "tests.conformance._odd")


@pytest.fixture(scope="package")
def stage() -> Iterator[Stage]:
    with Api(keep_requests=True) as server, asyncio.Runner() as runner:
        # The one thread that asyncio resolves names in belongs to no single test.
        runner.get_loop().set_default_executor(ThreadPoolExecutor(1))
        runner.run(asyncio.to_thread(int))
        built = Stage(server, runner)
        yield built
        built.close()


@pytest.fixture(autouse=True)
def no_old_records() -> None:
    RECORDS.clear()
