"""The pages are correct: each Python block runs, and a test runs each command."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from monitored_openai import MonitoringSettings
from monitored_openai._pricing.rates import Unpriced
from monitored_openai._record import CostIncomplete
from tests.support.servers.openai_api import OpenAIServer

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
SHELL = {"bash", "console", "sh", "shell"}
TIMEOUT = 100
FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)

NOT_RUN: dict[str, str] = {}
"""First line of each block marked ```python no-run, and why it cannot run here."""
MOST_NOT_RUN = 4

COMMANDS: dict[str, str] = {
    "make demo": "a step of the CI workflow",
    "monitored-openai doctor": "tests/cli/test_doctor.py runs it",
    "make test": "the first half of .ci/run",
    "make bench": "tests/integration/test_benchmarks.py runs its cases, in short",
    "export MONITORED_OPENAI_METRICS_URL=https://prometheus.example.com": "tests/settings/test_environment.py sets such variables",
    "export MONITORED_OPENAI_LOGS_URL=https://loki.example.com": "as above",
    "export MONITORED_OPENAI_ENVIRONMENT=production": "as above",
    "export MONITORED_OPENAI_METRICS_URL=https://prometheus-prod-01-eu-west-0.grafana.net/api/prom": "as above",
    "export MONITORED_OPENAI_METRICS_USERNAME=123456": "as above",
    "export MONITORED_OPENAI_LOGS_URL=https://logs-prod-eu-west-0.grafana.net": "as above",
    "export MONITORED_OPENAI_LOGS_USERNAME=654321": "as above",
    "export MONITORED_OPENAI_ACCESS_TOKEN=glc_example": "as above",
    "monitored-openai demo --live": "tests/cli/test_main.py runs it against a loopback API",
    "python -m benchmarks.instructions": "tests/integration/test_instructions.py runs its processes without valgrind",
    "python -m benchmarks.versions --beside PATH": "tests/integration/test_versions.py runs its processes",
    "python -m benchmarks.fleet 1000": "tests/integration/test_scaling.py runs it with five processes",
    "pip install monitored-openai": "make demo installs the package so, from the checkout",
    "pip install 'monitored-openai[cli]'": "as below",
    "export GRAFANA_URL=https://example.grafana.net": "tests/cli/test_dashboards.py gives it as an option",
    "export GRAFANA_TOKEN=glsa_example": "as above",
    "monitored-openai dashboards push": "tests/cli/test_dashboards.py pushes to a fake",
    "export PROMETHEUS_TOKEN=glc_example": "tests/cli/test_rules_push.py sets it",
    **dict.fromkeys(
        (
            "monitored-openai rules push --to grafana --monthly-budget 500 --data-source grafanacloud-prom",
            "monitored-openai rules push --to ruler --recordings-only",
            "monitored-openai rules push --to ruler --monthly-budget 500",
        ),
        "tests/cli/test_rules_push.py pushes to fakes",
    ),
    "monitored-openai rules export rules --monthly-budget 500": "tests/cli/test_command.py writes them",
    'eval "$(monitored-openai completion bash)"': "tests/cli/test_arguments.py runs the script in bash",
    "monitored-openai report --range 24h": "tests/cli/test_report.py asks a real Prometheus",
    "pip install 'monitored-openai[scrape]'": "every session of the matrix installs it so, from the checkout",
    "monitored-openai local": "tests/cli/test_main.py starts it, on a free port",
    "monitored-openai local --host 0.0.0.0 --token-file token.txt": "as above",
    "monitored-openai demo --page": "as above",
    "export OPENAI_API_KEY=sk-example": "environment() sets it",
    """sed -E 's# / 10{3,4}",#",#' genai-observability.json > corrected.json""": "tests/integration/test_otel_genai.py runs it",
    **dict.fromkeys(
        (
            "export MONITORED_OPENAI_METRICS_URL=http://127.0.0.1:8642",
            "export MONITORED_OPENAI_LOGS_URL=http://127.0.0.1:8642",
            "export MONITORED_OPENAI_LABEL_NAMES=feature",
            "export MONITORED_OPENAI_METRIC_NAMES=gen_ai,otel_genai",
            "export MONITORED_OPENAI_HOST_DIR=/var/tmp/fastapi-totals",
            "export MONITORED_OPENAI_HOST_DIR=/var/tmp/celery-totals",
            "export MONITORED_OPENAI_REDACT_PRESETS=email,phone,card,iban",
            "export MONITORED_OPENAI_HASH_ATTRIBUTES=user,customer",
            "export MONITORED_OPENAI_HASH_SECRET=4f9c2a7be01d5386c4f9c2a7be01d538",
        ),
        "tests/settings/test_environment.py sets such variables",
    ),
    **dict.fromkeys(
        (
            "pip install monitored-openai fastapi uvicorn",
            "pip install monitored-openai 'celery[redis]'",
            "pip install monitored-openai langchain-openai",
            "pip install monitored-openai django",
        ),
        "the sessions of noxfile.py install them so, from the checkout",
    ),
    **dict.fromkeys(
        (
            "curl 'http://127.0.0.1:8000/ask?question=hello'",
            "curl 'http://127.0.0.1:8000/stream?question=hello'",
            "export CELERY_BROKER_URL=redis://localhost:6379/0",
            "celery -A celery_tasks worker --concurrency 4 --loglevel INFO",
            'python -c \'from celery_tasks import summarise; summarise.delay("A long text.", "c-17")\'',
            'python -c \'from lambda_handler import handler; print(handler({"question": "Hello?"}, None))\'',
            "export AZURE_OPENAI_ENDPOINT=https://example.openai.azure.com",
            "export AZURE_OPENAI_API_KEY=azure-key-example",
            "export AZURE_OPENAI_DEPLOYMENT=my-gpt-4o-mini",
            "python azure_v1.py",
        ),
        "tests/integration/test_examples.py does the same in its own folder",
    ),
    "uvicorn fastapi_app:app --workers 4": "tests/integration/runtimes/test_runtimes.py starts uvicorn with workers",
    "python django_app.py runserver": "tests/integration/test_examples.py runs its views; the server is Django's",
    "python with_langchain.py": "tests/integration/frameworks/test_frameworks.py runs it",
    **dict.fromkeys(
        (
            (
                "pip install --target package --platform manylinux2014_x86_64 --python-version 3.12"
                " --only-binary :all: monitored-openai"
            ),
            "cp lambda_handler.py package",
            "(cd package && python -m zipfile -c ../function.zip .)",
        ),
        "only the commands of pip, cp and zipfile",
    ),
    "python3 -m venv .venv": "only the standard library",
    ". .venv/bin/activate": "as above",
    "export MONITORED_OPENAI_METRICS_URL=http://localhost:9090": "tests/settings/test_environment.py sets such variables",
    "export MONITORED_OPENAI_LOGS_URL=http://localhost:3100": "as above",
    "export GRAFANA_PASSWORD=\"$(python3 -c 'import secrets; print(secrets.token_urlsafe())')\"": "only the standard library",
    'echo "$GRAFANA_PASSWORD"': "as above",
    "docker compose -f deploy/compose.yaml up --build": "tests/integration/test_deploy.py checks its files, without a container",
    "python -c 'import secrets; print(secrets.token_hex(32))'": "only the standard library",
    "python check_privacy.py": "the page's block runs",
    "python check_calls.py": "the page's block runs",
    "python by_feature.py": "the page's block runs",
    "monitored-openai report --by feature": "tests/cli/test_report.py asks a real Prometheus",
    "monitored-openai prices gpt-4o-mini": "tests/cli/test_prices.py shows such a model",
}
"""Each command on the pages that something else exercises, and what does."""
RUN: dict[str, list[str]] = {
    "monitored-openai demo": [str(Path(sys.executable).with_name("monitored-openai")), "demo"],
}
"""Each command on the pages that this module runs: as on the page, and as arguments."""

LOOPBACK_ONLY = """
import sys
import tomllib

def refuse(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host and host not in ("localhost", "0.0.0.0", "::", "::1") and not host.startswith("127."):
        raise ConnectionRefusedError(f"{host} is not this machine")

sys.addaudithook(refuse)
"""
"""The sitecustomize of a page's process: host names made up for an example are never called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    runs: bool
    text: str

    @property
    def first_line(self) -> str:
        return self.text.strip().partition("\n")[0]


def blocks_of(page: Path, text: str) -> Iterator[Block]:
    for match in FENCE.finditer(text):
        language, _, rest = match["info"].strip().partition(" ")
        yield Block(
            page=page,
            line=text.count("\n", 0, match.start("text")) + 1,
            language=language,
            runs="no-run" not in rest.split(),
            text=re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE),
        )


def commands_of(block: Block) -> Iterator[str]:
    """The commands of a shell block; in a console block those behind a prompt, the rest is output."""
    for line in block.text.replace("\\\n", " ").splitlines():
        command = " ".join(line.split())
        if block.language == "console":
            if command.startswith("$ "):
                yield command.removeprefix("$ ")
        elif command and not command.startswith("#"):
            yield command


def script_of(blocks: list[Block]) -> str:
    """The blocks of a page as one script, each on the line it has on the page."""
    lines: list[str] = []
    for block in blocks:
        lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    return "\n".join(lines) + "\n"


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page, page.read_text())]


def all_commands() -> set[str]:
    return {command for block in all_blocks() if block.language in SHELL for command in commands_of(block)}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def environment(folder: Path, base_url: str) -> dict[str, str]:
    """What a page's process sees: the loopback API, no settings from outside."""
    (folder / "sitecustomize.py").write_text(LOOPBACK_ONLY)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MONITORED_OPENAI_", "OPENAI_"))}
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return ours | {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": base_url, "PYTHONPATH": path}


def run_script(script: Path, folder: Path, base_url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, script],
        cwd=folder,
        env=environment(folder, base_url),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


RUNNABLE = {
    page: blocks
    for page in PAGES
    if (blocks := [block for block in all_blocks() if block.page == page and block.language == "python" and block.runs])
}


TASKS = [page for page in RUNNABLE if page.parent.name == "tasks"]
"""These pages are short and run in one process, because the imports take most of the time of each."""
PROCESSES = {name_of(page): [page] for page in RUNNABLE if page not in TASKS} | {"docs/tasks": TASKS}


@pytest.mark.parametrize("name", PROCESSES)
def test_the_python_blocks_of_a_page_run_one_after_the_other(name: str, tmp_path: Path) -> None:
    for page in PROCESSES[name]:
        (tmp_path / f"{page.stem}.py").write_text(script_of(RUNNABLE[page]))
    script = tmp_path / f"{PROCESSES[name][0].stem}.py"
    if len(PROCESSES[name]) > 1:
        script = tmp_path / "all_pages.py"
        paths = [str(tmp_path / f"{page.stem}.py") for page in PROCESSES[name]]
        script.write_text(f"import runpy\nfor path in {paths!r}:\n    runpy.run_path(path, run_name='__main__')\n")
    with OpenAIServer() as server:
        done = run_script(script, tmp_path, server.base_url)
    assert done.returncode == 0, f"{name} (line numbers are the page's):\n{done.stderr}"


def test_only_blocks_with_a_reason_are_not_run_and_they_are_few() -> None:
    python = [block for block in all_blocks() if block.language == "python"]
    marked = [block.first_line for block in python if not block.runs]
    assert sorted(marked) == sorted(NOT_RUN)
    assert len(marked) <= MOST_NOT_RUN


def test_the_price_file_on_the_page_has_the_prices_of_the_example_before_it() -> None:
    blocks = list(blocks_of(ROOT / "docs" / "prices.md", (ROOT / "docs" / "prices.md").read_text()))
    (number,) = [number for number, block in enumerate(blocks) if block.language == "toml"]
    scope: dict[str, Any] = {}
    exec(blocks[number - 1].text, scope)  # noqa: S102  # the page's own example

    assert MonitoringSettings(prices=tomllib.loads(blocks[number].text)).prices == scope["settings"].prices


def test_every_framework_on_the_pages_has_a_test_and_a_session() -> None:
    shown = re.findall(
        r"^ *```\{literalinclude\} (?:\.\./)+examples/with_(\w+)\.py$",
        (ROOT / "docs/tasks/langchain.md").read_text() + (ROOT / "docs/frameworks.md").read_text(),
        re.MULTILINE,
    )
    tests = re.findall(
        r"^def test_(\w+)", (ROOT / "tests/integration/frameworks/test_frameworks.py").read_text(), re.MULTILINE
    )
    sessions = re.search(r"^FRAMEWORKS = (\{.*?^\})", (ROOT / "noxfile.py").read_text(), re.MULTILINE | re.DOTALL)
    assert sessions is not None
    assert shown == tests == list(ast.literal_eval(sessions[1]))


