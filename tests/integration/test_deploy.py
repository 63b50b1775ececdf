"""Checks of deploy/ that need no container engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitored_openai import MonitoringSettings
from monitored_openai._cli.rules.files import groups_of, texts
from monitored_openai._cli.rules.links import Links, published_runbook
from monitored_openai._cli.rules.rule import Budget, Limits
from tests.support import alloy
from tests.support.programs import settings
from tests.support.servers.loki import FakeLoki
from tests.support.servers.prometheus import require_prometheus
from tests.support.servers.remote_write import RemoteWriteProxy

pytestmark = pytest.mark.once

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = ("compose.yaml", "compose.alloy.yaml")
RULES = {"monitored-openai.rules.yml": "rules", "monitored-openai.grafana.yml": "grafana/alerting"}
_LISTENS = {"listen_address": str, "listen_port": float}
ALLOY = {
    "prometheus.receive_http": {"http": _LISTENS, "forward_to": list},
    "prometheus.remote_write": {"endpoint": {"url": str}},
    "loki.source.api": {"http": _LISTENS, "use_incoming_timestamp": bool, "forward_to": list},
    "loki.write": {"endpoint": {"url": str}},
}
"""What of Alloy's components is used, as its reference names it."""
PORTS = {"prometheus": {9090}, "loki": {3100}, "grafana": {3000}, "alloy": {9999, 3500}}


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def services() -> dict[str, dict[str, Any]]:
    """Of both compose files, as the second goes on top of the first."""
    found: dict[str, dict[str, Any]] = {}
    for name in COMPOSE:
        for service, more in read(name)["services"].items():
            there = found.setdefault(service, {"environment": {}, "depends_on": []})
            there["environment"] |= more.pop("environment", {})
            there["depends_on"] += more.pop("depends_on", [])
            there |= more
    return found


def every_file() -> list[Path]:
    return [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix in (".yml", ".yaml", ".alloy")]


@pytest.mark.parametrize("path", [path for path in every_file() if path.suffix != ".alloy"], ids=lambda path: path.name)
def test_a_file_is_yaml(path: Path) -> None:
    assert yaml.safe_load(path.read_text())


