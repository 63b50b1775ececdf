"""Take the pictures of docs/local.md in a real Chromium: the page shows one hour of invented calls of a shop.

First run `scripts/install-chromium`. Run the script from the project's folder, with the project's Python:

    .venv/bin/python scripts/screenshots.py [FOLDER]
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent))

from monitored_openai import CallRecord, Cost, Usage
from monitored_openai._local import calls, counters
from monitored_openai._local.history import History
from monitored_openai._local.ingest import ReceivedEntry
from monitored_openai._local.remote_write_decoder import Series
from monitored_openai._local.server import LocalServer
from monitored_openai._log_entry import log_entry
from monitored_openai._metrics.store import Metrics
from monitored_openai._record import ErrorType
from tests.support.chromium import Chromium, Tab, program

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
SECONDS, TICK = 3600, 30
"""Length of the recorded time, and time between two pushes of its metrics."""
MODELS = {  # share of calls, seconds to the first chunk, seconds per token, USD per million tokens in and out
    "gpt-5": (2, 1.4, 0.011, 1.25, 10.0),
    "gpt-5-mini": (6, 0.7, 0.006, 0.25, 2.0),
    "gpt-4o": (4, 0.45, 0.012, 2.5, 10.0),
    "gpt-4.1-mini": (5, 0.3, 0.007, 0.4, 1.6),
}
FAILURES: list[tuple[ErrorType, int | None, str]] = [
    ("rate_limit", 429, "Error code: 429 - Rate limit reached for requests. Please try again in 320 ms."),
    ("timeout", None, "Request timed out."),
    ("server_error", 500, "Error code: 500 - The server had an error while processing your request."),
]
TALKS = (
    (
        "support",
        "Where is my order {number}? It should have been here on Monday.",
        """It left our warehouse this morning and should reach you in two to four working days. You will get a link to \
follow it as soon as the carrier has scanned the parcel.""",
    ),
    (
        "support",
        "The pan of order {number} arrived with a broken handle. What can I do?",
        "I am sorry about that. A new one is on its way to you, free of charge, and you need not send the old one back.",
    ),
    (
        "support",
        "I was charged twice for order {number}. Please help!",
        """I can see both payments, and the second one should not be there. It goes back to your card today and shows up \
within five working days.""",
    ),
    (
        "support",
        "Ist die Lieferung zu Bestellung {number} schon unterwegs?",
        "Ja, das Paket ist seit heute früh unterwegs und braucht zwei bis vier Werktage.",
    ),
    (
        "support",
        "Can I still return order {number}? I have opened the box.",
        """Yes, you can: within 30 days, opened or not. Print the label on your account's Orders page, stick it on the \
parcel and drop it at any post office.""",
    ),
    (
        "summaries",
        """Summarise this ticket: the customer ordered three pans on the 2nd, they came a day late and were left with a \
neighbour without a note.""",
        "The customer is happy with the pans but not with the carrier, who came a day late and left no note.",
    ),
    (
        "summaries",
        "Summarise report {number}: sales in the third quarter came to 4.1 million, against 3.7 million a year before.",
        "Sales rose by 11 % on the year, to 4.1 million in the third quarter.",
    ),
    (
        "search",
        "Rewrite as a search query: a present for my father, he bakes bread, up to 50 euros",
        "bread baking gift under 50",
    ),
    (
        "search",
        "Rewrite as a search query: something to fry fish in that fits an induction hob, not too heavy",
        "light induction fish frying pan",
    ),
)
RULES = (
    "You answer the customers of a mail-order shop for kitchen ware. Be friendly and short, at most three sentences."
)


def afternoon(random: Random, start: float) -> Iterator[CallRecord]:
    """Yield the calls, ordered by the second of their end."""
    for second in range(SECONDS):
        busy = 0.55 + 0.4 * (second / SECONDS) + (1.2 if 2100 < second < 2520 else 0)
        for _ in range(int(random.random() < busy * 0.5) + int(random.random() < busy * 0.22)):
            yield a_call(random, start + second + random.random(), slow=2100 < second < 2520)


