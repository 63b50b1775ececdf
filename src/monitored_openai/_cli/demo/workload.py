"""What the demo's application asks: two features, several models, four ways, the same in every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from openai import Timeout

from monitored_openai._cli.demo.openai_server import FAULT_HEADER, Fault

FEATURES = ("support", "summaries")
UNPRICED_MODEL = "house-llm"
"""One of the user's own, which is in no table of prices."""
_LEGACY_MODEL = "davinci-002"
_MODELS = {"gpt-5": 3, "gpt-5-mini": 7, "gpt-4o": 5, "gpt-4.1-mini": 6, _LEGACY_MODEL: 3, UNPRICED_MODEL: 2}
"""By how often they are asked."""
_SEED = 5
_BUSY_SHARE = 0.06
_LEFT_AFTER_CHUNKS = 3

_RULES = (
    "You answer the customers of a mail-order shop for kitchen ware. Be friendly and short, at most three sentences. "
    "Parcels take two to four working days. Returns are free within 30 days, with the label from the account's Orders "
    "page. Broken goods are replaced without a return. Refunds take five working days. Never promise a date that the "
    "carrier has not confirmed, never ask for a password or a card number, and hand over to a colleague whenever the "
    "customer asks for one, is angry, or writes about a recall, an accident or a lawyer. Answer in the language of the "
    "question."
)
_QUESTIONS = (
    "Where is my order {number}? It should have been here on Monday.",
    "The pan of order {number} arrived with a broken handle.\nWhat can I do?",
    "Can I still return order {number}?\tI have opened the box.",
    "Hello,\nI was charged twice for order {number}. Please help!",
    "Ist die Lieferung zu Bestellung {number} schon unterwegs?",
)
_TICKET = (
    "Ticket {number}: The customer ordered a set of three pans on the 2nd. It came on the 9th, a day late, and was "
    "left with a neighbour two doors away without a note. The pans themselves are fine, she writes, and she would "
    "order again if another carrier brought them."
)
_REPORT = (
    "Report {number}: Sales in the third quarter came to 4.1 million, against 3.7 million a year before. Costs went "
    "from 2.9 to 3.0 million, mostly for freight. The new plant is due to open in April."
)
_MINUTES = (
    "Minutes {number}: The migration is behind by three days because of the address data. Anna has done the last one "
    "and offers to take over. The release cannot be on Friday then. Nobody needs the meeting next week."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One call that the application makes."""

    model: str
    feature: str
    prompt: str
    streamed: bool = False
    fault: Fault | None = None

    @property
    def is_legacy(self) -> bool:
        """Whether it goes to the legacy completions."""
        return self.model == _LEGACY_MODEL

    @property
    def raises(self) -> bool:
        """Whether the application gets an exception."""
        return self.fault not in (None, "busy", "stalled")

    @property
    def leaves(self) -> bool:
        """Whether the application breaks the stream off."""
        return self.fault == "stalled"

    @property
    def most_chunks(self) -> int | None:
        """After how many chunks the application breaks off."""
        return _LEFT_AFTER_CHUNKS if self.leaves else None

    @property
    def client_options(self) -> dict[str, Any]:
        """What the client's `with_options` is given; however busy the machine, the API gets to see the request."""
        return {"timeout": Timeout(10.0, read=0.5), "max_retries": 0} if self.fault == "silent" else {}

    def arguments(self) -> dict[str, Any]:
        """What `create` is given."""
        rules = [{"role": "system", "content": _RULES}] if self.feature == "support" else []
        asked = (
            {"prompt": self.prompt}
            if self.is_legacy
            else {"messages": [*rules, {"role": "user", "content": self.prompt}]}
        )
        headers = {"extra_headers": {FAULT_HEADER: self.fault}} if self.fault else {}
        return {"model": self.model, **asked, **({"stream": True} if self.streamed else {}), **headers}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A way of calling: jobs for threads, and jobs for an event loop."""

    name: str
    how: str
    in_threads: Sequence[Job] = ()
    in_tasks: Sequence[Job] = ()

    @property
    def size(self) -> int:
        """Number of calls."""
        return len(self.in_threads) + len(self.in_tasks)


def phases() -> list[Phase]:
    """The whole workload."""
    random = Random(_SEED)  # noqa: S311  # no secret
    failing = [_failing(random, fault) for fault in _FAULTS]
    return [
        Phase(name="sync", how="8 threads", in_threads=_fine(random, 80)),
        Phase(name="async", how="32 tasks at once", in_tasks=_fine(random, 144)),
        Phase(
            name="streamed",
            how="half in threads, half in tasks",
            in_threads=_fine(random, 36, streamed=True),
            in_tasks=_fine(random, 36, streamed=True),
        ),
        Phase(
            name="failing",
            how="refused, timed out, cut off, abandoned",
            in_threads=failing[::2],
            in_tasks=failing[1::2],
        ),
    ]


_FAULT_NUMBERS: dict[Fault, int] = {
    "overloaded": 4,
    "too long": 6,
    "broken": 2,
    "silent": 2,
    "cut off": 4,
    "stalled": 6,
}
_FAULTS: tuple[Fault, ...] = tuple(fault for fault, number in _FAULT_NUMBERS.items() for _ in range(number))
"""What goes wrong in the failing calls; where it is stalled, the application leaves before it notices."""


def _fine(random: Random, number: int, *, streamed: bool = False) -> list[Job]:
    return [
        _job(random, streamed=streamed, fault="busy" if random.random() < _BUSY_SHARE else None) for _ in range(number)
    ]


def _failing(random: Random, fault: Fault) -> Job:
    return _job(random, streamed=fault in ("cut off", "stalled"), fault=fault)


def _job(random: Random, *, streamed: bool, fault: Fault | None) -> Job:
    feature = random.choice(FEATURES)
    texts = _QUESTIONS if feature == "support" else (_TICKET, _REPORT, _MINUTES)
    return Job(
        model=random.choices(list(_MODELS), list(_MODELS.values()))[0],
        feature=feature,
        prompt=random.choice(texts).format(number=random.randint(10_000, 99_999)),
        streamed=streamed,
        fault=fault,
    )
