from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "scripts"
NEEDED = "sh dirname mktemp mkdir cat rm mv cp chmod touch sed find sort tr".split()

pytestmark = pytest.mark.once

APT = """#!/bin/sh
echo "$*" >> "$LOG"
case "$*" in
    *update) touch "$LISTS";;
    *download*) [ -e "$LISTS" ] || { echo 'E: Unable to locate package prometheus' >&2; exit 100; }
        touch prometheus_2.42_amd64.deb;;
esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3/usr/bin"
for name in prometheus promtool; do printf '#!/bin/sh\\n' > "$3/usr/bin/$name"; chmod +x "$3/usr/bin/$name"; done
"""


class Checkout:
    """A project with nothing but the scripts, and a PATH with nothing but what it may count on."""

    def __init__(self, root: Path, script: str) -> None:
        self.programs = root / "bin"
        self.log, self.lists, self.cache = root / "log", root / "lists", root / "project" / ".cache"
        self.script = root / "project" / "scripts" / script
        self.programs.mkdir()
        self.script.parent.mkdir(parents=True)
        for name in (self.script.name, "install-from-debian"):
            shutil.copy(SCRIPTS / name, self.script.with_name(name))
        for name in NEEDED:
            (self.programs / name).symlink_to(shutil.which(name) or "")

    def add(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def run(self) -> subprocess.CompletedProcess[str]:
        variables = {"PATH": str(self.programs), "LOG": str(self.log), "LISTS": str(self.lists)}
        return subprocess.run([self.script], env=variables, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path, "install-prometheus")


def test_without_apt_it_says_what_to_do_and_exits_3(checkout: Checkout) -> None:
    ended = checkout.run()

    assert ended.returncode == 3
    assert "MONITORED_OPENAI_PROMETHEUS" in ended.stderr
    assert not checkout.cache.exists()


def test_with_empty_lists_it_updates_its_own_and_installs(checkout: Checkout) -> None:
    checkout.add("apt-get", APT)
    checkout.add("dpkg", DPKG)

    ended = checkout.run()

    assert (ended.returncode, ended.stderr) == (0, "")
    assert [path.name for path in checkout.cache.iterdir()] == ["prometheus"]
    assert (checkout.cache / "prometheus" / "usr" / "bin" / "promtool").exists()
    (update,) = [line for line in checkout.log.read_text().splitlines() if line.endswith(" update")]
    assert f"Dir::State::lists={checkout.cache}" in update


def test_a_second_run_fetches_nothing(checkout: Checkout) -> None:
    checkout.add("apt-get", APT)
    checkout.add("dpkg", DPKG)
    checkout.lists.touch()
    assert checkout.run().returncode == 0
    fetched = checkout.log.read_text()

    assert checkout.run().returncode == 0
    assert checkout.log.read_text() == fetched
    assert "update" not in fetched


def test_without_a_network_it_says_so_and_leaves_nothing(checkout: Checkout) -> None:
    checkout.add("apt-get", "#!/bin/sh\necho 'E: Could not resolve host' >&2; exit 100\n")
    checkout.add("dpkg", DPKG)

    ended = checkout.run()

    assert ended.returncode == 1
    assert "Could not resolve host" in ended.stderr
    assert list(checkout.cache.iterdir()) == []
