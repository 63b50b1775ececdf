"""Checks the user's own prices, from the setting `prices` or from a file in TOML or JSON."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monitored_openai._labels import InvalidValue, check_label_value
from monitored_openai._redaction.secrets import secret_spans
from monitored_openai._settings.frozen_mapping import FrozenMapping

ModelPrice = Mapping[str, Any]
"""The checked price of a model: USD by kind, and optionally `multiplier`, `tiers` and `longer_than`."""
Prices = Mapping[str, ModelPrice]

TOKEN_KINDS = (
    *("input", "cached_input", "cache_write", "cache_write_12h", "audio_input", "image_input"),
    *("output", "reasoning_output", "audio_output", "image_output"),
)
"""Kinds of tokens, with prices in USD per million tokens. `KIND_per_million_tokens` is a longer name of each kind."""
LENGTH_KINDS = {"minute": "minute_of_audio", "characters": "million_characters"}
"""Kinds that are billed by length, with their longer names: USD per minute of audio, USD per million characters."""
FEES = (
    *("web_search_per_call", "file_search_per_call", "computer_per_action", "mcp_per_call", "video_per_second"),
    *(f"container_{size}_per_session" for size in ("1g", "4g", "16g", "64g")),
)
"""Fees in USD for one unit each."""
_MAX_PRICE = 1_000_000
_MOST_BYTES = 4 * 1024 * 1024
_LONG_NAMES = {f"{kind}_per_million_tokens": kind for kind in TOKEN_KINDS} | {
    f"per_{long}": kind for kind, long in LENGTH_KINDS.items()
}
_KINDS = frozenset({*TOKEN_KINDS, *LENGTH_KINDS, *FEES})


def parse_prices(models: Mapping[str, Any]) -> FrozenMapping[FrozenMapping[Any]]:
    """Return the checked prices by model.

    Raises:
        InvalidValue: a price has an unknown kind, no kind, or a number that is not a price.
    """
    return FrozenMapping({_model_name(str(model)): _price(price) for model, price in models.items()})


def read_price_file(path: str | Path) -> FrozenMapping[FrozenMapping[Any]]:
    """Return the checked prices in a file: TOML if its name ends in `.toml`, else JSON.

    Raises:
        InvalidValue: the file is too large, or contains no valid prices.
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise InvalidValue(f"names a file of more than {_MOST_BYTES} bytes; shorten it")
    try:
        text = content.decode()
        data = tomllib.loads(text) if str(path).endswith(".toml") else json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidValue("names a file that is neither TOML nor JSON; correct its syntax") from None
    if not isinstance(data, dict):
        raise InvalidValue("names a file without a table of models; begin it with the name of a model")
    return parse_prices(data)


def _model_name(text: str) -> str:
    if secret_spans(text):
        raise InvalidValue("has a model whose name looks like a secret; remove the secret")
    return check_label_value(text)


def _price(price: object, *, inside: str | None = None) -> FrozenMapping[Any]:
    """Return a checked price. `inside`: the part of another price to which it belongs."""
    if not isinstance(price, Mapping):
        raise InvalidValue("must have a table of prices for each model; write, for example, input and output")
    checked: dict[str, Any] = {}
    for name, value in price.items():
        kind = _LONG_NAMES.get(name, name)
        if kind in checked:
            raise InvalidValue(f"has two prices for {kind}; remove one of them")
        if inside == "longer_than" and kind not in TOKEN_KINDS:
            raise InvalidValue(
                "has a step in longer_than with a price of other units than tokens; move that price out of the step"
            )
        if kind in _KINDS or kind == "multiplier":
            checked[kind] = _usd(value)
        elif kind in ("tiers", "longer_than") and inside != kind and isinstance(value, Mapping):
            checked[kind] = FrozenMapping({_key(kind, key): _price(one, inside=kind) for key, one in value.items()})
        else:
            raise InvalidValue(
                f"has an unknown kind of price; use {', '.join(sorted(_KINDS))}, multiplier, tiers, longer_than"
            )
    by_length, by_token = _KINDS & LENGTH_KINDS.keys() & checked.keys(), set(TOKEN_KINDS) & checked.keys()
    if by_length and by_token:
        raise InvalidValue(
            "has a price per token and a price per character or minute for one model; remove one of them"
        )
    if not _KINDS & checked.keys() and (not inside or "multiplier" not in checked):
        raise InvalidValue("has a model, tier or step without a price; add, for example, input and output")
    return FrozenMapping(checked)


def _key(kind: str, key: object) -> str:
    """Return the name of a tier, or the number of tokens above which a step begins."""
    text = str(key)
    if kind == "longer_than" and not (text.isascii() and text.isdecimal()):
        raise InvalidValue("has a step in longer_than that is not a number of tokens; write, for example, 272000")
    return text


def _usd(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MAX_PRICE:
        raise InvalidValue(
            f"must be numbers from 0 to {_MAX_PRICE}; write USD per million tokens, per million characters or per minute"
        )
    return float(value)
