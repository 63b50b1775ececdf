"""The usage of a finished batch, read from its output file and priced at batch rates."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from monitored_openai._clients import AsyncMonitoredOpenAI, MonitoredOpenAI, provider_at
from monitored_openai._endpoints.base import Endpoint, ParsedResponse, dictionary, text
from monitored_openai._endpoints.jobs import BATCH_RESULT
from monitored_openai._endpoints.registry import endpoint_of
from monitored_openai._exporter import tracker_of
from monitored_openai._json import decode
from monitored_openai._record import Cost, Usage

if TYPE_CHECKING:
    from openai.types import Batch

    from monitored_openai._calls.call import Call

_MOST_COUNTED = 10_000
_counted: OrderedDict[str, object] = OrderedDict()
"""Batches that are recorded, or about to be. Its methods are atomic, as two threads may count the same batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchUsage:
    """The sum of usage and cost of all requests of a batch that one model answered."""

    model: str | None
    requests: int
    """Answered requests; failed requests are not included."""
    usage: Usage | None
    """`None` if a response does not report its usage, so that the sum is unknown."""
    cost: Cost | None
    unpriced: str | None
    """The reason why ``cost`` is ``None``, from the first request without a price."""


def batch_usage(client: MonitoredOpenAI, batch: Batch | str, *, count: bool = False) -> tuple[BatchUsage, ...]:
    """Download the output file of a finished batch and return the usage by model.

    Args:
        client: a monitored client.
        batch: the batch, or its id.
        count: also record the batch as one call of the operation `batch_result` with the whole usage and cost. A process
            records each batch once, however often this is called.

    Raises:
        ValueError: the batch has no output file (yet), or the file is malformed.
        openai.OpenAIError: the file cannot be downloaded.
    """
    found = client.batches.retrieve(batch) if isinstance(batch, str) else batch
    with _recorded(client, found, count=count) as call:
        body = client.files.content(_output_of(found)).content
        return _usage_by_model(client, found, body, call)


async def abatch_usage(
    client: AsyncMonitoredOpenAI, batch: Batch | str, *, count: bool = False
) -> tuple[BatchUsage, ...]:
    """The async form of `batch_usage`."""
    found = await client.batches.retrieve(batch) if isinstance(batch, str) else batch
    with _recorded(client, found, count=count) as call:
        body = (await client.files.content(_output_of(found))).content
        return _usage_by_model(client, found, body, call)


def _output_of(batch: Batch) -> str:
    if not batch.output_file_id:
        raise ValueError(f"batch {batch.id} has no output file; its status is {batch.status}")
    return str(batch.output_file_id)


@contextmanager
def _recorded(client: Any, batch: Batch, *, count: bool) -> Iterator[Call | None]:
    """Yield the call that records the batch, or `None` if it is not counted now; a failure allows the next attempt."""
    claim = object()
    claimed = count and batch.output_file_id and _counted.setdefault(batch.id, claim) is claim
    tracker = tracker_of(client.monitoring)
    call = tracker.open(BATCH_RESULT, client, {}) if claimed and tracker is not None else None
    done = False
    try:
        with call or nullcontext():
            yield call
        done = call is not None
    finally:
        if claimed and not done:
            _counted.pop(batch.id, None)
        elif len(_counted) > _MOST_COUNTED:
            _counted.popitem(last=False)


def _usage_by_model(client: Any, batch: Batch, body: bytes, call: Call | None) -> tuple[BatchUsage, ...]:
    endpoint = endpoint_of("post", batch.endpoint.removeprefix("/v1"))
    if endpoint is None:
        raise ValueError(f"the answers of {batch.endpoint} cannot be read")
    from monitored_openai._pricing.price_book import PriceBook

    provider, prices = provider_at(client), PriceBook(client.monitoring.settings.prices)
    by_model: defaultdict[str | None, list[tuple[Usage | None, Cost | str]]] = defaultdict(list)
    for parsed in _responses(endpoint, body):
        cost = prices.cost(
            provider=provider,
            model=parsed.model,
            service_tier=None,
            usage=parsed.usage,
            at_ns=int(batch.created_at) * 10**9,
            batch=True,
        )
        by_model[parsed.model].append((parsed.usage, cost))
    sums = tuple(_summed(model, requests) for model, requests in by_model.items())
    if call is not None:
        call.set_parsed(_as_one(batch.id, sums))
    return sums


def _responses(endpoint: Endpoint, body: bytes) -> Iterator[ParsedResponse]:
    """Yield the responses in the lines of an output file, without those of failed requests."""
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        try:
            response = dictionary(dictionary(decode(line)).get("response"))
        except ValueError:
            raise ValueError(f"line {number} of the output file is no JSON") from None
        if response.get("status_code") == 200:
            yield endpoint.parse(dictionary(response.get("body")))


def _summed(model: str | None, requests: list[tuple[Usage | None, Cost | str]]) -> BatchUsage:
    usages = [usage for usage, _ in requests if usage is not None]
    costs = [cost for _, cost in requests if isinstance(cost, Cost)]
    return BatchUsage(
        model=model,
        requests=len(requests),
        usage=_sum(Usage, usages) if len(usages) == len(requests) else None,
        cost=_sum(Cost, costs) if len(costs) == len(requests) else None,
        unpriced=next((str(cost) for _, cost in requests if isinstance(cost, str)), None),
    )


def _as_one(batch_id: str, sums: tuple[BatchUsage, ...]) -> ParsedResponse:
    usages = [one.usage for one in sums if one.usage is not None]
    costs = [one.cost for one in sums if one.cost is not None]
    whole = bool(sums) and len(usages) == len(sums)
    body: Mapping[str, Any] = {"batch": batch_id, "requests": sum(one.requests for one in sums)}
    return ParsedResponse(
        model=text(sums[0].model) if len(sums) == 1 else None,
        id=batch_id,
        usage=_sum(Usage, usages) if whole else None,
        usage_unknown=None if whole else "not_reported",
        cost=_sum(Cost, costs) if whole and len(costs) == len(sums) else None,
        unpriced=next((one.unpriced for one in sums if one.unpriced is not None), None if whole else "usage_unknown"),
        body=body,
    )


def _sum(kind: type[Any], values: list[Any]) -> Any:
    """Return the sums of all fields; a field that no value has stays ``None``."""
    totals: dict[str, Any] = {}
    for field in fields(kind):
        known = [number for value in values if (number := getattr(value, field.name)) is not None]
        totals[field.name] = sum(known) if known else None
    return kind(**totals)
