"""Environment variables and `.env` files as sources of settings, with warnings about names that no setting has."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

ENV_PREFIX = "MONITORED_OPENAI_"
"""Prefix of the environment variable of each setting; the field's name in capitals follows."""
UNKNOWN_VARIABLES = "unknown variables"
"""Key under which a source adds its warnings about unknown variables to the values of the fields."""


class Variables(PydanticBaseSettingsSource):
    """Read settings from one set of variables; ignore blank variables and warn about unknown ones."""

    def __init__(self, settings_cls: type[BaseSettings], variables: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._variables = variables

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._variables.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        names = self._variables.env_vars if isinstance(self._variables, EnvSettingsSource) else {}
        found = {name: value for name, value in self._variables().items() if name in fields and str(value).strip()}
        unknown = unknown_variables(names, fields)
        return {**found, UNKNOWN_VARIABLES: unknown} if unknown else found


def unknown_variables(names: Iterable[str], fields: Collection[str]) -> dict[str, str]:
    """Return a warning for each variable that has the prefix and belongs to none of the fields, by name."""
    prefix = ENV_PREFIX.lower()
    prefixed = [name.lower().removeprefix(prefix) for name in names if name.lower().startswith(prefix)]
    return {
        printable(ENV_PREFIX + name.upper()): not_a_setting(name, fields, prefix=ENV_PREFIX)
        for name in prefixed
        if name not in fields
    }


def printable(name: str) -> str:
    """Return ``name`` as one line of at most 80 ASCII characters."""
    return ascii(name)[1:-1][:80]


def not_a_setting(name: str, fields: Collection[str], prefix: str = "") -> str:
    """Return the message about a name that no field has, with the nearest name."""
    nearest = get_close_matches(name.lower(), fields, n=1)
    if not nearest:
        return "is not a setting; remove it"
    return f"is not a setting; did you mean {prefix + nearest[0].upper() if prefix else nearest[0]}?"
