"""A collector of the same metrics for a `prometheus_client` registry, for programs that Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import Metric as Endpoint
from prometheus_client.registry import Collector

from monitored_openai._metrics.rate_limits import RATE_LIMIT_METRICS
from monitored_openai._metrics.store import CALL_METRICS, Metric, Sample


class MonitoringCollector(Collector):
    """Reads the totals afresh at each scrape; it writes no files, whatever `PROMETHEUS_MULTIPROC_DIR` says."""

    def __init__(
        self, samples: Callable[[], Iterable[Sample]], labels: Mapping[str, str], own_metrics: Iterable[Metric]
    ) -> None:
        """`labels` go on every series; the scraping Prometheus adds `job` and `instance` of its own."""
        self._samples = samples
        self._labels = dict(labels)
        self._metrics = {
            name: metric
            for metric in (*CALL_METRICS, *RATE_LIMIT_METRICS, *own_metrics)
            for name in metric.series_names
        }

    def describe(self) -> list[Endpoint]:
        """Nothing, so that a registry takes more than one of these."""
        return []

    def collect(self) -> Iterator[Endpoint]:
        """One family for each metric that has a value."""
        families: dict[str, Endpoint] = {}
        for sample in self._samples():
            metric = self._metrics[sample.name]
            family = families.get(metric.name)
            if family is None:
                name = metric.name.removesuffix("_total") if metric.type == "counter" else metric.name
                family = families[metric.name] = Endpoint(name, metric.help, metric.type)
            family.add_sample(sample.name, {**self._labels, **dict(sample.labels)}, sample.value)
        yield from families.values()
