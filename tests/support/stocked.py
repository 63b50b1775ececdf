"""One real Prometheus and one fake Loki with one workload, shared by all tests that read it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from monitored_openai import MonitoredOpenAI, MonitoringSettings
from monitored_openai._cli.demo import client_app, workload
from monitored_openai._cli.demo.counts import Counts
from monitored_openai._cli.demo.openai_server import Api
from tests.integration.test_end_to_end import env
from tests.support.programs import run, running, settings
from tests.support.servers.loki import FakeLoki
from tests.support.servers.openai_api import OpenAIServer
from tests.support.servers.prometheus import Prometheus, require_prometheus

QUICK = 0.02
"""The pace of the demo's API: a fiftieth of the times shown to people."""
PROCESSES, CALLS = 4, 60
ENVIRONMENTS = {"lean": "demo|default", "full": "full|full-mixed", "host": "host|host-mixed"}
"""As regular expressions: the environments whose processes push the default metrics, all metrics of `gen_ai` and
`otel_genai`, and the default metrics in one set of series for the host."""
FULL: dict[str, Any] = {"histograms": "full", "metric_names": "gen_ai,otel_genai"}
DEMOS = ("demo", "full", "host")
"""The environments of the demo's workload, in the order of `ENVIRONMENTS`."""
FLUSH_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What was done, and where it was told to.

    First a process that ended before `window_begins`, then at once the demo's workload, with the default metrics
    (`environment="demo"`), with all of them (`environment="full"`) and with `host_dir` (`environment="host"`), and four
    processes (`job="mixed"`), of which two share a `host_dir` and the last pushes all metrics.
    """

    prometheus: Prometheus
    loki: FakeLoki
    served: Mapping[str, Counts]
    """What the demo's API served and which of its calls came to nothing, by environment."""
    began: float
    window_begins: float
    ended: float

    def lines(self, **labels: str) -> list[dict[str, Any]]:
        """The log's entries in the streams with these labels."""
        return [json.loads(entry.line) for entry in self.loki.entries if labels.items() <= dict(entry.labels).items()]


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workload]:
    """Do it once."""
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        for name in os.environ:
            if name.upper().startswith(("MONITORED_OPENAI_", "OPENAI_", "OTEL_")):
                environment.delenv(name)
        prometheus = stack.enter_context(Prometheus(require_prometheus(), tmp_path_factory.mktemp("look")))
        loki = stack.enter_context(FakeLoki())
        api = stack.enter_context(OpenAIServer())
        began = time.time()
        host_dir = tmp_path_factory.mktemp("host")
        common = ("mixed", api, prometheus.write_url, loki)
        given = env(*common, push_interval=1, label_names="program")
        assert run("mixed", 30, "before", env=given).code == 0
        window_begins = time.time() + 0.002
        full = given | settings(**FULL, environment="full-mixed")
        host = given | settings(host_dir=host_dir, environment="host-mixed")
        programs = [
            stack.enter_context(running("mixed", CALLS, f"p{number}", env=one))
            for number, one in enumerate((given, host, host, full))
        ]
        served = {
            "demo": _demo(prometheus, loki),
            "full": _demo(prometheus, loki, "full", **FULL),
            "host": _demo(prometheus, loki, "host", host_dir=host_dir),
        }
        assert [program.wait(120).code for program in programs] == [0] * PROCESSES
        yield Workload(
            prometheus=prometheus,
            loki=loki,
            served=served,
            began=began,
            window_begins=window_begins,
            ended=time.time() + 0.002,
        )


def _demo(prometheus: Prometheus, loki: FakeLoki, environment: str = "demo", **settings_given: Any) -> Counts:
    monitoring = MonitoringSettings(
        metrics_url=prometheus.write_url,
        logs_url=loki.push_url,
        push_interval=1,
        label_names=("feature",),
        provider="openai",
        environment=environment,
        service_name="shop",
        **settings_given,
    )
    with (
        Api(pace=QUICK) as api,
        MonitoredOpenAI(base_url=api.base_url, api_key="none", monitoring=monitoring) as client,
    ):
        errors = client_app.run(workload.phases(), api.base_url, client.monitoring.settings)
        assert client.monitoring.close(FLUSH_SECONDS).complete
    return api.served + errors
