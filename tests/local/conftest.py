"""The page's server for each test, and one browser for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chromium import Chromium
from tests.support.local_page import Page, open_browser, open_page


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    yield from open_browser()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    yield from open_page(tmp_path / "history.sqlite3")
