"""Both back ends fail in the middle of a load: the data from before, during and after the outage arrives exactly.

The outage of the suite is short; that of `make chaos` takes five minutes.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.test_end_to_end import CALLS_METRIC, PrometheusTotals
from tests.support.programs import Ended, Program, running, settings
from tests.support.servers._http import wait_until
from tests.support.servers.loki import FakeLoki
from tests.support.servers.prometheus import Prometheus, require_prometheus
from tests.support.servers.remote_write import RemoteWriteProxy
from tests.support.spools import calls_in

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the spool needs locks that end with their process")

TOKENS = {"input": 5, "output": 2}
"""Of each call of the program."""
LEAST_CALLS = 20
"""That each process makes in each part of its life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was made and what came of it."""

    made: int
    in_prometheus: float
    tokens: dict[str, float]
    by_process: list[float]
    in_loki: int
    missing: int
    """Calls that were made and are not in the log."""
    surplus: list[str]
    """Lines of the log of calls that it has more often than they were made."""
    stored_twice: int
    refused: list[str]
    refused_pushes: list[str]
    """What Prometheus said to them."""
    violations: list[str]
    most_spooled: int
    """Bytes of the spool at the end of the outage."""
    left: list[str]
    """Files of the spool in the end."""
    first_after: float
    """Seconds after its end until something was delivered again."""
    all_after: float
    """The same until everything was."""


class Load:
    """Programs that make calls at a steady rate."""

    def __init__(self, directory: Path, env: dict[str, str], per_second: float) -> None:
        self._directory = directory
        self._env = env
        self._per_second = per_second
        self._files: list[Path] = []

    @contextmanager
    def process(self, *, exit_timeout: float) -> Iterator[tuple[Program, Path]]:
        """`exit_timeout`: seconds. A process that ends before the reply to its last push leaves older totals, which
        Prometheus refuses. So it has to be long where the back ends work, however slow they are.
        """
        file = self._directory / f"made-{len(self._files)}"
        self._files.append(file)
        env = self._env | settings(exit_timeout=exit_timeout)
        with running("spooling", self._per_second, file, env=env) as program:
            yield program, file

    def more(self, file: Path) -> None:
        """Wait until a process has made some more calls."""
        before = _lines(file)
        wait_until(lambda: _lines(file) >= before + LEAST_CALLS, 60)

    @property
    def made(self) -> Counter[str]:
        told = (name for file in self._files for name in calls_in(file))
        return Counter([*told, *("0" for _ in self._files)])  # each makes one before those that it tells of


def _lines(file: Path) -> int:
    return file.read_text().count("\n") if file.exists() else 0


def end(program: Program, file: Path) -> Ended:
    file.with_name(f"{file.name}.end").touch()
    return program.wait(60)


def outage(prometheus: Prometheus, directory: Path, *, seconds: float, per_second: float, interval: float) -> Seen:
    """Five processes: one that lives through the outage, one that ends in it, one that begins and ends in it, one that
    begins in it and lives on, and one that begins after it.
    """
    spool = directory / "spool"
    with FakeLoki(keep_requests=False) as loki, RemoteWriteProxy(prometheus.url, keep_requests=False) as proxy:
        env = settings(
            logs_url=loki.push_url,
            metrics_url=proxy.write_url,
            spool_dir=spool,
            push_interval=interval,
            log_linger=0.2,
            label_names="hundred",
            job="outage",
        ) | {"OPENAI_BASE_URL": "http://api.test/v1"}
        load = Load(directory, env, per_second)
        with load.process(exit_timeout=30) as long, load.process(exit_timeout=1) as early:
            for _, file in (long, early):
                load.more(file)
            began = time.monotonic()
            for back_end in (proxy, loki):
                back_end.refuse()
            load.more(early[1])
            assert end(*early).code == 0
            with load.process(exit_timeout=1) as brief:
                load.more(brief[1])
                assert end(*brief).code == 0
            with load.process(exit_timeout=30) as late:
                load.more(late[1])
                wait_until(lambda: time.monotonic() >= began + seconds, seconds + 60)
                spooled = sum(path.stat().st_size for path in spool.iterdir())
                arrived = len(loki.entries)
                for back_end in (proxy, loki):
                    back_end.listen()
                over = time.monotonic()
                wait_until(lambda: len(loki.entries) > arrived, 90)
                first_after = time.monotonic() - over
                with load.process(exit_timeout=30) as after:  # takes over what the dead have left
                    for _, file in (after, late, long):
                        load.more(file)
                    for program, file in (late, long):
                        assert end(program, file).code == 0
                    wait_until(lambda: len(list(spool.glob("*.db"))) == 1, 120)
                    assert end(*after).code == 0
                all_after = time.monotonic() - over
        totals = PrometheusTotals(prometheus, "outage", time.monotonic() - began + 600)
        lines = [(json.loads(one.line)["request"]["messages"][0]["content"], one.line) for one in loki.entries]
        made, logged = load.made, Counter(name for name, _ in lines)
        return Seen(
            made=made.total(),
            in_prometheus=totals.of(CALLS_METRIC),
            tokens=totals.by("gen_ai_token_type", "gen_ai_client_tokens_total"),
            by_process=sorted(totals.by("instance", CALLS_METRIC).values()),
            in_loki=len(lines),
            missing=(made - logged).total(),
            surplus=[line for name, line in lines if name in logged - made],
            stored_twice=len(lines) - len({(one.ts, one.line) for one in loki.entries}),
            refused=loki.rejected,
            refused_pushes=proxy.refusals,
            violations=proxy.violations,
            most_spooled=spooled,
            left=[path.name for path in spool.iterdir()],
            first_after=first_after,
            all_after=all_after,
        )


@pytest.mark.timeout(300)
def test_an_outage_in_the_middle_of_a_load_changes_no_total_and_costs_no_entry(tmp_path: Path) -> None:
    data = tmp_path / "prometheus"
    data.mkdir()
    with Prometheus(require_prometheus(), data) as prometheus:
        seen = outage(prometheus, tmp_path, seconds=6, per_second=40, interval=1)

    assert (seen.surplus, seen.missing, seen.stored_twice, seen.refused) == ([], 0, 0, []), seen
    assert seen.in_loki == seen.made
    assert seen.in_prometheus == seen.made
    assert seen.tokens == {kind: number * seen.made for kind, number in TOKENS.items()}
    assert len(seen.by_process) == 5
    assert (seen.violations, seen.refused_pushes, seen.left) == ([], [], [])
    assert seen.most_spooled > 0
