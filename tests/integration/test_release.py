"""The files of a release: their metadata and contents, the checks before it, and the files that guide contributors."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.check_release import obstacles

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "monitored_openai"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
REPOSITORY: str = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The files of a release, as their names and contents."""

    folder: Path
    wheel: dict[str, bytes]
    sdist: dict[str, bytes]

    @property
    def metadata(self) -> Message:
        (name,) = (name for name in self.wheel if name.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(self.wheel[name])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    command = (
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        folder,
        ROOT,
    )  # the wheel is made of the sdist
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as packed:
        wheel_files = {name: packed.read(name) for name in packed.namelist()}
    with tarfile.open(sdist) as archive:
        members = [(member.name.partition("/")[2], archive.extractfile(member)) for member in archive.getmembers()]
        sdist_files = {name: file.read() for name, file in members if file is not None}
    return Built(folder=folder, wheel=wheel_files, sdist=sdist_files)


def test_both_files_pass_the_strict_check_of_twine(built: Built) -> None:
    command = (sys.executable, "-m", "twine", "--no-color", "check", "--strict", *map(str, built.folder.iterdir()))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


def test_the_wheel_holds_the_package_and_its_metadata_and_nothing_else(built: Built) -> None:
    package = {f"monitored_openai/{path.relative_to(SOURCE)}" for path in files_below(SOURCE)}
    information = "monitored_openai-{}.dist-info/".format(built.metadata["Version"])
    names = ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE.txt"]
    names.append("licenses/src/monitored_openai/_local/page/uplot-license.txt")
    command = {"_monitored_openai_command.py"}
    assert built.wheel.keys() == package | command | {information + name for name in names}
    assert {Path(name).suffix for name in package} == {".css", ".html", ".js", ".json", ".py", ".svg", ".txt", ".typed"}


def test_the_sdist_holds_all_that_the_tests_need_and_nothing_of_this_machine(built: Built) -> None:
    folders = {
        ".ci",
        ".github",
        "benchmarks",
        "chaos",
        "deploy",
        "docs",
        "examples",
        "scripts",
        "src",
        "tests",
        "tools",
    }
    files = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE.txt", "Makefile", "PKG-INFO", "README.md", "SECURITY.md"}
    files |= {".gitignore", "hatch_build.py", "noxfile.py", "pyproject.toml"}
    files |= {".dockerignore", ".editorconfig", ".pre-commit-config.yaml", ".readthedocs.yaml"}
    assert {name.partition("/")[0] for name in built.sdist} == folders | files
    assert {name for name in built.sdist if name.startswith("src/")} == {
        str(path.relative_to(ROOT)) for path in files_below(ROOT / "src")
    }
    assert [name for name in built.sdist if "__pycache__" in name or Path(name).name.startswith(".env")] == []


def files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def test_the_metadata_leads_to_the_project_and_names_each_licence(built: Built) -> None:
    urls = dict(url.split(", ") for url in built.metadata.get_all("Project-URL", []))
    assert urls.keys() == {"Repository", "Documentation", "Changelog", "Issues"}
    assert urls["Repository"] == REPOSITORY
    assert all(url.startswith(REPOSITORY) for url in urls.values())
    assert built.metadata["License-Expression"] == "GPL-3.0-only AND MIT"
    assert built.metadata["Author"]


def test_the_links_and_pictures_of_the_readme_are_absolute_on_pypi(built: Built) -> None:
    written = LINK.findall((ROOT / "README.md").read_text())
    shown = LINK.findall(str(built.metadata.get_payload()))
    tag = f"v{built.metadata['Version']}"
    assert len(written) == len(shown) > 20
    for before, after in zip(written, shown, strict=True):
        if "://" in before:
            assert after == before
            continue
        kind = "raw" if before.endswith((".png", ".webp")) else "blob"
        assert after == f"{REPOSITORY}/{kind}/{tag}/{before}"
        assert (ROOT / before.partition("#")[0]).is_file(), before


def test_links_that_are_absolute_or_lead_within_the_page_stay() -> None:
    from hatch_build import with_absolute_links

    text = "[a](https://x.example/y) [b](#use) [c](mailto:a@x.example) ![d](docs/d.png) [e](docs/e.md#f)"
    assert with_absolute_links(text, "https://r.example/p", "v1") == (
        "[a](https://x.example/y) [b](#use) [c](mailto:a@x.example) "
        "![d](https://r.example/p/raw/v1/docs/d.png) [e](https://r.example/p/blob/v1/docs/e.md#f)"
    )


def test_the_address_of_the_repository_appears_in_one_place() -> None:
    built = {".git", "PKG-INFO"}  # the file of a worktree, and the metadata of an sdist, which name every address
    hidden = [path for path in ROOT.glob(".*") if path.is_file() and path.name not in built]
    folders = ("src", "tests", "docs", "deploy", "examples", "scripts", "tools", "benchmarks", "chaos", ".github")
    files = [
        *hidden,
        *(path for path in ROOT.iterdir() if path.is_file() and path not in hidden and path.name not in built),
    ]
    files += [path for folder in folders for path in files_below(ROOT / folder)]
    generated = {ROOT / "deploy" / "rules" / "monitored-openai.rules.yml", *ROOT.glob("deploy/grafana/alerting/*.yml")}
    assert [path.name for path in files if REPOSITORY.encode() in path.read_bytes() and path not in generated] == [
        "pyproject.toml"
    ]  # tests/integration/test_deploy.py compares the generated files with the output of the command


def test_every_package_that_is_imported_is_declared() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    texts = [*PROJECT["project"]["dependencies"], *(text for extra in extras for text in extra)]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    known = packages_distributions()
    own = sys.stdlib_module_names | {"monitored_openai"}
    imported = {name for path in files_below(SOURCE) if path.suffix == ".py" for name in imports_of(path)} - own
    assert {name: known.get(name) for name in imported if not distributions_of(name, known) & declared} == {}


def distributions_of(name: str, known: Any) -> set[str]:
    return {canonicalize_name(distribution) for distribution in known.get(name, ())}


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize(
    ("tag", "section", "repository", "obstacle"),
    [
        ("v1.2.3", "## [1.2.3] - 2026-11-27", "https://git.example/p", None),
        ("v1.2.4", "## [1.2.3] - 2026-11-27", "https://git.example/p", "set the tag v1.2.3"),
        ("v1.2.3", "## [Unreleased]", "https://git.example/p", "CHANGELOG.md has no dated section"),
        ("v1.2.3", "## [1.2.3]", "https://git.example/p", "CHANGELOG.md has no dated section"),
        ("v1.2.3", "## [1.2.3] - 2026-11-27", "https://git.example/fork", "pyproject.toml has the address"),
    ],
)
def test_a_release_needs_one_version_a_dated_section_and_the_real_address(
    tmp_path: Path, tag: str, section: str, repository: str, obstacle: str | None
) -> None:
    package = tmp_path / "src" / "monitored_openai"
    package.mkdir(parents=True)
    (package / "_version.py").write_text('"""."""\n\n__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{section}\n\n- A line.\n")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.hatch.metadata.hooks.custom]\nrepository = "https://git.example/p"\n'
    )

    found = list(obstacles(tmp_path, tag, repository))
    assert len(found) == (obstacle is not None)
    assert all(obstacle in line for line in found if obstacle)


def test_the_job_that_publishes_runs_no_code_of_the_repository_and_comes_last_but_one() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    assert [name for name, job in jobs.items() if "id-token" in job["permissions"]] == ["publish"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert [step["uses"].partition("@")[0] for step in jobs["publish"]["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert {name: job.get("needs") for name, job in jobs.items()} == {
        "test": None,
        "build": "test",
        "publish": "build",
        "announce": "publish",
    }


def test_the_list_of_components_comes_with_a_release() -> None:
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]["build"]["steps"]
    assert "make dist sbom" in [step.get("run") for step in steps]
    (path,) = (step["with"]["path"] for step in steps if step.get("with", {}).get("name") == "sbom")
    assert path in (ROOT / "Makefile").read_text()


def test_a_commit_hook_runs_what_make_lint_runs() -> None:
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert lint is not None
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]:
        command = hook["entry"].removeprefix(".venv/bin/").removesuffix(" --force-exclude")
        assert f"$(BIN)/{command}" in lint[1], hook["entry"]


def test_the_guide_for_contributors_names_only_what_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text() + (ROOT / "SECURITY.md").read_text()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z-]+)\b(?=[`\n])", text)) <= set(targets)
    paths = re.findall(r"`((?:src|tests|docs|scripts|deploy|examples|benchmarks|chaos|tools|\.github)/[\w/.-]*)`", text)
    paths += [link for link in LINK.findall(text) if "://" not in link]
    assert len(paths) > 12
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.name
)
def test_an_issue_form_has_what_github_demands(form: Path) -> None:
    described = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= described.keys()
    asked = [field for field in described["body"] if field["type"] != "markdown"]
    assert asked
    assert all(field["attributes"]["label"] and field["id"] for field in asked)


def test_the_hosted_docs_are_built_with_warnings_as_errors() -> None:
    described = yaml.safe_load((ROOT / ".readthedocs.yaml").read_text())
    assert described["sphinx"] == {"configuration": "docs/conf.py", "fail_on_warning": True}
    (install,) = (line for line in described["build"]["jobs"]["install"] if "--group docs" in line)
    assert "docs" in PROJECT["dependency-groups"], install
