"""User errors, rule files, help, and servers of another kind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from monitored_openai._cli.main import main
from tests.support.command import COMMAND, Asked, Other

pytestmark = pytest.mark.usefixtures("wide")


def test_rules_are_written_with_the_budgets_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--monthly-budget", "500", "--monthly-budget", "feature=search:50", "--data-source", "mimir"]
    assert main(["rules", "export", str(tmp_path), *arguments]) == 0

    assert capsys.readouterr().err == ""
    prometheus, grafana = (
        yaml.safe_load((tmp_path / f"monitored-openai.{kind}.yml").read_text()) for kind in ("rules", "grafana")
    )
    budgets = next(group for group in prometheus["groups"] if group["name"] == "monitored-openai-budgets")
    assert len(budgets["rules"]) == 6
    assert {rule["data"][0]["datasourceUid"] for group in grafana["groups"] for rule in group["rules"]} == {"mimir"}


def test_rules_without_a_budget_say_that_cost_is_not_watched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rules", "export", str(tmp_path)]) == 0

    assert capsys.readouterr().err == "no --monthly-budget: no alerts on cost\n"
    assert "OpenAIBudget" not in (tmp_path / "monitored-openai.rules.yml").read_text()


WRONG = [
    (("report", "--range", "yesterday"), "write a number and a unit"),
    (("report", "--range", "0s"), "write a number and a unit"),
    (("report", "--range", "1h1h"), "write a number and a unit"),
    (("report", "--range", "1m1h"), "write a number and a unit"),
    (("report", "--range", "\uff15m"), "write a number and a unit"),
    (("report", "--range", "101y"), "up to 100y"),
    (("report", "--range", f"{'9' * 5000}d"), "up to 100y"),
    (("report", "--until", "soon"), "is not a date"),
    (("report", "--until", "0001-01-01"), "is not a date"),
    (("report", "--by", "a) or vector(1"), "is not the name of a label"),
    (("report", "--by", "response_model"), "some figures of a report lack this label"),
    (("report", "--by", "error_type"), "some figures of a report lack this label"),
    (("report", "--where", "kind=input"), "some figures of a report lack this label"),
    (("top", "--where", "gen_ai_token_type=input"), "some figures of a report lack this label"),
    (("report", "--where", "production"), "write label=value"),
    (("report", "--url", "http://127.0.0.1:9", "--where", "model=\udcc3"), "the terminal's encoding"),
    (("report",), "set MONITORED_OPENAI_METRICS_URL"),
    (("report", "--url", "localhost:9090"), "must begin with https:// (or http://)"),
    (("report", "--url", "http://127.0.0.1:99999"), "write https://HOST or https://HOST:PORT"),
    (("report", "--url", "http://127.0.0.1:9"), "cannot be reached"),
    (("report", "--url", "http://127.0.0.1:9", "--token", ""), "the token is empty"),
    (("report", "--format", "xml"), "format"),
    (("tail", "--where", "a b=c"), "write name=value"),
    (("tail",), "set MONITORED_OPENAI_LOGS_URL"),
    (("prices", "gpt-9"), "no price of 'gpt-9' at openai is known"),
    (("prices", "gpt-4o", "--provider", "acme"), "no prices of provider 'acme'"),
    (("prices", "gpt-4o", "--on", "someday"), "is not a date"),
    (("rules", "export", "x", "--monthly-budget", "a lot"), "is not a budget"),
    (("rules", "export", "x", "--first-chunk-seconds", "2"), "one of 0.08"),
    (("rules", "export", "x", "--data-source", ""), "not the uid of a data source"),
    (("rules", "export", "x", "--data-source", "\udcff"), "not the uid of a data source"),
    (("rules", "export", "/dev/null/x"), "name another folder"),
    (("dashboards", "export", "/dev/null/x"), "name another folder"),
    (("dashboards", "push"), "--grafana-url"),
    (("dashboards", "push", "--grafana-url", "http://127.0.0.1:9"), "set GRAFANA_TOKEN"),
    (("report", "--url", "http://127.0.0.1:9", "--username", "me"), "--username needs a token"),
    (("report", "--url", "http://me:hunter2@127.0.0.1:9"), "use --username and --token-file"),
    (("report", "--url", "http://127.0.0.1:9?a=b"), "remove the ?"),
    (("report", "--url", "http://169.254.169.254"), "link-local"),
    (("nonsense",), "nonsense"),
    (("report", "--nonsense"), "nonsense"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_told_in_one_line_with_exit_code_2(
    arguments: tuple[str, ...], words: str, ask: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert words in ask(*arguments, code=2)


@pytest.mark.parametrize("token", ["a hidden word", "hidden\n", "hidd\u00ebn"])
def test_a_token_that_cannot_be_one_is_not_repeated(token: str, ask: Asked) -> None:
    told = ask("report", "--url", "http://127.0.0.1:9", "--token", token, code=2)

    assert "copy it again" in told
    assert "hid" not in told


VECTOR = '{"data": {"result": [{"metric": {}, "value": [1, "%s"]}]}}'


@pytest.mark.parametrize(
    "body",
    ["{}", "[]", "null", '"x"', "[1]", '[{"title": "monitored-openai"}]', "<p>", VECTOR % "NaN", VECTOR % "+Inf"],
)
@pytest.mark.parametrize("arguments", ["report --url", "tail --no-follow --url", "dashboards push --grafana-url"])
def test_a_server_of_another_kind_is_told_from_the_right_one(
    arguments: str, body: str, ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", "any-token")
    with Other(body) as server:
        assert "is the address right?" in ask(*arguments.split(), server.url, code=2)


def test_a_closed_output_leaves_the_page_its_own_errors() -> None:
    ended = subprocess.run(
        ["sh", "-c", '"$0" local --port 0 --history /dev/null >&-', COMMAND],
        stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert ended.returncode == 2
    assert ended.stderr.startswith("monitored-openai local: ")


@pytest.mark.parametrize(("out", "code"), [("/dev/full", 1), (None, 0)], ids=["full", "closed"])
def test_an_output_that_takes_nothing_is_no_traceback(out: str | None, code: int, tmp_path: Path) -> None:
    where = ">&-" if out is None else f"> {out}"

    ended = subprocess.run(
        ["sh", "-c", f'"$0" dashboards export "$1" {where}', COMMAND, tmp_path],
        stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert ended.returncode == code
    assert ended.stderr == ("monitored-openai: the output cannot be written: No space left on device\n" if code else "")