def test_prometheus_takes_its_configuration_and_rules() -> None:
    promtool = require_prometheus().with_name("promtool")

    checked = subprocess.run(
        [promtool, "check", "config", DEPLOY / "prometheus.yml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr
    assert "SUCCESS: 1 rule files found" in checked.stdout


def test_the_rules_are_those_that_the_command_writes() -> None:
    links = Links(runbook=published_runbook(), grafana="http://localhost:3000")
    written = texts(groups_of(Limits(budgets=(Budget(usd=100),))), links)

    there = {name: (DEPLOY / folder) for name, folder in RULES.items()}
    assert (there["monitored-openai.rules.yml"] / "monitored-openai.rules.yml").read_text() == written[
        "monitored-openai.rules.yml"
    ]
    assert (there["monitored-openai.grafana.yml"] / "monitored-openai.yml").read_text() == written[
        "monitored-openai.grafana.yml"
    ]


def test_what_is_mounted_is_there_and_where_its_program_looks() -> None:
    mounts: dict[str, dict[str, Path]] = {}
    for service, described in services().items():
        for mount in described.get("volumes", ()):
            source, target, *_ = mount.split(":")
            if source.startswith("."):
                mounts.setdefault(service, {})[target] = (DEPLOY / source).resolve()
    assert all(path.exists() for targets in mounts.values() for path in targets.values())

    for service in ("prometheus", "loki", "alloy"):
        command = " ".join(
            ["", services()[service]["command"]] if service == "loki" else services()[service]["command"]
        )
        (config,) = [target for target in mounts[service] if target in command]
        assert mounts[service][config].is_file()
    (provider,) = read("grafana/dashboards/dashboards.yml")["providers"]
    assert sorted(path.suffix for path in mounts["grafana"][provider["options"]["path"]].iterdir()) == [".json"] * 5
    assert {path.name for path in mounts["grafana"]["/etc/grafana/provisioning"].iterdir()} <= {
        "datasources", "dashboards", "alerting", "plugins",
    }  # fmt: skip


def test_services_and_addresses_that_are_named_exist() -> None:
    known = services()
    assert {other for described in known.values() for other in described["depends_on"]} <= known.keys()
    for path in every_file():
        if "kubernetes" in path.parts:
            continue
        for host, port in re.findall(r"http://([a-z]+):(\d+)", path.read_text()):
            assert host == "localhost" or int(port) in PORTS[host], path.name
    listening = {int(port) for port in re.findall(r"listen_port\s*= (\d+)", (DEPLOY / "config.alloy").read_text())}
    assert listening == PORTS["alloy"]
    assert read("loki.yml")["server"]["http_listen_port"] in PORTS["loki"]


def test_images_have_a_version_and_a_digest() -> None:
    images = [described["image"] for name, described in services().items() if name != "app"]
    images += re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) == 5
    for image in images:
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+(-slim)?@sha256:[0-9a-f]{64}", image), image


def test_grafana_asks_for_a_password_that_is_in_no_file() -> None:
    environment = services()["grafana"]["environment"]
    assert re.match(r"\$\{GRAFANA_PASSWORD:\?.+\}$", environment["GF_SECURITY_ADMIN_PASSWORD"])
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert "GF_AUTH_ANONYMOUS_ORG_ROLE" not in environment


def test_ports_are_this_machines() -> None:
    for name, described in services().items():
        assert all(port.startswith("127.0.0.1:") for port in described.get("ports", ())), name


def test_alerts_and_dashboards_find_their_data_source() -> None:
    uids = {source["uid"]: source["type"] for source in read("grafana/datasources/datasources.yml")["datasources"]}
    asked = {
        query["datasourceUid"]
        for group in read("grafana/alerting/monitored-openai.yml")["groups"]
        for rule in group["rules"]
        for query in rule["data"]
    }

    assert asked == {"prometheus", "__expr__"}
    assert uids == {"prometheus": "prometheus", "loki": "loki"}


def test_alloy_knows_what_stands_in_its_configuration() -> None:
    config = alloy.read((DEPLOY / "config.alloy").read_text())

    assert config.arguments == {}
    assert {name.rpartition(".")[0]: written_in(block) for name, block in config.blocks.items()} == ALLOY


def written_in(block: alloy.Block) -> dict[str, Any]:
    """The types of a block's arguments, and the same of the blocks in it."""
    arguments = {name: type(value) for name, value in block.arguments.items()}
    return arguments | {name: written_in(inner) for name, inner in block.blocks.items()}


def test_a_component_of_alloy_forwards_to_one_that_is_there() -> None:
    components = alloy.read((DEPLOY / "config.alloy").read_text()).blocks
    ways = {
        (name, to.component, to.export)
        for name, component in components.items()
        for to in component.arguments.get("forward_to", ())
    }

    assert ways == {
        ("prometheus.receive_http.calls", "prometheus.remote_write.prometheus", "receiver"),
        ("loki.source.api.calls", "loki.write.loki", "receiver"),
    }
    assert {to for _, to, _ in ways} < components.keys()


@pytest.mark.parametrize(
    "wrong",
    [
        'a "b" {',
        'a "b" }',
        "a = ",
        "a = [b c]",
        "a = 1 b = 2",
        'a "b" {}\na "b" {}',
        "a = 'b'",
        'a "b"\n{}',
        "a = 1\na = 2",
    ],
)
def test_the_reader_finds_what_is_wrong(wrong: str) -> None:
    with pytest.raises(SyntaxError):
        alloy.read(wrong)


def test_every_variable_is_a_setting_that_takes_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = read("kubernetes/app.yaml")["spec"]["template"]["spec"]["containers"]
    in_kubernetes = {one["name"]: one.get("value", "pod-1") for one in container["env"]}
    for variables in (services()["app"]["environment"], in_kubernetes):
        given = {name: value for name, value in variables.items() if name.startswith("MONITORED_OPENAI_")}
        assert {
            name.removeprefix("MONITORED_OPENAI_").lower() for name in given
        } <= MonitoringSettings.model_fields.keys()
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        assert MonitoringSettings().metrics_url == "http://alloy:9999/api/v1/metrics/write" or "monitoring.svc" in str(
            MonitoringSettings().metrics_url
        )


def test_the_application_makes_calls_that_arrive() -> None:
    with RemoteWriteProxy() as prometheus, FakeLoki() as loki:
        given = settings(metrics_url=prometheus.write_url, logs_url=loki.push_url, label_names="feature")
        ended = subprocess.run(
            [sys.executable, DEPLOY / "app.py", "6"],
            env={**given, "PATH": ""},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        calls = [json.loads(entry.line) for entry in loki.entries]
        assert len(calls) == prometheus.total("gen_ai_client_operation_duration_seconds_count") == 6
        assert all("cost" in call and call["attributes"]["feature"] for call in calls)
