from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.servers.test_install_prometheus import Checkout

pytestmark = pytest.mark.once

APT = """#!/bin/sh
echo "$*" >> "$LOG"
case "$*" in
    *update) touch "$LISTS";;
    *" -s "*) [ -e "$LISTS" ] || { echo 'E: Unable to locate package chromium-headless-shell' >&2; exit 100; }
        printf 'Inst libnss3 (2:3 Debian)\\nInst chromium-headless-shell (150 Debian)\\nConf libnss3 (2:3 Debian)\\n';;
    *download*) for name in libnss3 chromium-headless-shell; do touch "${name}_1_amd64.deb"; done;;
esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3/usr/lib/chromium"
printf '#!/bin/sh\\necho "$LD_LIBRARY_PATH"\\n' > "$3/usr/lib/chromium/chromium-headless-shell"
chmod +x "$3/usr/lib/chromium/chromium-headless-shell"
touch "$3/usr/lib/libnss3.so"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path, "install-chromium")


def test_without_apt_it_says_what_to_do_and_exits_3(checkout: Checkout) -> None:
    ended = checkout.run()

    assert ended.returncode == 3
    assert "MONITORED_OPENAI_CHROMIUM" in ended.stderr
    assert not checkout.cache.exists()


def test_with_empty_lists_it_updates_its_own_and_installs_what_the_system_lacks(checkout: Checkout) -> None:
    checkout.add("apt-get", APT)
    checkout.add("dpkg", DPKG)

    ended = checkout.run()

    assert (ended.returncode, ended.stderr) == (0, "")
    assert [path.name for path in checkout.cache.iterdir()] == ["chromium"]
    assert (
        str(checkout.cache / "chromium" / "usr" / "share" / "fonts")
        in (checkout.cache / "chromium" / "fonts.conf").read_text()
    )
    log = checkout.log.read_text().splitlines()
    (update,) = [line for line in log if line.endswith(" update")]
    assert f"Dir::State::lists={checkout.cache}" in update
    assert log[-1].endswith("download libnss3 chromium-headless-shell")


def test_a_second_run_fetches_nothing(checkout: Checkout) -> None:
    checkout.add("apt-get", APT)
    checkout.add("dpkg", DPKG)
    checkout.lists.touch()
    assert checkout.run().returncode == 0
    fetched = checkout.log.read_text()

    assert checkout.run().returncode == 0
    assert checkout.log.read_text() == fetched


def test_without_a_network_it_says_so_and_leaves_nothing(checkout: Checkout) -> None:
    checkout.add("apt-get", "#!/bin/sh\necho 'E: Could not resolve host' >&2; exit 100\n")
    checkout.add("dpkg", DPKG)

    ended = checkout.run()

    assert ended.returncode == 1
    assert "Could not resolve host" in ended.stderr
    assert list(checkout.cache.iterdir()) == []
