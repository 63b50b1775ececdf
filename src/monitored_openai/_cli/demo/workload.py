"""The calls of the demo's application, in phases: the same in every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from openai import Timeout

from monitored_openai._cli.demo.openai_server import FAULT_HEADER, Fault
from monitored_openai._cli.demo.replies import CONVERSATIONS, FEATURES, MODELS

_SEED = 5
_BUSY_SHARE = 0.06
_CHUNKS_READ = 3
_FAULTS: dict[Fault, int] = {"overloaded": 4, "too long": 6, "broken": 2, "silent": 2, "cut off": 4, "stalled": 6}
"""Number of failing calls by fault; with `stalled`, the application leaves the stream before the stall."""
_RULES = (
    "You answer the customers of a mail-order shop for kitchen ware. Be friendly and short, at most three sentences. "
    "Parcels take two to four working days. Returns are free within 30 days, with the label from the account's Orders "
    "page. Broken goods are replaced without a return. Refunds take five working days. Never promise a date that the "
    "carrier has not confirmed, never ask for a password or a card number, and hand over to a colleague whenever the "
    "customer asks for one, is angry, or writes about a recall, an accident or a lawyer. Answer in the language of the "
    "question."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One call of the application."""

    model: str
    arguments: Mapping[str, Any]
    """Keyword arguments of `create`."""
    feature: str = ""
    fault: Fault | None = None

    @property
    def fails(self) -> bool:
        """True if the call raises, or the application leaves its stream."""
        return self.fault not in (None, "busy")

    @property
    def chunks_read(self) -> int | None:
        """Number of chunks after which the application leaves the stream; `None` for all."""
        return _CHUNKS_READ if self.fault == "stalled" else None

    @property
    def client_options(self) -> dict[str, Any]:
        """Arguments for the client's `with_options`; without retries, a long time to connect lets the call arrive."""
        return {"timeout": Timeout(600.0, read=0.5), "max_retries": 0} if self.fault == "silent" else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of the workload: calls in threads, in tasks of an event loop, or in both."""

    name: str
    how: str
    in_threads: Sequence[Job] = ()
    in_tasks: Sequence[Job] = ()

    @property
    def size(self) -> int:
        """Number of calls."""
        return len(self.in_threads) + len(self.in_tasks)


def phases() -> list[Phase]:
    """Return the phases of the whole workload."""
    random = Random(_SEED)  # noqa: S311  # no secret
    faults: list[Fault] = [fault for fault, calls in _FAULTS.items() for _ in range(calls)]
    failing = [_job(random, streamed=fault in ("cut off", "stalled"), fault=fault) for fault in faults]

    def fine(calls: int, *, streamed: bool = False) -> list[Job]:
        return [
            _job(random, streamed=streamed, fault="busy" if random.random() < _BUSY_SHARE else None)
            for _ in range(calls)
        ]

    return [
        Phase(name="sync", how="8 threads", in_threads=fine(80)),
        Phase(name="async", how="32 tasks at once", in_tasks=fine(144)),
        Phase(
            name="streamed",
            how="half in threads, half in tasks",
            in_threads=fine(36, streamed=True),
            in_tasks=fine(36, streamed=True),
        ),
        Phase(
            name="failing",
            how="refused, timed out, cut off, abandoned",
            in_threads=failing[::2],
            in_tasks=failing[1::2],
        ),
    ]


def _job(random: Random, *, streamed: bool, fault: Fault | None) -> Job:
    feature = random.choice(FEATURES)
    model = random.choices(list(MODELS), [model.weight for model in MODELS.values()])[0]
    prompt = random.choice(list(CONVERSATIONS[feature])).format(number=random.randint(10_000, 99_999))
    rules = [{"role": "system", "content": _RULES}] if feature == "support" else []
    arguments = {
        "model": model,
        **({"prompt": prompt} if MODELS[model].legacy else {"messages": [*rules, {"role": "user", "content": prompt}]}),
        **({"stream": True} if streamed else {}),
        **({"extra_headers": {FAULT_HEADER: fault}} if fault else {}),
    }
    return Job(model=model, arguments=arguments, feature=feature, fault=fault)
