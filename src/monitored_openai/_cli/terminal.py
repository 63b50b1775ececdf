"""Formats text output for the width, the colours and the encoding of a terminal, file or pipe."""

from __future__ import annotations

import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

_DEFAULT_WIDTH, _MIN_WIDTH, _MAX_WIDTH = 80, 60, 120
_BAR_WIDTH = 30
_BAR, _PLAIN_BAR = ("█", "░"), ("#", ".")
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
_CLEAR_LINE = "\r\x1b[2K"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """An output stream and its abilities."""

    out: TextIO
    width: int = _DEFAULT_WIDTH
    colour: bool = False
    redraws: bool = False
    """True if a line can be drawn again in place."""

    @classmethod
    def of(cls, out: TextIO, environment: Mapping[str, str]) -> Terminal:
        """Detect the abilities from `out`, NO_COLOR and TERM, the width from COLUMNS or else from standard output."""
        interactive = out.isatty() and environment.get("TERM") != "dumb"
        columns = shutil.get_terminal_size((_DEFAULT_WIDTH, 24)).columns
        return cls(
            out=out,
            width=min(max(columns, _MIN_WIDTH), _MAX_WIDTH),
            colour=interactive and not environment.get("NO_COLOR"),
            redraws=interactive,
        )

    def line(self, text: str = "") -> None:
        """Write the text and a line break."""
        self.write(f"{text}\n")

    def note(self, text: str) -> None:
        """Write sentences, dimmed and wrapped; no line breaks at a no-break space."""
        for line in textwrap.wrap(text, self.width - 1, initial_indent="  ", subsequent_indent="    "):
            self.line(self.dim(line.replace(NO_BREAK_SPACE, " ")))

    def bold(self, text: str) -> str:
        """Return the text in bold."""
        return self._styled("1", text)

    def dim(self, text: str) -> str:
        """Return the text dimmed."""
        return self._styled("2", text)

    def good(self, text: str) -> str:
        """Return the text in green."""
        return self._styled("32", text)

    def bad(self, text: str) -> str:
        """Return the text in red."""
        return self._styled("31", text)

    def fitted(self, text: str, width: int) -> str:
        """Return the text on one line of at most `width` characters, with control characters made visible."""
        shown = escaped(text)
        ellipsis = "…" if self._can_show("…") else "..."
        return shown if len(shown) <= width else shown[: width - len(ellipsis)] + ellipsis

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a progress bar until the block ends; call the yielded function with the number of parts done."""
        if not self.redraws:
            yield lambda _: None
            return

        full, empty = _BAR if self._can_show("".join(_BAR)) else _PLAIN_BAR

        def show(done: int) -> None:
            length = _BAR_WIDTH * done // total
            bar = self.good(full * length) + self.dim(empty * (_BAR_WIDTH - length))
            self.write(f"{_CLEAR_LINE}{label} {done:>4} of {total:<4} {bar}")

        show(0)
        try:
            yield show
        finally:
            self.write(_CLEAR_LINE)

    def _styled(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    @property
    def _encoding(self) -> str:
        return getattr(self.out, "encoding", None) or "utf-8"

    def _can_show(self, text: str) -> bool:
        return text.encode(self._encoding, "replace").decode(self._encoding) == text

    def write(self, text: str) -> None:
        """Write the text without a line break; characters that the stream cannot encode become question marks."""
        self.out.write(text.encode(self._encoding, "replace").decode(self._encoding))
        self.out.flush()


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show `what` until the block ends, if standard error is a terminal that can clear a line."""
    terminal = Terminal.of(sys.stderr, os.environ)
    if terminal.redraws:
        terminal.write(f"{what} ...")
    try:
        yield
    finally:
        if terminal.redraws:
            terminal.write(_CLEAR_LINE)


def amount(usd: float, *, decimals: int) -> str:
    """Return an amount with at least these decimals, and with at least two significant digits."""
    small = 0 < abs(usd) < 1
    return f"{usd:,.{max(decimals, 1 - math.floor(math.log10(abs(usd)))) if small else decimals}f}"


def escaped(text: str) -> str:
    r"""Return the text with control characters written out as `\n` or `\x1b`, which keeps the terminal unchanged."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