def a_call(random: Random, ended: float, *, slow: bool) -> CallRecord:
    """Return one call, usually a successful one."""
    model = random.choices(list(MODELS), [one[0] for one in MODELS.values()])[0]
    _, until_first, per_token, usd_in, usd_out = MODELS[model]
    feature, question, answer = random.choice(TALKS)
    order = random.randint(10_000, 99_999)
    question = question.format(number=order)
    tokens_in, tokens_out = 90 + len(question) + random.randint(0, 300), len(answer) // 4 + random.randint(0, 260)
    first = until_first * random.lognormvariate(0, 0.3) * (2.2 if slow else 1)
    duration = first + tokens_out * per_token * random.lognormvariate(0, 0.2)
    cached = tokens_in // 128 * 64
    rate = 1e-6
    record = CallRecord(
        id=f"{random.getrandbits(96):024x}",
        operation="chat",
        provider="openai",
        server="api.openai.com",
        request_model=model,
        response_model=f"{model}-2025-08-07",
        request_id=f"req_{random.getrandbits(64):016x}",
        started_ns=int((ended - duration) * 1e9),
        ended_ns=int(ended * 1e9),
        duration=duration,
        streamed=True,
        time_to_first_chunk=first,
        chunks=tokens_out,
        http_status=200,
        finish_reasons=("stop",),
        service_tier="default",
        usage=Usage(input_tokens=tokens_in, output_tokens=tokens_out, input_cached_tokens=cached),
        cost=Cost(
            input_usd=(tokens_in - cached) * usd_in * rate,
            input_cached_usd=cached * usd_in * rate / 4,
            output_usd=tokens_out * usd_out * rate,
            cache_savings_usd=cached * usd_in * rate * 0.75,
        ),
        request={"model": model, "messages": [
            {"role": "system", "content": RULES}, {"role": "user", "content": question},
            *([{"role": "assistant", "content": None, "tool_calls": [_looking_up(order)]},
               {"role": "tool", "tool_call_id": "call_1", "content": '{"status": "shipped", "carrier": "PostNord"}'}]
              if question.startswith("Where") else []),
        ]},
        response={"choices": [{"index": 0, "message": {"role": "assistant", "content": answer}}]},
        attributes={"feature": feature},
    )  # fmt: skip
    wrong = random.random()
    if wrong > (0.12 if slow else 0.015):
        return record
    kind, status, message = random.choice(FAILURES)
    return replace(
        record,
        error_type=kind, http_status=status, error_message=message, usage=None, usage_unknown=kind, cost=None,
        unpriced="usage_unknown", response=None, time_to_first_chunk=None, chunks=None, finish_reasons=(), retries=2,
    )  # fmt: skip


def _looking_up(order: int) -> dict[str, object]:
    called = {"name": "find_order", "arguments": f'{{"number": {order}}}'}
    return {"id": "call_1", "type": "function", "function": called}


def keep_afternoon(history: History) -> None:
    """Store the calls and the metrics of each tick, as a process would have pushed them."""
    random, start = Random(11), time.time() - SECONDS
    metrics, entries = Metrics(label_names=("feature",)), list[ReceivedEntry]()
    ends = start + TICK
    for record in sorted(afternoon(random, start), key=lambda one: one.ended_ns):
        while record.ended_ns > ends * 1e9:
            push(history, metrics, ends)
            ends += TICK
        metrics.fold(record)
        entry = log_entry(record, redact=None, max_bytes=240_000)
        entries.append(ReceivedEntry(
            timestamp_ns=record.ended_ns, call=json.loads(entry.line), metadata=entry.metadata,
            stream={"environment": "production", "service_name": "shop"},
        ))  # fmt: skip
    push(history, metrics, ends)
    calls.keep(history, entries)


def push(history: History, metrics: Metrics, at: float) -> None:
    """Store the current values of the metrics."""
    labels = {"environment": "production", "service_name": "shop", "instance": "web-1"}
    counters.keep(history, [
        Series(labels={"__name__": one.name, **labels, **dict(one.labels)}, value=one.value, timestamp_ms=int(at * 1000))
        for one in metrics.samples()
    ])  # fmt: skip


def main(folder: Path) -> int:
    """Take all pictures; return the exit status."""
    chromium = program()
    if chromium is None:
        print("no Chromium: run scripts/install-chromium", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, Chromium(chromium) as browser:
        history, empty = (History(Path(place) / name, say=print) for name in ("full", "empty"))
        keep_afternoon(history)
        with LocalServer(history) as server:
            for scheme in ("light", "dark"):
                with browser.tab(server.url, scheme=scheme, height=1000) as tab:
                    take(tab, folder / f"local-{scheme}.png")
            with browser.tab(f"{server.url}/#by=feature", height=900) as tab:
                tab.wait_for("document.querySelectorAll('#list li').length > 0")
                tab.ask(
                    "[...document.querySelectorAll('.call')].find(one => one.textContent.includes('Where is my order')).click()"
                )
                tab.wait_for("document.querySelector('.facts') !== null")
                tab.ask("document.querySelector('#calls').scrollIntoView()")
                take(tab, folder / "local-call.png")
            with browser.tab(server.url, width=400, height=860) as tab:
                take(tab, folder / "local-narrow.png")
        with LocalServer(empty) as server, browser.tab(server.url, height=560) as tab:
            tab.wait_for("!document.querySelector('#empty').hidden")
            (folder / "local-empty.png").write_bytes(tab.picture())
        history.close()
        empty.close()
    return 0


def take(tab: Tab, file: Path) -> None:
    """Save a picture of a page when it has finished drawing."""
    tab.wait_for("document.querySelectorAll('#list li').length > 0 && document.querySelectorAll('canvas').length === 6")
    tab.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
    file.write_bytes(tab.picture())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
