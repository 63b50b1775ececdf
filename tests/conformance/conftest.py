"""One server and one pair of clients for all cases."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from tests.conformance._stage import RECORDS, Api, Stage

pytest.register_assert_rewrite("tests.conformance._compare")


@pytest.fixture(scope="package")
def stage() -> Iterator[Stage]:
    with Api(keep_requests=True) as server, asyncio.Runner() as runner:
        runner.run(asyncio.to_thread(int))  # the thread that asyncio resolves names in belongs to no single test
        built = Stage(server, runner)
        gc.freeze()  # what is there already need not be gone through by each collection
        yield built
        gc.unfreeze()
        built.close()


@pytest.fixture(autouse=True)
def no_old_records() -> None:
    RECORDS.clear()
