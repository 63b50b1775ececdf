"""Turns the faults that validation finds into lines of text: the field, the fault and the fix, never the value."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pydantic import ValidationError

from monitored_openai._labels import InvalidValue
from monitored_openai._settings.variables import ENV_PREFIX, not_a_setting, printable

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class Conflicts(ValueError):
    """Raised for fields that conflict, with (field, message) pairs."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__()
        self.faults = faults


def fault_lines(
    error: ValidationError | Conflicts, *, fields: Collection[str], given: Collection[str] = ()
) -> list[str]:
    """Return a line for each wrong field; the line names the environment variable of a field not ``given`` in code."""
    faults = error.faults if isinstance(error, Conflicts) else _faults(error, fields)
    named = (
        (field if field in given or field not in fields else f"{field} ({_variable(field)})", text)
        for field, text in faults
    )
    return [f"{field}: {text}" for field, text in dict.fromkeys(named)]


def _faults(error: ValidationError, fields: Collection[str]) -> list[tuple[str, str]]:
    found = error.errors(include_url=False, include_input=False)
    return [fault for details in found for fault in _details_faults(details, fields)]


def _details_faults(details: ErrorDetails, fields: Collection[str]) -> list[tuple[str, str]]:
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, Conflicts):
        return cause.faults
    field = str(details["loc"][0]) if details["loc"] else "settings"
    if details["type"] == "extra_forbidden":
        return [(printable(field), not_a_setting(field, fields))]
    if isinstance(cause, InvalidValue):
        return [(field, str(cause))]
    if isinstance(cause, ValueError):  # not our own exception: its message may contain the value
        return [(field, "is not valid; correct it")]
    return [(field, f"{details['msg'].replace('Input should be', 'must be')}; correct it")]


def _variable(field: str) -> str:
    variable = ENV_PREFIX + field.upper()
    return f"{variable} or OTEL_SERVICE_NAME" if field == "service_name" else variable
