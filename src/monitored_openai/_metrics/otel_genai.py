"""Derives the series of the scheme `otel_genai` from the series of the calls. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from monitored_openai._metrics.names import (
    DURATION,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    REQUESTS,
    TIME_TO_FIRST_CHUNK,
    TIME_TO_FIRST_TOKEN,
    TOKEN_USAGE,
    TOKENS_TOTAL,
    USAGE_COST,
)
from monitored_openai._metrics.series import Labels, Sample

_COPIES = {
    DURATION.count: REQUESTS.name,
    **dict(zip(TIME_TO_FIRST_CHUNK.series_names, TIME_TO_FIRST_TOKEN.series_names, strict=True)),
}
"""Series of the store that the dashboards read under another name."""
_TOKENS = {"input": INPUT_TOKENS.name, "output": OUTPUT_TOKENS.name}
_WHOLE = frozenset({TOKEN_USAGE.bucket, USAGE_COST.bucket})


def otel_genai_samples(samples: Iterable[Sample], shown: AbstractSet[str], *, whole_bounds: bool) -> Iterator[Sample]:
    """Yield the samples with the labels of the scheme, and the samples that the scheme adds.

    Args:
        samples: the current values of all series.
        shown: the names of the series to yield.
        whole_bounds: True to write the bound of a bucket as `16`, as the dashboards select it; False to write `16.0`,
            as OpenMetrics requires.
    """
    for name, own, value, cumulative, at in samples:
        labels = _with_system(own)
        if name in shown:
            whole = whole_bounds and name in _WHOLE
            yield Sample(name, _with_whole_bound(labels) if whole else labels, value, cumulative, at)
        if name == TOKENS_TOTAL.name:
            copy, labels = _TOKENS[dict(own)["gen_ai_token_type"]], _without_type(labels)
        else:
            copy = _COPIES.get(name, "")
        if copy in shown:
            yield Sample(copy, labels, value)


def _with_system(labels: Labels) -> Labels:
    """Return the labels with the provider under its former name, too."""
    for name, value in labels:
        if name == "gen_ai_provider_name":
            return (*labels, ("gen_ai_system", value))
    return labels


def _without_type(labels: Labels) -> Labels:
    return tuple(label for label in labels if label[0] != "gen_ai_token_type")


def _with_whole_bound(labels: Labels) -> Labels:
    return tuple((name, _whole(value) if name == "le" else value) for name, value in labels)


def _whole(bound: str) -> str:
    return str(int(float(bound))) if bound != "+Inf" and float(bound).is_integer() else bound
