"""What is said of the files in a request, which are sent as they are and never kept."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any


def described(files: Any) -> dict[str, Any]:
    """Each file's name, type and size, as far as they are known without looking, by field; a list for several."""
    pairs: Iterable[tuple[str, Any]] = files.items() if isinstance(files, Mapping) else files
    form: dict[str, Any] = {}
    for field, file in pairs:
        form.setdefault(field.removesuffix("[]"), []).append(_described(file))
    return {field: texts[0] if len(texts) == 1 else texts for field, texts in form.items()}


def _described(file: Any) -> str:
    name, content, kind = (*file, None, None)[:3] if isinstance(file, tuple) else (None, file, None)
    name = name or (content if isinstance(content, os.PathLike) else getattr(content, "name", None))
    size = f"{len(content)} bytes" if isinstance(content, (bytes, bytearray)) else None
    named = PurePath(name).name if isinstance(name, (str, os.PathLike)) else None
    return f"[{', '.join(str(part) for part in ('file', named, kind, size) if part)}]"
