"""Names of the kinds of personal data that the setting `redact_presets` removes."""

from __future__ import annotations

from typing import Literal, get_args

RedactionPreset = Literal["card", "email", "iban", "phone"]
"""A kind of personal data that the library recognises."""
PRESETS: tuple[RedactionPreset, ...] = get_args(RedactionPreset)
