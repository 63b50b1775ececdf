"""Adds records to cumulative counters and histograms."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from operator import add
from typing import NamedTuple

from monitored_openai._labels import OPTIONAL_LABELS, clip_label_value
from monitored_openai._metrics import names
from monitored_openai._metrics.metric_set import MetricSet, metric_set
from monitored_openai._metrics.names import Metric
from monitored_openai._record import CallRecord
from monitored_openai._redaction.redactor import without_secrets

Labels = tuple[tuple[str, str], ...]

OTHER = "other"


class Sample(NamedTuple):
    """One value of one series."""

    name: str
    labels: Labels
    value: float
    cumulative: bool = True
    at: float = 0.0
    """Time of the response that the value comes from, in seconds since the epoch; 0 for a value of this moment."""


_DETAILS = {
    kind: f"{kind}_tokens"
    for kind in (
        "input_cached",
        "input_cache_write",
        "input_cache_write_12h",
        "input_audio",
        "input_image",
        "output_audio",
        "output_reasoning",
        "output_accepted_prediction",
        "output_rejected_prediction",
        "output_image",
    )
}
_MILLISECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_UNBOUNDED = frozenset(
    {"gen_ai_request_model", "gen_ai_response_model", "openai_response_service_tier", "server_address"}
)
_UNFINISHED = frozenset({"queued", "in_progress"})


def bound_text(bound: float) -> str:
    """Return a bucket's bound in the format of Go, so that pushed and scraped series have the same label."""
    whole, _, _ = str(bound).partition(".")
    if bound < 1e6:
        return str(bound)
    return f"{whole[0]}.{whole[1:].rstrip('0') or '0'}e+{len(whole) - 1:02d}"


class Histogram:
    """The number of values in each bucket (not cumulative), and the sum of all values.

    Without bounds, it has no bucket series.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, values: Sequence[float]) -> None:
        """Count the values; a bucket includes its upper bound."""
        self.total += sum(values)
        if not self.bounds:
            self.counts[0] += len(values)
            return
        for value in values:
            self.counts[bisect_left(self.bounds, value)] += 1


def histogram_samples(
    name: str, series: Mapping[Labels, Histogram], labels_without_buckets: frozenset[str] = frozenset()
) -> Iterator[Sample]:
    """Yield the samples of a histogram's series; histograms that differ only in the named labels share buckets."""
    shared = {labels: tuple(one for one in labels if one[0] not in labels_without_buckets) for labels in series}
    counts: dict[Labels, list[int]] = {}
    for labels, histogram in series.items():
        counts[shared[labels]] = [*map(add, histogram.counts, counts.get(shared[labels], repeat(0)))]
    for labels, histogram in series.items():  # OpenMetrics requires that the series of one label set are adjacent
        texts = (*map(bound_text, histogram.bounds), "+Inf") if histogram.bounds else ()
        for text, cumulative in zip(texts, accumulate(counts.pop(shared[labels], ())), strict=False):
            yield Sample(f"{name}_bucket", (*shared[labels], ("le", text)), cumulative)
        yield Sample(f"{name}_sum", labels, histogram.total)
        yield Sample(f"{name}_count", labels, sum(histogram.counts))


@dataclass(slots=True)
class Counter:
    """A value that never decreases."""

    value: float = 0.0


