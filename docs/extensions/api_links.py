"""Sphinx extension for the API page: read Google docstrings, and link types without the inventories of other projects."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util.typing import ExtensionMetadata

from monitored_openai import MonitoringSettings

PACKAGE = "monitored_openai"
PYTHON = "https://docs.python.org/3/library/"
SDK = "https://github.com/openai/openai-python"
LINKS = {
    **{name: f"{PYTHON}functions.html#{name}" for name in ("bool", "float", "int")},
    **{name: f"{PYTHON}stdtypes.html#{name}" for name in ("dict", "str", "tuple")},
    **{name: f"{PYTHON}exceptions.html#{name}" for name in ("ImportError", "TypeError", "ValueError")},
    **{name: f"{PYTHON}collections.abc.html#collections.abc.{name}" for name in ("Callable", "Mapping", "Sequence")},
    **{f"typing.{name}": f"{PYTHON}typing.html#typing.{name}" for name in ("Any", "Literal", "Self")},
    "None": f"{PYTHON}constants.html#None",
    "Batch": f"{SDK}/blob/main/src/openai/types/batch.py",
    "Executor": f"{PYTHON}concurrent.futures.html#concurrent.futures.Executor",
    "MonitoringCollector": "https://prometheus.github.io/client_python/collector/custom/",
    "pathlib.Path": f"{PYTHON}pathlib.html#pathlib.Path",
    "pydantic.types.SecretStr": "https://docs.pydantic.dev/latest/api/types/#pydantic.types.SecretStr",
}
"""The pages of types that other projects document; a type that is missing here is a warning of the build."""

DESCRIBED = {"Block": "attributes", "SettingsArguments": "MonitoringSettings"}
"""Private types in public signatures, and the public name whose text describes each."""
GOOGLE = Config(napoleon_custom_sections=[("Args beyond the official ones", "params_style")])


def parsed(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn a Google docstring into reStructuredText, in place.

    This replaces the extension `sphinx.ext.napoleon`, which takes the text before a colon in the docstring of an attribute
    for a type.
    """
    if what == "data":  # the docstring of a value is that of its type
        lines.clear()
        return
    kind = "object" if what in {"attribute", "property"} else what
    lines[:] = GoogleDocstring(list(lines), GOOGLE, app, kind, name, obj, options).lines()


def linked(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement) -> nodes.reference | None:
    """Return a link for a type that has no entry on these pages under the name that its module gives it."""
    target = node.get("reftarget", "")
    if target.startswith(f"{PACKAGE}._"):  # defined in a private module, public under a shorter name
        last = target.rpartition(".")[2]
        name = f"{PACKAGE}.{DESCRIBED.get(last, last)}"
        return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, text)
    address = LINKS.get(target) or LINKS.get(target.rpartition(".")[2])
    if address is None and target.startswith("openai."):
        address = SDK
    return None if address is None else nodes.reference("", "", text, internal=False, refuri=address)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the resolver and show the types of settings without the validators in them."""
    MonitoringSettings.__annotations__ |= {
        name: field.annotation for name, field in MonitoringSettings.model_fields.items()
    }
    app.connect("autodoc-process-docstring", parsed)
    app.connect("missing-reference", linked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
