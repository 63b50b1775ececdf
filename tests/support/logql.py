"""Loki's query language by the grammar that Grafana publishes on npm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGES = ("@grafana/lezer-logql@0.3.0", "@lezer/lr@1.4.12", "@lezer/common@1.5.5")
FOLDER = Path(__file__).parents[2] / ".cache" / "lezer-logql"
PARSE = """
import { readFileSync } from "node:fs";
import { parser } from "@grafana/lezer-logql";
const faults = {};
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  parser.parse(text).iterate({
    enter: (node) => { if (node.type.isError && !(text in faults)) faults[text] = node.from; },
  });
}
console.log(JSON.stringify(faults));
"""


def faults_of(expressions: list[str]) -> dict[str, int]:
    """The expressions that are none, each with where it goes wrong; skips where there is neither node nor network."""
    node = shutil.which("node")
    if node is None or not _installed():
        reason = "no LogQL grammar: it takes node, npm and a registry"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    parsed = subprocess.run(
        [node, "parse.mjs"],
        cwd=FOLDER,
        input=json.dumps(expressions),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, int] = json.loads(parsed.stdout)
    return found


def _installed() -> bool:
    """Fetch the grammar once; whether it is there."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "parse.mjs").write_text(PARSE)
    npm = shutil.which("npm")
    if not (FOLDER / "node_modules" / "@grafana").exists() and npm is not None:
        (FOLDER / "package.json").write_text("{}\n")
        command = [npm, "install", "--no-audit", "--no-fund", "--no-save", *PACKAGES]
        try:
            subprocess.run(command, cwd=FOLDER, capture_output=True, timeout=90, check=False)
        except subprocess.TimeoutExpired:
            return False
    return (FOLDER / "node_modules" / "@grafana").exists()