class Metrics:
    """The cumulative counters and histograms of one exporter; not thread-safe."""

    def __init__(
        self,
        *,
        label_names: Iterable[str] = (),
        optional_labels: Iterable[str] = (),
        max_label_sets: int = 500,
        exposed: MetricSet | None = None,
    ) -> None:
        """Create an empty store.

        Args:
            label_names: the attributes that become labels.
            optional_labels: keys of `OPTIONAL_LABELS`.
            max_label_sets: the largest number of label sets of each metric; `other` then replaces unbounded values.
            exposed: the metrics to keep; by default those of the default settings.
        """
        self._exposed = metric_set() if exposed is None else exposed
        self._label_names = tuple(label_names)
        self._optional_labels = tuple(optional_labels)
        self._unbounded = _UNBOUNDED | set(self._label_names)
        self._max_label_sets = max_label_sets
        self._counters: dict[Metric, dict[Labels, Counter]] = {}
        self._histograms: dict[Metric, dict[Labels, Histogram]] = {}
        self._folded_label_sets = 0

    @property
    def folded_label_sets(self) -> int:
        """Number of updates to a label set with `other`, because the metric had `max_label_sets` label sets."""
        return self._folded_label_sets

    def labels(
        self, operation: str, api_type: str | None, provider: str, model: str | None, attributes: Mapping[str, str]
    ) -> Labels:
        """Return the labels that all metrics of a call have."""
        own = (
            ("gen_ai_operation_name", operation),
            *((("openai_api_type", api_type),) if api_type else ()),
            ("gen_ai_provider_name", provider),
            *((("gen_ai_request_model", clip_label_value(model)),) if model else ()),
        )
        return own + tuple(
            (name, clip_label_value(attributes[name])) for name in self._label_names if name in attributes
        )

    def fold(self, record: CallRecord) -> None:
        """Add a call to the counters and histograms."""
        base = self.labels(record.operation, record.api_type, record.provider, record.request_model, record.attributes)
        if self._optional_labels:
            base += self._optional(record)
        error = (("error_type", record.error_type),) if record.error_type else ()
        self._observe(names.DURATION, base + error, (record.duration,))
        if record.time_to_first_chunk is not None:
            self._observe(names.TIME_TO_FIRST_CHUNK, base, (record.time_to_first_chunk,))
        if record.chunk_intervals:
            self._observe(names.TIME_PER_OUTPUT_CHUNK, base, record.chunk_intervals)
        processing = record.headers.get("openai-processing-ms")
        if processing is not None and _MILLISECONDS.fullmatch(processing):
            self._observe(names.PROCESSING, base, (float(processing) / 1000,))
        answered_by = record.response_model
        full = (*base, ("gen_ai_response_model", clip_label_value(answered_by))) if answered_by else base
        self._fold_tokens(record, base, full)
        self._fold_cost(record, full)
        for tool, calls in record.tool_calls.items():
            self._add(names.TOOL_CALLS, (*full, ("tool", tool)), calls)
        if record.retries:
            self._add(names.RETRIES, full, record.retries)
        self._fold_finishes(record, full)

    def _fold_finishes(self, record: CallRecord, full: Labels) -> None:
        for reason in record.finish_reasons if _is_generation(record) else ():
            if reason not in _UNFINISHED:
                known = reason if reason in names.FINISH_REASONS else OTHER
                self._add(names.FINISHES, (*full, ("finish_reason", known)), 1)

    def _optional(self, record: CallRecord) -> Labels:
        tokens = record.usage.input_tokens if record.usage else None
        values = {
            "service_tier": record.service_tier,
            "server_address": record.server,
            "input_size": None if tokens is None else _input_size(tokens),
        }
        given = ((OPTIONAL_LABELS[name], values[name]) for name in self._optional_labels)
        return tuple((label, clip_label_value(value)) for label, value in given if value)

    def _fold_tokens(self, record: CallRecord, base: Labels, full: Labels) -> None:
        if record.usage_unknown is not None:
            self._add(names.USAGE_UNKNOWN, (*full, ("reason", record.usage_unknown)), 1)
        usage = record.usage
        if usage is None:
            return
        for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if tokens is not None:
                self._observe(names.TOKEN_USAGE, (*base, ("gen_ai_token_type", kind)), (tokens,))
                self._add(names.TOKENS_TOTAL, (*full, ("gen_ai_token_type", kind)), tokens)
        for metric, amount in ((names.AUDIO_SECONDS, usage.input_seconds), (names.CHARACTERS, usage.input_characters)):
            if amount:
                self._add(metric, full, amount)
        for kind, name in _DETAILS.items():
            tokens = getattr(usage, name)
            if tokens:
                self._add(names.TOKEN_DETAILS, (*full, ("gen_ai_token_type", kind)), tokens)

    def _fold_cost(self, record: CallRecord, full: Labels) -> None:
        if record.unpriced is not None:
            self._add(names.UNPRICED, (*full, ("reason", record.unpriced)), 1)
        cost = record.cost
        if cost is None:
            return
        for kind, usd in cost.by_kind().items():
            if usd:
                self._add(names.COST, (*full, ("kind", kind)), usd)
        if self._exposed.has(names.USAGE_COST):
            self._observe(names.USAGE_COST, full, (cost.total_usd,))
        if cost.incomplete:  # once for each call, so that the sum of all reasons is a number of calls
            self._add(names.COST_INCOMPLETE, (*full, ("reason", cost.incomplete[0])), 1)
        if cost.cache_savings_usd > 0:
            self._add(names.SAVINGS, full, cost.cache_savings_usd)

    def samples(self, *, labels_without_buckets: frozenset[str] = frozenset()) -> list[Sample]:
        """Return the current value of each series; see `histogram_samples` for the argument."""
        counters = [
            Sample(metric.name, labels, counter.value)
            for metric, series in self._counters.items()
            for labels, counter in series.items()
        ]
        histograms = [
            sample
            for metric, series in self._histograms.items()
            for sample in histogram_samples(metric.name, series, labels_without_buckets)
        ]
        return counters + histograms

    def _add(self, metric: Metric, labels: Labels, amount: float) -> None:
        if not self._exposed.has(metric):
            return
        series = self._counters.setdefault(metric, {})
        counter = series.get(labels)
        if counter is None:
            counter = series.setdefault(self._series_for(labels, series), Counter())
        counter.value += amount

    def _observe(self, metric: Metric, labels: Labels, values: Sequence[float]) -> None:
        if not self._exposed.has(metric):
            return
        series = self._histograms.setdefault(metric, {})
        histogram = series.get(labels)
        if histogram is None:
            histogram = Histogram(self._exposed.bounds[metric])
            histogram = series.setdefault(self._series_for(labels, series), histogram)
        histogram.observe(values)

    def admitted(self, labels: Labels, series: Mapping[Labels, object]) -> Labels | None:
        """Return the labels of a new series, without secrets; `None` beyond the limit: use `folded` then."""
        admitted = tuple((name, without_secrets(value) if name in self._unbounded else value) for name, value in labels)
        return admitted if admitted in series or len(series) < self._max_label_sets else None

    def folded(self, labels: Labels) -> Labels:
        """Return the labels with `other` in place of the unbounded values."""
        return tuple((name, OTHER if name in self._unbounded else value) for name, value in labels)

    def _series_for(self, labels: Labels, series: Mapping[Labels, object]) -> Labels:
        admitted = self.admitted(labels, series)
        if admitted is None:
            self._folded_label_sets += 1
            return self.folded(labels)
        return admitted


def _is_generation(record: CallRecord) -> bool:
    """Return whether the call generated its response; a later `retrieve` counts once, with the response's usage."""
    if record.operation in ("chat", "text_completion"):
        return True
    return record.api_type == "responses" and record.operation in ("retrieve", "cancel") and record.usage is not None


def _input_size(tokens: int) -> str:
    return next((size for bound, size in names.INPUT_SIZES if tokens <= bound), "more")
