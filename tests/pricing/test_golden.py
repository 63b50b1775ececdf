"""The cost of calls that `golden.toml` works out by hand from published prices."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from monitored_openai._pricing.price_book import Billed, PriceBook, Unpriced
from monitored_openai._record import Cost, Usage

CALLS: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "golden.toml").read_text())["call"]
AT_NS = int(datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()) * 10**9
BOOKS = {kind: PriceBook(azure_deployment=kind) for kind in ("global", "data_zone", "regional", "provisioned", None)}


def usage(counts: Mapping[str, Any] | None) -> Usage | None:
    return None if counts is None else Usage(**counts)


def billed(call: Mapping[str, Any]) -> Billed:
    parts = tuple((part.get("model"), Usage(**part["usage"])) for part in call.get("parts", ()))
    return Billed(
        provider=call["provider"],
        model=call.get("model"),
        service_tier=call.get("tier"),
        usage=usage(call.get("usage")),
        at_ns=AT_NS,
        batch=call.get("batch", False),
        host=call.get("host"),
        units=call.get("units", {}),
        parts=parts,
        cache_retention=call.get("cache_retention"),
        completion_window=call.get("completion_window"),
    )


def worked_out(call: Mapping[str, Any]) -> Decimal:
    total = sum((Decimal(str(quantity)) * Decimal(usd) / covered for quantity, usd, covered in call["work"]), Decimal())
    return total * Decimal(call.get("factor", "1"))


def name(call: Mapping[str, Any]) -> str:
    return str(call["name"])


@pytest.mark.parametrize("call", CALLS, ids=name)
def test_call_costs_what_its_prices_say(call: Mapping[str, Any]) -> None:
    cost = BOOKS[call.get("azure_deployment")].cost(billed(call))
    if "unpriced" in call:
        assert cost == Unpriced(call["unpriced"])
        return
    assert isinstance(cost, Cost), cost
    assert cost.total_usd == pytest.approx(float(call["usd"]), rel=1e-9)
    assert sorted(cost.incomplete) == sorted(call.get("incomplete", []))
    assert cost.source == "table"


def test_each_golden_call_has_its_arithmetic_source_and_date() -> None:
    for call in CALLS:
        assert call["source"], call["name"]
        assert date.fromisoformat(call["date"]) <= date(2026, 11, 27)
        if "unpriced" not in call:
            assert worked_out(call) == Decimal(call["usd"]), call["name"]


def test_golden_table_covers_each_dimension() -> None:
    assert len(CALLS) >= 100
    assert len({call["name"] for call in CALLS}) == len(CALLS)
    assert {"flex", "priority", "fast", "ultrafast", "scale"} <= {call.get("tier") for call in CALLS}
    assert len({call["endpoint"] for call in CALLS}) >= 10
    assert len({call["provider"] for call in CALLS}) >= 8
    assert len({unit for call in CALLS for unit in call.get("units", {})}) >= 12
    assert any(call.get("batch") for call in CALLS)
    assert any(call.get("parts") for call in CALLS)