def test_every_command_on_the_pages_is_exercised_somewhere_and_no_other_is_listed() -> None:
    assert COMMANDS.keys().isdisjoint(RUN)
    assert all_commands() == COMMANDS.keys() | RUN.keys()


@pytest.mark.parametrize("command", RUN)
def test_a_command_on_the_pages_ends_well(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        RUN[command], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_failing_block_is_reported_with_the_line_of_its_page(tmp_path: Path) -> None:
    text = "# Page\n\n```python\nname = 'a'\n```\n\n1. Then:\n\n   ```python\n   assert name == 'b'\n   ```\n"
    script = tmp_path / "page.py"
    script.write_text(script_of(list(blocks_of(script, text))))
    done = run_script(script, tmp_path, "http://127.0.0.1:9")
    assert done.returncode == 1
    assert 'page.py", line 10' in done.stderr


def test_a_block_cannot_reach_a_foreign_host(tmp_path: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text("import socket\nsocket.create_connection(('prometheus.example.com', 443), timeout=5)\n")
    done = run_script(script, tmp_path, "http://127.0.0.1:9")
    assert "prometheus.example.com is not this machine" in done.stderr


def test_commands_are_found_behind_prompts_and_across_continued_lines() -> None:
    text = "```console\n$ make demo\noutput\n```\n\n```sh\n# first\npip install \\\n    x\n```\n"
    found = [command for block in blocks_of(ROOT / "README.md", text) for command in commands_of(block)]
    assert found == ["make demo", "pip install x"]


def test_every_test_that_the_page_on_reliability_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+|Test\w+)`", (ROOT / "docs" / "reliability.md").read_text()))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^(?:async )?def (test_\w+)|^(Test\w+) = ", sources, re.MULTILINE))
    assert len(named) > 30
    assert named - {name for pair in there for name in pair} == set()


def test_the_reference_is_what_the_code_says() -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "reference_tables.py", "--check"], check=True, timeout=TIMEOUT)


def test_the_page_on_prices_names_every_reason_for_none() -> None:
    page = (ROOT / "docs" / "prices.md").read_text()
    for heading, reasons in (
        ("## Unpriced calls", list(Unpriced)),
        ("## Incomplete costs", get_args(CostIncomplete)),
    ):
        section = page.partition(heading)[2].partition("\n## ")[0]
        assert sorted(re.findall(r"^\| `(\w+)` \| .* \| .*\|$", section, re.MULTILINE)) == sorted(reasons)
