"""Reduces entries that Loki refuses for their form: to a shorter line, no structured metadata, or fewer labels.

Loki stores the valid entries of a request and replies 400 for the rest, without a list of them. So a refused batch is
split until each refused entry is alone. The bytes of each entry stay the same, because Loki recognises entries that it
has stored already. A single entry that is refused for its form is sent once more with that part cut or removed.

A refused size is remembered: Loki has surely not stored an entry that is at least as large, so such an entry is sent
in the smaller form immediately. The text of the reply only decides which part to cut.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import StrEnum

from monitored_openai._exporter.encoders.loki import encode_entry
from monitored_openai._exporter.values import Entry
from monitored_openai._json import decode
from monitored_openai._log_entry import shorter_line

_LINE_LIMIT = re.compile(r"Max entry size '(\d{1,12})'")
_LINE_BYTES = 16 * 1024
"""Bytes that a too long line keeps, if the reply does not name the limit."""
_LABELS = frozenset({"job", "environment", "service_name", "replay", "shard"})
"""Labels that a stream keeps, if the back end refuses more or longer ones."""
_LABEL_CHARACTERS = 128


class Form(StrEnum):
    """The part of an entry that a reply refuses."""

    LINE = "line"
    METADATA = "structured metadata"
    LABELS = "labels"


_WORDS = (
    ("max entry size", Form.LINE),
    ("structured metadata", Form.METADATA),
    ("label name", Form.LABELS),
    ("label value", Form.LABELS),
)


def refused_form(text: str) -> Form | None:
    """Return the first part of an entry that a refusal names; `None` if it names none."""
    lower = text.lower()
    found = [(lower.find(words), form) for words, form in _WORDS if words in lower]
    return min(found)[1] if found else None


def few_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the stream labels for a back end that refuses more or longer ones."""
    return {name: value[:_LABEL_CHARACTERS] for name, value in labels.items() if name in _LABELS}


class Forms:
    """Remembers the sizes that the back end has refused, and shrinks entries to fit."""

    def __init__(self) -> None:
        self._refused_line = math.inf
        self._line_limit = _LINE_BYTES
        self._refused_metadata = (math.inf, math.inf)
        """Number and bytes: metadata with at least as many of both is refused."""

    @property
    def any_refused(self) -> bool:
        """True if some entries are sent in a smaller form."""
        return not (math.isinf(self._refused_line) and math.isinf(self._refused_metadata[0]))

    def forget(self) -> None:
        """Send all entries in full again."""
        self._refused_line, self._refused_metadata = math.inf, (math.inf, math.inf)

    def fitting(self, entry: Entry) -> Entry:
        """Return the entry, in a smaller form if it is at least as large as a refused one."""
        if not self.any_refused:
            return entry
        _, line, metadata = _parts(entry)
        if len(line.encode()) >= self._refused_line:
            entry = self._smaller(entry, Form.LINE) or entry
        number, size = _measure(metadata)
        if number >= self._refused_metadata[0] and size >= self._refused_metadata[1]:
            entry = self._smaller(entry, Form.METADATA) or entry
        return entry

    def refuse(self, entry: Entry, text: str) -> Entry | None:
        """Return the smaller form for the retry of an entry that was refused alone; `None` if it has none."""
        form = refused_form(text)
        _, line, metadata = _parts(entry)
        if form is Form.LINE:
            size = len(line.encode())
            self._refused_line = min(self._refused_line, size)
            named = _LINE_LIMIT.search(text)
            self._line_limit = int(named[1]) if named and int(named[1]) < size else min(_LINE_BYTES, size // 2)
        elif form is Form.METADATA and metadata:
            self._refused_metadata = min(self._refused_metadata, _measure(metadata))
        return None if form is None else self._smaller(entry, form)

    def _smaller(self, entry: Entry, form: Form) -> Entry | None:
        at_ns, line, metadata = _parts(entry)
        if form is Form.METADATA:
            return entry.as_sent(encode_entry(at_ns, line, {}), cut=not _is_cut(line)) if metadata else None
        if form is Form.LINE:
            shorter = shorter_line(line, self._line_limit)
            return entry.as_sent(encode_entry(at_ns, shorter, metadata), cut=not _is_cut(line)) if shorter else None
        return None


def _parts(entry: Entry) -> tuple[int, str, Mapping[str, str]]:
    at, line, metadata = decode(entry.sent)
    return int(at), line, metadata


def _measure(metadata: Mapping[str, str]) -> tuple[int, int]:
    return len(metadata), sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())


def _is_cut(line: str) -> bool:
    return bool(decode(line.encode()).get("cut"))


def is_cut_line(entry: Entry) -> bool:
    """True if the line of an entry is marked as cut, so that the entry is counted already."""
    return _is_cut(_parts(entry)[1])
