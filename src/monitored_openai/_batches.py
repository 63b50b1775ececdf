"""Usage and cost of a finished batch, from its output file and the batch prices."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from monitored_openai._clients import AsyncMonitoredOpenAI, MonitoredOpenAI
from monitored_openai._endpoints.base import Endpoint, ParsedResponse, dictionary, text
from monitored_openai._endpoints.jobs import BATCH_RESULT
from monitored_openai._endpoints.registry import endpoint_of
from monitored_openai._exporter import tracker_of
from monitored_openai._json import decode
from monitored_openai._observing_client import provider_at
from monitored_openai._record import Cost, Usage

if TYPE_CHECKING:
    from openai.types import Batch

    from monitored_openai._calls.call import Call

_MOST_COUNTED = 10_000
_counted: OrderedDict[str, object] = OrderedDict()
"""Ids of the batches that this process has recorded or is recording.

Two threads may ask for the same batch, so each access is one atomic operation.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchUsage:
    """Usage and cost of one model in a batch: the sums over its successful requests."""

    model: str | None
    """The model in the responses."""
    requests: int
    """Number of successful requests."""
    usage: Usage | None
    """The sum of the tokens; ``None`` if a response does not report its usage."""
    cost: Cost | None
    """The sum of the costs in USD at batch prices; ``None`` if a request has no price."""
    unpriced: str | None
    """The reason why ``cost`` is ``None``, from the first request without a price."""


def batch_usage(client: MonitoredOpenAI, batch: Batch | str, *, count: bool = False) -> tuple[BatchUsage, ...]:
    """Return usage and cost of a finished batch by model, from its output file.

    Downloads the whole output file. Prices each request by your own batch price or, without one, by the published batch
    price.

    Args:
        client: a monitored client.
        batch: the batch, or its id.
        count: True to also record the batch as one call of the operation `batch_result`, with the usage and cost of the
            whole batch. A process records each batch only once.

    Returns:
        One item for each model in the responses.

    Raises:
        ValueError: The batch has no output file yet, the file is malformed, or the library cannot read responses of the
            batch's endpoint.
        openai.OpenAIError: The download failed.
    """
    found = client.batches.retrieve(batch) if isinstance(batch, str) else batch
    with _recorded(client, found, count=count) as call:
        body = client.files.content(_output_of(found)).content
        return _usage_by_model(client, found, body, call)


async def abatch_usage(
    client: AsyncMonitoredOpenAI, batch: Batch | str, *, count: bool = False
) -> tuple[BatchUsage, ...]:
    """Return usage and cost of a finished batch by model; the async form of `batch_usage`.

    Args:
        client: a monitored async client.
        batch: the batch, or its id.
        count: True to also record the batch as one call, as for `batch_usage`.

    Returns:
        One item for each model in the responses.

    Raises:
        ValueError: As for `batch_usage`.
        openai.OpenAIError: The download failed.
    """
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
    """Yield the call that records the batch, or `None`. After a failure, a later attempt may record the batch."""
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
        raise ValueError(f"responses of {batch.endpoint} cannot be read")
    from monitored_openai._pricing.billed import Billed
    from monitored_openai._pricing.price_book import PriceBook
    from monitored_openai._pricing.price_file import follow_price_file

    settings = client.monitoring.settings
    own_prices = follow_price_file(settings.prices_file, settings.prices)
    provider, prices = provider_at(client), PriceBook(own_prices, azure_deployment=settings.azure_deployment)
    by_model: defaultdict[str | None, list[tuple[Usage | None, Cost | str]]] = defaultdict(list)
    for parsed in _responses(endpoint, body):
        cost = prices.cost(
            Billed(
                provider=provider,
                model=parsed.model,
                usage=parsed.usage,
                at_ns=int(batch.created_at) * 10**9,
                batch=True,
                host=urlsplit(str(client.base_url)).hostname,
                units=parsed.units,
                parts=parsed.parts,
                incomplete=parsed.incomplete,
                cache_retention=parsed.cache_retention,
            )
        )
        by_model[parsed.model].append((parsed.usage, cost))
    sums = tuple(_summed(model, requests) for model, requests in by_model.items())
    if call is not None:
        call.set_parsed(_as_one(batch.id, sums))
    return sums


def _responses(endpoint: Endpoint, body: bytes) -> Iterator[ParsedResponse]:
    """Yield the responses of the successful requests in an output file."""
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        try:
            response = dictionary(dictionary(decode(line)).get("response"))
        except ValueError:
            raise ValueError(f"line {number} of the output file is not JSON") from None
        if response.get("status_code") == 200:
            yield endpoint.parse(dictionary(response.get("body")))


def _summed(model: str | None, requests: list[tuple[Usage | None, Cost | str]]) -> BatchUsage:
    usages = [usage for usage, _ in requests if usage is not None]
    costs = [cost for _, cost in requests if isinstance(cost, Cost)]
    return BatchUsage(
        model=model,
        requests=len(requests),
        usage=_sum(usages) if len(usages) == len(requests) else None,
        cost=reduce(add, costs) if costs and len(costs) == len(requests) else None,
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
        usage=_sum(usages) if whole else None,
        usage_unknown=None if whole else "not_reported",
        cost=reduce(add, costs) if whole and len(costs) == len(sums) else None,
        unpriced=next((one.unpriced for one in sums if one.unpriced is not None), None if whole else "usage_unknown"),
        body=body,
    )


def _sum(usages: list[Usage]) -> Usage:
    """Return the sum of each field; ``None`` for a field that is ``None`` in all usages."""
    totals: dict[str, Any] = {}
    for field in fields(Usage):
        known = [number for usage in usages if (number := getattr(usage, field.name)) is not None]
        totals[field.name] = sum(known) if known else None
    return Usage(**totals)
