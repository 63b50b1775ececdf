"""Computes the cost of a usage at the rates of one model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from monitored_openai._record import Cost, CostIncomplete, CostSource, Usage

MOST_TOKENS = 10**9
"""Limit for the tokens of one call; the largest context windows of 2026 have ten million."""


class Unpriced(StrEnum):
    """Reasons for an unknown cost; the values of the metric label ``reason``."""

    USAGE_UNKNOWN = "usage_unknown"
    """The response does not report the tokens."""
    USAGE_INVALID = "usage_invalid"
    """A count or the reported charge is wrong: a part exceeds its whole, or it is negative or too large."""
    SELF_HOSTED = "self_hosted"
    """The user runs the server, such as Ollama or vLLM, so its tokens have no price."""
    CURRENCY = "currency"
    """The provider bills in another currency than US dollars."""
    UNKNOWN_PROVIDER = "unknown_provider"
    """The price table does not contain the provider."""
    UNKNOWN_MODEL = "unknown_model"
    """The price table does not contain the model, or the response does not name one."""
    NO_RATE_FOR_TIER = "no_rate_for_tier"
    """The model has no published price for the service tier, batch or completion window, or the tier is unknown."""
    NO_RATE_FOR_KIND = "no_rate_for_kind"
    """The call used a kind of tokens without a rate, or the provider bills the model by another unit."""
    SPLIT_UNKNOWN = "split_unknown"
    """The usage does not separate kinds of tokens that have different prices."""
    PREPAID = "prepaid"
    """The user pays for capacity in advance, not for tokens: in the scale tier, or on a provisioned Azure deployment."""
    PRICE_ERROR = "price_error"
    """The computation of the price failed; the library logs only the first failure, with the traceback."""
    BACKGROUND = "background"
    """The server still generates the response. A later request may report its usage; that call then has the cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """USD per token of each kind; ``None`` if no rate is known.

    ``input_image`` and ``output_reasoning`` are also ``None`` if such tokens have the same rate as other tokens.
    """

    input: float | None
    output: float | None
    input_cached: float | None
    input_cache_write: float | None
    input_cache_write_12h: float | None = None
    """USD per token that the server keeps in its prompt cache for 12 hours."""
    input_audio: float | None = None
    input_image: float | None = None
    output_audio: float | None = None
    output_reasoning: float | None = None
    output_image: float | None = None
    output_mixed: bool = False
    """True if some output (video, citations) has its own price, but no count in the usage."""
    input_second: float | None = None
    """USD per second of audio, if the provider bills the model by it."""
    input_character: float | None = None
    """USD per character of text for the speech API, if the provider bills the model by it."""


Bands = Sequence[tuple[int, Rates]]
"""(Tokens, rates) pairs, longest prompt first. The rates apply to prompts with more than this number of tokens."""


def charge(bands: Bands, usage: Usage, *, own: bool = False) -> Cost | Unpriced:
    """Return the cost of a usage, or the reason for an unknown cost. A count may be missing if its tokens are free.

    `own`: True for the user's own prices. A kind without a rate then makes the cost incomplete instead of unknown.
    """
    rates = bands[-1][1]
    if rates.input_second is not None or rates.input_character is not None:
        return _charge_length(rates, usage, own=own)
    if (reason := _unpriceable(rates, usage)) is not None:
        return reason
    tokens = usage.input_tokens or 0
    for longer_than, higher in bands[:-1]:
        if tokens > longer_than:
            rates = higher
            break
    cost = _charge_text(rates, usage, "settings" if own else "table")
    return _charge_kinds(rates, usage, own=own) if cost is None else cost


def _charge_kinds(rates: Rates, usage: Usage, *, own: bool) -> Cost | Unpriced:
    """Return the cost of a usage with several kinds of tokens."""
    usd: dict[str, float] = dict.fromkeys(("input", "input_cached", "cache_write", "audio", "image", "output"), 0.0)
    gaps: list[CostIncomplete] = []
    for kind, number, rate in (*_input_parts(rates, usage), *_output_parts(rates, usage)):
        if rate is None and not own:
            return Unpriced.NO_RATE_FOR_KIND
        if rate is None:
            gaps.append("own_price")
        else:
            usd[kind] += number * rate
    if _split_unknown(rates, usage):
        return Unpriced.SPLIT_UNKNOWN
    kept_long = usage.input_cache_write_12h_tokens
    if kept_long and rates.input_cache_write_12h is None:
        gaps.append("own_price" if own else "retention")
    cached = usage.input_cached_tokens or 0
    discount = 0.0 if rates.input is None or rates.input_cached is None else rates.input - rates.input_cached
    return Cost(
        **{f"{kind}_usd": amount for kind, amount in usd.items()},
        cache_savings_usd=cached * discount,
        source="settings" if own else "table",
        incomplete=tuple(dict.fromkeys(gaps)),
    )


