"""Adds records to cumulative counters and histograms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from monitored_openai._labels import OPTIONAL_LABELS, clip_label_value
from monitored_openai._metrics import names
from monitored_openai._metrics.metric_set import MetricSet, metric_set
from monitored_openai._metrics.names import Metric
from monitored_openai._metrics.series import Counter, Histogram, Label, Labels, Sample, histogram_samples
from monitored_openai._record import CallRecord
from monitored_openai._redaction.redactor import without_secrets

OTHER = "other"
_Key = tuple[Metric, Label | None]
_Value = TypeVar("_Value")


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


class _CallSeries:
    """The series that calls with the same labels add to, so that only the first such call composes their labels."""

    __slots__ = ("counters", "full", "histograms", "shared")

    def __init__(self, shared: Labels, response_model: str | None) -> None:
        self.shared = shared
        """The labels of all metrics of the call."""
        self.full = (*shared, ("gen_ai_response_model", response_model)) if response_model else shared
        """The labels of its counters."""
        self.counters: dict[_Key, Counter] = {}
        self.histograms: dict[_Key, Histogram] = {}


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
        self._series_of_calls: dict[tuple[Labels | str | None, ...], _CallSeries] = {}
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
        of = self._series_of(record)
        error = ("error_type", record.error_type) if record.error_type else None
        self._observe(of, names.DURATION, (record.duration,), error)
        if record.time_to_first_chunk is not None:
            self._observe(of, names.TIME_TO_FIRST_CHUNK, (record.time_to_first_chunk,))
        if record.chunk_intervals:
            self._observe(of, names.TIME_PER_OUTPUT_CHUNK, record.chunk_intervals)
        processing = record.headers.get("openai-processing-ms")
        if processing is not None and _MILLISECONDS.fullmatch(processing):
            self._observe(of, names.PROCESSING, (float(processing) / 1000,))
        self._fold_tokens(record, of)
        self._fold_cost(record, of)
        for tool, calls in record.tool_calls.items():
            self._add(of, names.TOOL_CALLS, calls, ("tool", tool))
        if record.retries:
            self._add(of, names.RETRIES, record.retries)
        for reason in record.finish_reasons if _is_generation(record) else ():
            if reason not in _UNFINISHED:
                known = reason if reason in names.FINISH_REASONS else OTHER
                self._add(of, names.FINISHES, 1, ("finish_reason", known))

    def _series_of(self, record: CallRecord) -> _CallSeries:
        """Return the series of this call, which all calls with the same labels share."""
        model, response_model = record.request_model, record.response_model
        key = (
            record.operation,
            record.api_type,
            record.provider,
            model and clip_label_value(model),
            response_model and clip_label_value(response_model),
            *[value and clip_label_value(value) for value in map(record.attributes.get, self._label_names)],
            self._optional(record) if self._optional_labels else None,
        )
        of = self._series_of_calls.get(key)
        if of is None:
            if len(self._series_of_calls) >= self._max_label_sets:  # or else many label values would fill the memory
                self._series_of_calls.clear()
            shared = self.labels(record.operation, record.api_type, record.provider, model, record.attributes)
            if self._optional_labels:
                shared += self._optional(record)
            of = _CallSeries(shared, response_model and clip_label_value(response_model))
            self._series_of_calls[key] = of
        return of

    def _optional(self, record: CallRecord) -> Labels:
        tokens = record.usage.input_tokens if record.usage else None
        values = {
            "service_tier": record.service_tier,
            "server_address": record.server,
            "input_size": None if tokens is None else _input_size(tokens),
        }
        given = ((OPTIONAL_LABELS[name], values[name]) for name in self._optional_labels)
        return tuple((label, clip_label_value(value)) for label, value in given if value)

    def _fold_tokens(self, record: CallRecord, of: _CallSeries) -> None:
        if record.usage_unknown is not None:
            self._add(of, names.USAGE_UNKNOWN, 1, ("reason", record.usage_unknown))
        usage = record.usage
        if usage is None:
            return
        for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if tokens is not None:
                own = ("gen_ai_token_type", kind)
                self._observe(of, names.TOKEN_USAGE, (tokens,), own)
                self._add(of, names.TOKENS_TOTAL, tokens, own)
        for metric, amount in ((names.AUDIO_SECONDS, usage.input_seconds), (names.CHARACTERS, usage.input_characters)):
            if amount:
                self._add(of, metric, amount)
        for kind, name in _DETAILS.items():
            tokens = getattr(usage, name)
            if tokens:
                self._add(of, names.TOKEN_DETAILS, tokens, ("gen_ai_token_type", kind))

    def _fold_cost(self, record: CallRecord, of: _CallSeries) -> None:
        if record.unpriced is not None:
            self._add(of, names.UNPRICED, 1, ("reason", record.unpriced))
        cost = record.cost
        if cost is None:
            return
        for kind, usd in cost.by_kind().items():
            if usd:
                self._add(of, names.COST, usd, ("kind", kind))
        if self._exposed.has(names.USAGE_COST):
            self._observe(of, names.USAGE_COST, (cost.total_usd,))
        if cost.incomplete:  # once for each call, so that the sum of all reasons is a number of calls
            self._add(of, names.COST_INCOMPLETE, 1, ("reason", cost.incomplete[0]))
        if cost.cache_savings_usd > 0:
            self._add(of, names.SAVINGS, cost.cache_savings_usd)

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

    def _add(self, of: _CallSeries, metric: Metric, amount: float, own: Label | None = None) -> None:
        counter = of.counters.get((metric, own))
        if counter is None:
            if not self._exposed.has(metric):
                return
            series = self._counters.setdefault(metric, {})
            counter = self._find(of.counters, series, (metric, own), of.full, Counter())
        counter.value += amount

    def _observe(self, of: _CallSeries, metric: Metric, values: Sequence[float], own: Label | None = None) -> None:
        histogram = of.histograms.get((metric, own))
        if histogram is None:
            if not self._exposed.has(metric):
                return
            series = self._histograms.setdefault(metric, {})
            new = Histogram(self._exposed.bounds[metric])
            histogram = self._find(of.histograms, series, (metric, own), of.shared, new)
        histogram.observe(values)

    def _find(
        self, known: dict[_Key, _Value], series: dict[Labels, _Value], key: _Key, shared: Labels, new: _Value
    ) -> _Value:
        """Return the value of a series, or `new` for a new series. Add it to `known`, except with folded labels."""
        labels = shared if key[1] is None else (*shared, key[1])
        admitted = self.admitted(labels, series)
        if admitted is None:  # not known, so that each update is counted
            self._folded_label_sets += 1
            return series.setdefault(self.folded(labels), new)
        found = known[key] = series.setdefault(admitted, new)
        return found

    def admitted(self, labels: Labels, series: Mapping[Labels, object]) -> Labels | None:
        """Return the labels of a new series, without secrets; `None` beyond the limit: use `folded` then."""
        admitted = tuple((name, without_secrets(value) if name in self._unbounded else value) for name, value in labels)
        return admitted if admitted in series or len(series) < self._max_label_sets else None

    def folded(self, labels: Labels) -> Labels:
        """Return the labels with `other` in place of the unbounded values."""
        return tuple((name, OTHER if name in self._unbounded else value) for name, value in labels)


def _is_generation(record: CallRecord) -> bool:
    """Return whether the finish reasons of a call count.

    A `retrieve` or `cancel` of a response counts only if its record has the usage, so that a response counts once.
    """
    if record.operation in ("chat", "text_completion"):
        return True
    return record.api_type == "responses" and record.operation in ("retrieve", "cancel") and record.usage is not None


def _input_size(tokens: int) -> str:
    return next((size for bound, size in names.INPUT_SIZES if tokens <= bound), "more")
