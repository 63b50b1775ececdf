"""Downloads the newest published prices once a day, in a thread of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from monitored_openai._logging import warn_sparsely

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

    from monitored_openai._exporter.runtime.fork_gate import ForkGate

DEFAULT = "true"
"""The value of the setting `price_updates` that selects the default URL of `genai-prices`."""
_DAY = 24 * 3600.0
_RETRY = 3600.0
"""Seconds until the next download after a failed one."""


class PriceUpdates:
    """The newest snapshot of the published prices; `None` until the first download has succeeded.

    The thread ends after each download. The library never starts the updater of `genai-prices`, because that one
    replaces the prices of the whole process.
    """

    def __init__(self, url: str, forks: ForkGate) -> None:
        self._url = url
        self._forks = forks
        self._snapshot: DataSnapshot | None = None
        self._due = 0.0
        self._running = False

    def snapshot(self) -> DataSnapshot | None:
        """Return the newest snapshot, and start a download if one is due."""
        now = time.monotonic()
        if now >= self._due and not self._running:
            self._running, self._due = True, now + _DAY
            try:
                self._forks.start_aside(self._download, "monitored-openai-prices")
            except RuntimeError:  # the interpreter ends
                self._running = False
        return self._snapshot

    def _download(self) -> None:
        try:
            self._snapshot = fetch_prices(self._url)
        except BaseException as error:  # anything that the network, the table or the interpreter's end may raise
            self._due = time.monotonic() + _RETRY
            warn_sparsely("price_updates", "the newest prices could not be downloaded: %s", type(error).__name__)
        finally:
            self._running = False


def fetch_prices(url: str) -> DataSnapshot:
    """Download a table of prices.

    Raises:
        ValueError: the URL returns no table, or an empty one.
        Exception: any error of the download.
    """
    from genai_prices import UpdatePrices

    updates = UpdatePrices() if url == DEFAULT else UpdatePrices(url=url)
    snapshot = updates.fetch()
    if snapshot is None or not any(provider.models for provider in snapshot.providers):
        raise ValueError("the URL returned no prices")
    return snapshot
