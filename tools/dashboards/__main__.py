"""Write the dashboards into the package; with `--check`, name the stale ones and exit with 1."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.dashboards import calls, cost, health, overview, reliability

FOLDER = Path(__file__).resolve().parents[2] / "src" / "monitored_openai" / "dashboards"
ALL = (overview, cost, reliability, calls, health)


def texts() -> dict[str, str]:
    """Return each dashboard's JSON by the name of its file."""
    found = {}
    for module in ALL:
        dashboard = module.dashboard().build()
        for number, panel in enumerate(dashboard.panels or (), start=1):
            panel.id_val = number
        text = json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
        found[f"{dashboard.uid}.json"] = text + "\n"
    return found


def main(arguments: list[str]) -> int:
    """Write or check the files; return the exit code."""
    fresh, there = texts(), {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    if "--check" in arguments:
        stale = sorted(name for name in fresh.keys() | there.keys() if fresh.get(name) != there.get(name))
        sys.stderr.writelines(f"stale: {name}\n" for name in stale)
        return int(bool(stale))
    FOLDER.mkdir(exist_ok=True)
    for name in there.keys() - fresh.keys():
        (FOLDER / name).unlink()
    for name, text in fresh.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
