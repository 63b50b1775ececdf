"""Write the tables of endpoints and providers into docs/endpoints.md; with ``--check`` exit 1 if they are stale."""

# ruff: noqa: INP001 - a script, no module of a package

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from monitored_openai._providers import PROVIDERS, StreamUsage  # noqa: E402 - found by the path above
from scripts.endpoint_support import LEFT_OUT, NOT_POSTED, OBSERVED  # noqa: E402 - found by the path above

PAGE = ROOT / "docs" / "endpoints.md"
BEGIN = "<!-- endpoints: written by scripts/endpoints_table.py -->"
END = "<!-- end of the endpoints -->"
BEGIN_PROVIDERS = "<!-- providers: written by scripts/endpoints_table.py -->"
END_PROVIDERS = "<!-- end of the providers -->"
STREAM_USAGE: dict[StreamUsage, str] = {
    "unrequested": "in every stream; the client neither requests nor hides it",
    "on_request": "the client requests it",
    "untried": "the client requests it until the server rejects the option",
}


def names(methods: str) -> str:
    """Return the methods as Markdown code."""
    return " ".join(f"`{method}`" for method in methods.split())


def lines() -> Iterator[str]:
    """Yield the lines of the tables of methods."""
    yield "| method | operation | usage | cost | streams | SDK |"
    yield "|---|---|---|---|---|---|"
    for row in OBSERVED:
        streams = "yes" if row.streams else ""
        yield f"| {names(row.methods)} | `{row.operation}` | {row.usage} | {row.cost} | {streams} | {row.since} |"
    yield ""
    yield "The library does not observe these methods:"
    yield ""
    yield "| method | reason |"
    yield "|---|---|"
    for one in (*NOT_POSTED, *LEFT_OUT):
        yield f"| {names(one.methods)} | {one.reason} |"


def provider_lines() -> Iterator[str]:
    """Yield the lines of the table of providers."""
    yield "| provider | hosts | usage of a stream |"
    yield "|---|---|---|"
    for provider in PROVIDERS:
        if provider.hosts:
            yield f"| `{provider.name}` | {names(' '.join(provider.hosts))} | {STREAM_USAGE[provider.stream_usage]} |"


def with_part(page: str, begin: str, fresh: Iterable[str], end: str) -> str:
    """Return the page with new lines between two markers."""
    before, _, rest = page.partition(begin)
    return "\n".join([f"{before}{begin}\n", *fresh, f"\n{end}{rest.partition(end)[2]}"])


def main() -> int:
    """Write or check the page; return the exit status."""
    page = PAGE.read_text()
    made = with_part(page, BEGIN, lines(), END)
    made = with_part(made, BEGIN_PROVIDERS, provider_lines(), END_PROVIDERS)
    if "--check" in sys.argv[1:]:
        return int(made != page)
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
