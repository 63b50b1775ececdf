"""Each test of the settings starts with an empty log-once cache."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monitored_openai._settings import model


@pytest.fixture(autouse=True)
def _nothing_logged_yet() -> Iterator[None]:
    model._log_once.cache_clear()
    yield
    model._log_once.cache_clear()
