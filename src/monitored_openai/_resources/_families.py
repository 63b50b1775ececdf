"""Which family of endpoints a request belongs to."""

from __future__ import annotations

from monitored_openai._answer import Family
from monitored_openai._resources.chat import CHAT
from monitored_openai._resources.completions import COMPLETIONS

_FAMILIES = {family.path: family for family in (CHAT, COMPLETIONS)}


def family_of(path: object) -> Family | None:
    """The family of the endpoint that is posted to, or `None` for one that is not observed."""
    return _FAMILIES.get("/" + path.partition("?")[0].strip("/")) if isinstance(path, str) else None
