"""The series of the scheme `otel_genai`, derived from those of the calls. Pure."""

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
from monitored_openai._metrics.store import Labels, Sample

_READ = frozenset(name for metric in (DURATION, TOKEN_USAGE, USAGE_COST) for name in metric.series_names)
"""Series of the store that the dashboards read under the same name."""
_COPIES = {
    DURATION.count: REQUESTS.name,
    **dict(zip(TIME_TO_FIRST_CHUNK.series_names, TIME_TO_FIRST_TOKEN.series_names, strict=True)),
}
"""Series of the store that the dashboards read under another name."""
_TOKENS = {"input": INPUT_TOKENS.name, "output": OUTPUT_TOKENS.name}
_WHOLE = frozenset({TOKEN_USAGE.bucket, USAGE_COST.bucket})


def otel_genai_samples(samples: Iterable[Sample], shown: AbstractSet[str], *, whole_bounds: bool) -> Iterator[Sample]:
    """Yield the samples of the calls with the labels of the scheme, and the samples that the scheme adds.

    Args:
        samples: the current values of the store.
        shown: the names of the series to yield.
        whole_bounds: whether the bound of a bucket is `16`, as the dashboards select it, or `16.0`, as OpenMetrics
            requires.
    """
    for sample in samples:
        name, labels, value, *_ = sample
        if name in shown:
            if name in _READ:
                read = _with_system(labels)
                yield Sample(name, _with_whole_bound(read) if whole_bounds and name in _WHOLE else read, value)
            else:
                yield sample
        if name == TOKENS_TOTAL.name:
            copy, labels = _TOKENS[dict(labels)["gen_ai_token_type"]], _without_type(labels)
        else:
            copy = _COPIES.get(name, "")
        if copy in shown:
            yield Sample(copy, _with_system(labels), value)


def _with_system(labels: Labels) -> Labels:
    """Return the labels with the provider under its former name, too."""
    return (*labels, *(("gen_ai_system", value) for name, value in labels if name == "gen_ai_provider_name"))


def _without_type(labels: Labels) -> Labels:
    return tuple(label for label in labels if label[0] != "gen_ai_token_type")


def _with_whole_bound(labels: Labels) -> Labels:
    return tuple((name, _whole(value) if name == "le" else value) for name, value in labels)


def _whole(bound: str) -> str:
    return str(int(float(bound))) if bound != "+Inf" and float(bound).is_integer() else bound
