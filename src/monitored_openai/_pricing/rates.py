"""Computes the cost of a usage at the rates of one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from monitored_openai._record import Cost, Usage

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
    """The model has no published price for the service tier (or batch), or the tier is unknown."""
    NO_RATE_FOR_KIND = "no_rate_for_kind"
    """The call used a kind of tokens without a rate, or the provider bills the model by another unit."""
    SPLIT_UNKNOWN = "split_unknown"
    """The usage does not separate kinds of tokens that have different prices."""
    PREPAID = "prepaid"
    """In the scale tier, the user pays for capacity in advance, independent of tokens."""
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


def charge(bands: Bands, usage: Usage) -> Cost | Unpriced:
    """Return the cost of a usage, or the reason for an unknown cost. A count may be missing if its tokens are free."""
    rates = bands[-1][1]
    if rates.input_second is not None or rates.input_character is not None:
        return _charge_length(rates, usage)
    if (reason := _unpriceable(rates, usage)) is not None:
        return reason
    tokens = usage.input_tokens or 0
    for longer_than, higher in bands[:-1]:
        if tokens > longer_than:
            rates = higher
            break
    input_parts = _input_usd(rates, usage)
    if isinstance(input_parts, Unpriced):
        return input_parts
    output_usd = _output_usd(rates, usage)
    if isinstance(output_usd, Unpriced):
        return output_usd
    input_usd, input_cached_usd, cache_savings_usd = input_parts
    return Cost(
        input_usd=input_usd,
        input_cached_usd=input_cached_usd,
        output_usd=output_usd,
        cache_savings_usd=cache_savings_usd,
    )


def _unpriceable(rates: Rates, usage: Usage) -> Unpriced | None:
    """Return the reason why the usage has no price by the token; `None` if it has one."""
    if usage.input_tokens is None and usage.output_tokens is None:
        length_alone = usage.input_seconds is not None or usage.input_characters is not None
        return Unpriced.NO_RATE_FOR_KIND if length_alone else Unpriced.USAGE_UNKNOWN
    if not _consistent(usage):
        return Unpriced.USAGE_INVALID
    unknown = (usage.input_tokens is None and rates.input) or (usage.output_tokens is None and rates.output)
    return Unpriced.USAGE_UNKNOWN if unknown else None


def _charge_length(rates: Rates, usage: Usage) -> Cost | Unpriced:
    """Return the cost of audio or text that the provider bills by its length."""
    lengths = ((usage.input_seconds, rates.input_second), (usage.input_characters, rates.input_character))
    usd = [length * rate for length, rate in lengths if length is not None and rate is not None]
    if not usd:
        by_token = usage.input_tokens is not None or usage.output_tokens is not None
        return Unpriced.NO_RATE_FOR_KIND if by_token else Unpriced.USAGE_UNKNOWN
    return Cost(input_usd=sum(usd), input_cached_usd=0.0, output_usd=0.0, cache_savings_usd=0.0)


def _consistent(usage: Usage) -> bool:
    """Return whether no part exceeds its whole, and no count is negative or too large."""
    cached, written = usage.input_cached_tokens or 0, usage.input_cache_write_tokens or 0
    audio, image = usage.input_audio_tokens or 0, usage.input_image_tokens or 0
    if cached < 0 or written < 0 or audio < 0 or image < 0:
        return False
    tokens = usage.input_tokens or 0
    if cached + written > tokens or audio + image > tokens or not 0 <= tokens <= MOST_TOKENS:
        return False
    audio, reasoning = usage.output_audio_tokens or 0, usage.output_reasoning_tokens or 0
    parts = audio + reasoning + (usage.output_image_tokens or 0)
    return audio >= 0 and reasoning >= 0 and parts <= (usage.output_tokens or 0) <= MOST_TOKENS


def _input_usd(rates: Rates, usage: Usage) -> tuple[float, float, float] | Unpriced:
    """Return the cost of the uncached input, the cost of the cached input, and the savings by the cache, in USD."""
    tokens = usage.input_tokens or 0
    if not tokens:
        return 0.0, 0.0, 0.0
    audio = usage.input_audio_tokens or 0
    if rates.input is None or (audio and rates.input_audio is None):
        return Unpriced.NO_RATE_FOR_KIND
    usd, separate = 0.0, audio
    if audio and rates.input_audio is not None:
        usd = audio * rates.input_audio
    if usage.input_image_tokens and rates.input_image is not None:
        usd += usage.input_image_tokens * rates.input_image
        separate += usage.input_image_tokens
    cached, written = usage.input_cached_tokens or 0, usage.input_cache_write_tokens or 0
    if not cached and not written:
        return usd + (tokens - separate) * rates.input, 0.0, 0.0
    if separate:
        return Unpriced.SPLIT_UNKNOWN
    if rates.input_cached is None or rates.input_cache_write is None:
        return Unpriced.NO_RATE_FOR_KIND
    usd = (tokens - cached - written) * rates.input + written * rates.input_cache_write
    return usd, cached * rates.input_cached, cached * (rates.input - rates.input_cached)


def _output_usd(rates: Rates, usage: Usage) -> float | Unpriced:
    tokens = usage.output_tokens or 0
    if not tokens:
        return 0.0
    image = usage.output_image_tokens
    if rates.output_mixed or (rates.output_image is not None and image is None):
        return Unpriced.SPLIT_UNKNOWN
    audio = usage.output_audio_tokens or 0
    if rates.output is None or (audio and rates.output_audio is None):
        return Unpriced.NO_RATE_FOR_KIND
    usd = 0.0
    if audio and rates.output_audio is not None:
        usd = audio * rates.output_audio
        tokens -= audio
    if image and rates.output_image is not None:
        usd += image * rates.output_image
        tokens -= image
    if usage.output_reasoning_tokens and rates.output_reasoning is not None:
        usd += usage.output_reasoning_tokens * rates.output_reasoning
        tokens -= usage.output_reasoning_tokens
    return usd + tokens * rates.output
