"""The forms of entries that Loki accepts: what it refuses for a form goes once more in a smaller one.

Loki stores the good entries of a request and answers 400 for the rest, without a list of them. So a refused batch is
split down to single entries, byte for byte the same, because Loki recognises what it has stored already. A single
entry that is refused for its form goes once more without that part of it.

A refused size is remembered: an entry that is at least as large has surely not been stored, and goes in the smaller
form at once. The words of the reply only decide which part to leave out.
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
"""Of a line that was too long, if the reply does not name the limit."""
_LABELS = frozenset({"job", "environment", "service_name", "replay", "shard"})
"""Those that a stream keeps, if the back end takes no more or no longer ones."""
_LABEL_CHARACTERS = 128


class Form(StrEnum):
    """The part of an entry that a reply complains about."""

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
    """The first part of an entry that a refusal names; `None` if it names none."""
    lower = text.lower()
    found = [(lower.find(words), form) for words, form in _WORDS if words in lower]
    return min(found)[1] if found else None


def few_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels of a stream for a back end that takes no more or no longer ones."""
    return {name: value[:_LABEL_CHARACTERS] for name, value in labels.items() if name in _LABELS}


class Forms:
    """What the back end has refused so far, and the entries that fit."""

    def __init__(self) -> None:
        self._refused_line = math.inf
        self._line_limit = _LINE_BYTES
        self._refused_metadata = (math.inf, math.inf)
        """Number and bytes: what has at least as many of both is refused."""

    @property
    def any_refused(self) -> bool:
        """True if some entries go in a smaller form."""
        return not (math.isinf(self._refused_line) and math.isinf(self._refused_metadata[0]))

    def forget(self) -> None:
        """Send all entries in full again."""
        self._refused_line, self._refused_metadata = math.inf, (math.inf, math.inf)

    def fitting(self, entry: Entry) -> Entry:
        """The entry, in a smaller form if the back end has refused one that is no larger."""
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
        """The form in which an entry that was refused alone goes once more; `None` if it has no smaller one."""
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