def _charge_text(rates: Rates, usage: Usage, source: CostSource) -> Cost | None:
    """Return the cost of a usage with nothing but text, which most calls have; `None` for any other usage."""
    if usage.input_audio_tokens or usage.input_cache_write_tokens:
        return None
    if usage.input_image_tokens and rates.input_image is not None:
        return None
    if usage.output_audio_tokens or usage.output_image_tokens or rates.output_mixed or rates.output_image is not None:
        return None
    cached, per_input, per_output = usage.input_cached_tokens or 0, rates.input, rates.output
    per_cached = rates.input_cached if cached else 0.0
    if per_input is None or per_output is None or per_cached is None:
        return None
    if usage.output_reasoning_tokens and rates.output_reasoning is not None:
        return None
    return Cost(
        input_usd=((usage.input_tokens or 0) - cached) * per_input,
        input_cached_usd=cached * per_cached,
        output_usd=(usage.output_tokens or 0) * per_output,
        cache_savings_usd=cached * (per_input - per_cached),
        source=source,
    )


def _input_parts(rates: Rates, usage: Usage) -> Iterator[tuple[str, int, float | None]]:
    """Yield kind, tokens and rate of each part of the input."""
    rest = usage.input_tokens or 0
    written, kept_long = usage.input_cache_write_tokens or 0, usage.input_cache_write_12h_tokens or 0
    long_rate = rates.input_cache_write if rates.input_cache_write_12h is None else rates.input_cache_write_12h
    parts = (
        ("audio", usage.input_audio_tokens, rates.input_audio),
        ("image", usage.input_image_tokens if rates.input_image is not None else None, rates.input_image),
        ("input_cached", usage.input_cached_tokens, rates.input_cached),
        ("cache_write", kept_long, long_rate),
        ("cache_write", written - kept_long, rates.input_cache_write),
    )
    for kind, tokens, rate in parts:
        if tokens:
            rest -= tokens
            yield kind, tokens, rate
    if rest:
        yield "input", rest, rates.input


def _output_parts(rates: Rates, usage: Usage) -> Iterator[tuple[str, int, float | None]]:
    """Yield kind, tokens and rate of each part of the output."""
    rest = usage.output_tokens or 0
    parts = (
        ("audio", usage.output_audio_tokens, rates.output_audio),
        ("image", usage.output_image_tokens if rates.output_image is not None else None, rates.output_image),
        (
            "output",
            usage.output_reasoning_tokens if rates.output_reasoning is not None else None,
            rates.output_reasoning,
        ),
    )
    for kind, tokens, rate in parts:
        if tokens:
            rest -= tokens
            yield kind, tokens, rate
    if rest:
        yield "output", rest, rates.output


def _split_unknown(rates: Rates, usage: Usage) -> bool:
    """Return whether the usage does not separate tokens that have different prices."""
    separate = usage.input_audio_tokens or (usage.input_image_tokens if rates.input_image is not None else 0)
    if separate and (usage.input_cached_tokens or usage.input_cache_write_tokens):
        return True
    mixed = rates.output_mixed or (rates.output_image is not None and usage.output_image_tokens is None)
    return bool(usage.output_tokens) and mixed


def _unpriceable(rates: Rates, usage: Usage) -> Unpriced | None:
    """Return the reason why the usage has no price by the token; `None` if it has one."""
    if usage.input_tokens is None and usage.output_tokens is None:
        length_alone = usage.input_seconds is not None or usage.input_characters is not None
        return Unpriced.NO_RATE_FOR_KIND if length_alone else Unpriced.USAGE_UNKNOWN
    if not _consistent(usage):
        return Unpriced.USAGE_INVALID
    unknown = (usage.input_tokens is None and rates.input) or (usage.output_tokens is None and rates.output)
    return Unpriced.USAGE_UNKNOWN if unknown else None


def _charge_length(rates: Rates, usage: Usage, *, own: bool) -> Cost | Unpriced:
    """Return the cost of audio or text that the provider bills by its length."""
    lengths = ((usage.input_seconds, rates.input_second), (usage.input_characters, rates.input_character))
    usd = [length * rate for length, rate in lengths if length is not None and rate is not None]
    if not usd:
        by_token = usage.input_tokens is not None or usage.output_tokens is not None
        return Unpriced.NO_RATE_FOR_KIND if by_token else Unpriced.USAGE_UNKNOWN
    return Cost(input_usd=sum(usd), source="settings" if own else "table")


def _consistent(usage: Usage) -> bool:
    """Return whether no part exceeds its whole, and no count is negative or too large."""
    cached, written = usage.input_cached_tokens or 0, usage.input_cache_write_tokens or 0
    audio, image = usage.input_audio_tokens or 0, usage.input_image_tokens or 0
    if cached < 0 or written < 0 or audio < 0 or image < 0:
        return False
    if not 0 <= (usage.input_cache_write_12h_tokens or 0) <= written:
        return False
    tokens = usage.input_tokens or 0
    if cached + written > tokens or audio + image > tokens or not 0 <= tokens <= MOST_TOKENS:
        return False
    audio, reasoning = usage.output_audio_tokens or 0, usage.output_reasoning_tokens or 0
    parts = audio + reasoning + (usage.output_image_tokens or 0)
    return audio >= 0 and reasoning >= 0 and parts <= (usage.output_tokens or 0) <= MOST_TOKENS
