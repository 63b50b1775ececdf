"""A collector for a `prometheus_client` registry, for processes that Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from monitored_openai._metrics.metric_set import METRICS
from monitored_openai._metrics.series import Sample


class MonitoringCollector(Collector):
    """Reads the current values at each scrape, without files; ignores `PROMETHEUS_MULTIPROC_DIR`."""

    def __init__(self, samples: Callable[[], Iterable[Sample]], labels: Mapping[str, str]) -> None:
        """Add `labels` to every series; the scraping Prometheus adds its own `job` and `instance`."""
        self._samples = samples
        self._labels = dict(labels)
        self._metrics = {name: metric for metric in METRICS.values() for name in metric.series_names}

    def describe(self) -> list[Metric]:
        """Return nothing, so that a registry accepts several of these collectors."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield each metric that has a value."""
        families: dict[str, Metric] = {}
        for sample in self._samples():
            metric = self._metrics[sample.name]
            family = families.get(metric.name)
            if family is None:
                name = metric.name.removesuffix("_total") if metric.type == "counter" else metric.name
                # a summary may have only its sum and its count, and a histogram may not
                bare = metric.type == "histogram" and sample.name != metric.bucket
                family = families[metric.name] = Metric(name, metric.help, "summary" if bare else metric.type)
            family.add_sample(sample.name, {**self._labels, **dict(sample.labels)}, sample.value)
        yield from families.values()
