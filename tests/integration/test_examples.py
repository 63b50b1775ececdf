"""Every file in examples/ runs, and exactly its calls arrive.

Examples with a framework run in their own environments: `tests/integration/frameworks`.
"""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.back_ends import Reality
from tests.support.programs import settings

pytestmark = pytest.mark.once

EXAMPLES = Path(__file__).parents[2] / "examples"
FRAMEWORKS = Path(__file__).parent / "frameworks" / "test_frameworks.py"
TESTED = {"fastapi_app.py", "django_app.py", "celery_tasks.py", "lambda_handler.py", "azure_v1.py", "notebook.ipynb"}
CALLS = "gen_ai_client_operation_duration_seconds_count"
ENDED = 110.0
NOTEBOOK = """
import ast, asyncio, json, sys

async def run():
    names = {}
    for cell in json.load(open(sys.argv[1]))["cells"]:
        if cell["cell_type"] == "code":
            code = compile("".join(cell["source"]), "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)
            if running is not None:
                await running

asyncio.run(run())
"""


class ExampleServers(Reality):
    """The API and the back ends, as the settings of an example's process."""

    def env(self) -> dict[str, str]:
        given = settings(
            metrics_url=self.prometheus.write_url,
            logs_url=self.loki.push_url,
            label_names="feature",
            push_interval=60,
            log_linger=60,
        )
        own = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": self.api.base_url, "PYTHONPATH": str(EXAMPLES)}
        return {**os.environ, **given, **own}

    def arrived(self) -> Counter[str]:
        """The calls in the log by feature; the metrics have as many."""
        calls = [json.loads(entry.line) for entry in self.loki.entries]
        assert self.prometheus.total(CALLS) == len(calls) == len(self.api.requests)
        assert [call for call in calls if "error_type" in call] == []
        return Counter(call["attributes"]["feature"] for call in calls)


@pytest.fixture
def reality() -> Iterator[ExampleServers]:
    real = ExampleServers()
    yield real
    real.close()


@contextmanager
def running(command: list[str], reality: ExampleServers, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A server that is ended by SIGTERM, and killed with its children if that does not do."""
    process = subprocess.Popen(
        command, cwd=folder, env=reality.env(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDED) in (0, -signal.SIGTERM)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=ENDED)


def read_until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """The line of standard error that fits."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"it ended without {pattern}")


def run(program: str, *arguments: str, reality: ExampleServers, folder: Path = EXAMPLES) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder, env=reality.env(), capture_output=True, text=True, timeout=ENDED, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_there_is_a_test_for_every_example() -> None:
    with_frameworks = re.findall(r"^def test_(\w+)", FRAMEWORKS.read_text(), re.MULTILINE)
    there = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert there == TESTED | {f"with_{name}.py" for name in with_frameworks}
    for path in EXAMPLES.glob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.timeout(180)
def test_fastapi_delivers_when_uvicorn_is_stopped(reality: ExampleServers) -> None:
    command = [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--port", "0"]
    with running(command, reality, EXAMPLES) as server:
        url = read_until(server, r"running on (http://[\d.:]+)")[1]
        for asked in ("ask", "ask", "stream"):
            answer = httpx.get(f"{url}/{asked}", params={"question": "How are you?"}, timeout=30, trust_env=False)
            assert (answer.status_code, bool(answer.text)) == (200, True)
    assert reality.arrived() == {"ask": 2, "stream": 1}


def test_django_labels_calls_with_their_view(reality: ExampleServers) -> None:
    asking = "import django_app, django.test; django.setup(); c = django.test.Client()\n"
    asking += "for _ in range(3): assert c.get('/ask', {'question': 'Hello?'}).json()['answer']"

    run(asking, reality=reality)

    assert reality.arrived() == {"ask": 3}


@pytest.mark.timeout(240)
def test_celery_delivers_when_its_workers_end(reality: ExampleServers, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "configured.py").write_text(
        "from celery_tasks import app, summarise\n"
        "app.conf.update(broker_url='filesystem://', result_backend='file://there', broker_transport_options={\n"
        "    'polling_interval': 0.1,\n"
        "    **{name: 'there' for name in ('data_folder_in', 'data_folder_out', 'control_folder')}})\n"
    )
    command = [sys.executable, "-m", "celery", "-A", "configured", "worker", "-P", "prefork", "-c", "2"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with running([*command, "--loglevel", "INFO"], reality, tmp_path) as worker:
        read_until(worker, r"ready\.")
        asking = "from configured import summarise\n"
        asking += "sent = [summarise.delay('a text', f'c-{n}') for n in range(6)]\n"
        asking += "assert all(one.get(timeout=100) for one in sent)"
        run(asking, reality=reality, folder=tmp_path)
    reality.loki.wait_until(lambda: len(reality.loki.entries) == reality.prometheus.total(CALLS) == 6)
    assert reality.arrived() == {"summaries": 6}


@pytest.mark.alone  # the example gives its flush one second
def test_a_lambda_has_delivered_when_it_returns(reality: ExampleServers) -> None:
    twice = "import os; import monitored_openai._exporter.exporter\n"  # so that no flush of a second waits for that
    twice += "from lambda_handler import handler\n"
    twice += "for _ in range(2): assert handler({'question': 'Hello?'}, None)['statusCode'] == 200\n"
    twice += "os._exit(0)"  # as good as frozen: no exit handler runs

    run(twice, reality=reality)

    assert reality.arrived() == {"lambda": 2}


def test_azure_v1_takes_the_plain_client(reality: ExampleServers) -> None:
    own = {
        "AZURE_OPENAI_ENDPOINT": reality.api.url,
        "AZURE_OPENAI_API_KEY": "azure-key",
        "AZURE_OPENAI_DEPLOYMENT": "our-deployment",
    }
    program = f"import os, runpy; os.environ.update({own!r}); runpy.run_path('azure_v1.py', run_name='__main__')"

    run(program, reality=reality)

    assert reality.arrived() == {"search": 1}
    (request,) = reality.api.requests
    assert request.path == "/openai/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer azure-key"


def test_the_notebook_runs_from_top_to_bottom(reality: ExampleServers) -> None:
    run(NOTEBOOK, str(EXAMPLES / "notebook.ipynb"), reality=reality)

    assert reality.arrived() == {"notebook": 2}
