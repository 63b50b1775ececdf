"""Removes personal data of the kinds in the setting `redact_presets` from a text, in time linear in its length."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator

from monitored_openai._redaction.cards import card_spans
from monitored_openai._redaction.emails import email_spans
from monitored_openai._redaction.ibans import iban_spans
from monitored_openai._redaction.phones import phone_spans
from monitored_openai._redaction.presets import RedactionPreset
from monitored_openai._redaction.secrets import Span, holds
from monitored_openai._redaction.unescape import SIGNS, Unescaped
from monitored_openai._redaction.widths import narrow

_FINDERS: dict[RedactionPreset, Callable[[str], Iterator[Span]]] = {
    "iban": iban_spans,
    "card": card_spans,
    "email": email_spans,
    "phone": phone_spans,
}
"""The most certain kinds first: if two kinds overlap, the marker names the first one."""

_ESCAPED_BREAK = re.compile(r"\\[bfnrt]")
"""An escape of JSON. Its letter does not belong to the word that follows."""


def without_personal_data(text: str, presets: Collection[RedactionPreset]) -> str:
    """Replace each finding with a marker such as `[redacted email]`."""
    unescaped = Unescaped(text) if holds(SIGNS, text) else None
    plain = text if unescaped is None else unescaped.text
    if "\\" in plain:
        plain = _ESCAPED_BREAK.sub("\n\n", plain)
    plain = narrow(plain)
    found = _disjoint((span, name) for name in _FINDERS if name in presets for span in _FINDERS[name](plain))
    pieces: list[str] = []
    end = 0
    for (start, next_end), name in found:
        if unescaped is not None:
            start, next_end = unescaped.start(start), unescaped.end(next_end)  # noqa: PLW2901 - the same span in the original
        pieces += (text[end:start], f"[redacted {name}]")
        end = next_end
    return "".join((*pieces, text[end:])) if pieces else text


def _disjoint(found: Iterable[tuple[Span, str]]) -> list[tuple[Span, str]]:
    """Return the findings in the order of the text; join those that overlap, under the most certain kind's name."""
    joined: list[tuple[Span, str]] = []
    by_place = sorted(enumerate(found), key=lambda item: item[1][0])
    priority = 0
    for place, ((start, end), name) in by_place:
        if joined and start < joined[-1][0][1]:
            (first, last), kept = joined[-1]
            if place < priority:
                kept, priority = name, place
            joined[-1] = (first, max(last, end)), kept
        else:
            joined.append(((start, end), name))
            priority = place
    return joined
