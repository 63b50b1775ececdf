"""Downloads of the newest published prices."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from genai_prices.data_snapshot import get_snapshot

from monitored_openai._exporter.price_updates import PriceUpdates, fetch_prices
from monitored_openai._exporter.runtime.fork_gate import ForkGate
from monitored_openai._pricing.price_book import Billed, PriceBook, Unpriced
from monitored_openai._record import Cost, Usage

AT_NS = 1_795_780_800 * 10**9  # 2026-11-27
CALL = Billed(provider="openai", model="gpt-99", usage=Usage(input_tokens=1_000_000, output_tokens=0), at_ns=AT_NS)
MODEL = {"id": "gpt-99", "match": {"equals": "gpt-99"}, "prices": {"input_mtok": 7, "output_mtok": 9}}
TABLE = [{"id": "openai", "name": "OpenAI", "api_pattern": "https://api\\.openai\\.com", "models": [MODEL]}]
WAIT = 30.0


class TableServer:
    """A server of a price table; `body` and `status` are those of the next response."""

    def __init__(self) -> None:
        self.body = json.dumps(TABLE).encode()
        self.status = 200
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/data.json"


@pytest.fixture
def table() -> Iterator[TableServer]:
    served = TableServer()
    thread = threading.Thread(target=served.server.serve_forever, daemon=True)
    thread.start()
    yield served
    served.server.shutdown()
    served.server.server_close()
    thread.join(WAIT)


def finish() -> None:
    """Wait until no download runs; each has a thread of its own."""
    for thread in threading.enumerate():
        if thread.name == "monitored-openai-prices":
            thread.join(WAIT)
            assert not thread.is_alive()


def test_downloaded_prices_apply_without_a_change_for_other_libraries(table: TableServer) -> None:
    before = get_snapshot()
    updates = PriceUpdates(table.url, ForkGate())
    book = PriceBook(newest=updates.snapshot)

    assert book.cost(CALL) is Unpriced.UNKNOWN_MODEL
    finish()
    cost = book.cost(CALL)

    assert isinstance(cost, Cost)
    assert cost.total_usd == pytest.approx(7.0)
    assert get_snapshot() is before
    assert book.table_dates["openai"] > 0
    assert table.requests == 1


def test_download_runs_in_a_daemon_thread_that_ends(table: TableServer) -> None:
    updates = PriceUpdates(table.url, ForkGate())
    updates.snapshot()
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "monitored-openai-prices")
    finish()
    assert updates.snapshot() is not None
    assert not [thread for thread in threading.enumerate() if thread.name == "monitored-openai-prices"]


def test_failed_downloads_keep_the_prices_and_are_logged_once(
    table: TableServer, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [(500, b""), (200, b"{"), (200, b"{}"), (200, b"[]"), (200, b'[{"id": 3}]')]
    call = CALL._replace(model="gpt-4o")
    for table.status, table.body in failures:
        updates = PriceUpdates(table.url, ForkGate())
        book = PriceBook(newest=updates.snapshot)
        for _ in range(2):
            cost = book.cost(call)
            finish()
            assert isinstance(cost, Cost)
            assert cost.total_usd == pytest.approx(2.5)

    assert table.requests == len(failures)
    assert len([record for record in caplog.records if "newest prices" in record.getMessage()]) == 1


def test_fetch_raises_what_went_wrong(table: TableServer) -> None:
    table.body = b"[]"
    with pytest.raises(ValueError, match="no prices"):
        fetch_prices(table.url)
