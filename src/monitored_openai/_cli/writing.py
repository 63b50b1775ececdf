"""Files for the user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from monitored_openai._cli.mistake import Mistake


def write(folder: Path, texts: Mapping[str, str]) -> Iterator[Path]:
    """Write each text under its name, over what is there; the paths.

    Raises:
        Mistake: it cannot be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            path = folder / name
            path.write_text(text, encoding="utf-8")
            yield path
    except OSError as error:
        raise Mistake(f"cannot write to {folder}: {error.strerror}; name another folder") from error
