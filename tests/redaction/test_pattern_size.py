"""The bound on a pattern's size, which the settings apply before they compile it."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai import MonitoringSettings, SettingsError
from monitored_openai._redaction.pattern_size import (
    MOST_CHARACTERS,
    MOST_ITEMS,
    MOST_REPETITIONS,
    PatternTooLarge,
    pattern_size,
)


class Sized(NamedTuple):
    """A pattern, its number of items with repetitions written out, and the largest product of its counts."""

    pattern: str
    items: int
    repetitions: int


ATOMS = ("a", r"\d", r"\(", r"\)", r"\[", r"\{", "[(]", "[)]", "[]()]", "[^]{3}]", r"[\]{4}(]", "[[]", ".", "é")
OPENINGS = ("(", "(?:", "(?i:", "(?P<n>", "(?>", "(?=", "(?#[()(?:", "(?:(?#x{9}()")
SUFFIXES = ("", "?", "+")
COUNTS = st.integers(1, 300)


def _repeated(part: Sized, count: int, form: str, suffix: str) -> Sized:
    counted = form.format(count) + suffix
    return Sized(part.pattern + counted, part.items * count, part.repetitions * count)


def _grouped(parts: list[Sized], opening: str) -> Sized:
    pattern = f"{opening}{''.join(part.pattern for part in parts)})"
    return Sized(pattern, sum(part.items for part in parts), max(part.repetitions for part in parts))


def _grown(parts: st.SearchStrategy[Sized]) -> st.SearchStrategy[Sized]:
    groups = st.builds(_grouped, st.lists(parts, min_size=1, max_size=4), st.sampled_from(OPENINGS))
    counted = st.builds(
        _repeated, groups, COUNTS, st.sampled_from(["{{{}}}", "{{{},}}", "{{{},9999}}"]), st.sampled_from(SUFFIXES)
    )
    return groups | counted


PATTERNS = st.recursive(st.builds(Sized, st.sampled_from(ATOMS), st.just(1), st.just(1)), _grown, max_leaves=12)


@given(PATTERNS)
@settings(max_examples=500, deadline=None)
def test_no_pattern_above_the_limits_passes(sized: Sized) -> None:
    try:
        size = pattern_size(sized.pattern)
    except PatternTooLarge:
        return
    assert sized.repetitions <= MOST_REPETITIONS
    assert sized.items <= size <= MOST_ITEMS


@given(PATTERNS)
@settings(max_examples=300, deadline=None)
def test_a_pattern_of_a_tenth_of_the_limits_passes(sized: Sized) -> None:
    """Each group counts as an item too, so the size is at most a small multiple."""
    if sized.repetitions <= MOST_REPETITIONS and sized.items * sized.pattern.count("(") <= MOST_ITEMS / 10:
        assert pattern_size(sized.pattern) >= sized.items


@given(st.text("()[]{}\\^|?*+#:,a2x", max_size=30))
@settings(max_examples=300, deadline=None)
def test_every_text_has_a_size_or_is_refused(text: str) -> None:
    try:
        size = pattern_size(text)
    except PatternTooLarge:
        size = MOST_ITEMS
    assert 0 <= size <= MOST_ITEMS


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("(?:a{3000}){3000}", "index 11"),
        ("(?:a{1000}){1000}", "index 11"),
        ("(a{65535}){65535}", "index 2"),
        ("(?:[)]a{3000}){3000}", "index 14"),
        ("(?:[[:foo:]a{3000}){3000}]", "index 19"),
        ("(?x)(?:a{3000} # (\n){3000}", "index 20"),
        ("(?V1)(?:[[)]]a{3000}){3000}", "index 21"),
        ("(?#(()(?:a{3000}){3000}", "index 17"),
        ("{(?:}a{3000}){3000}", "index 13"),
        ("(?:(?#\\)(?:)a{3000}){3000}", "index 20"),
        ("(?:" + "(a|b)" * 200 + "){5000}", "100,000 items"),
        ("(?:{" + "b" * 2000 + "}){5000}", "100,000 items"),
        ("a" * (MOST_CHARACTERS + 1), "10,000 characters"),
    ],
)
def test_the_settings_refuse_a_pattern_too_large_to_compile(pattern: str, part: str) -> None:
    with pytest.raises(SettingsError) as caught:
        MonitoringSettings(redact=["fine", pattern])
    message = str(caught.value)
    assert message.startswith("redact: has a pattern that is too large (number 2): it ")
    assert part in message
    assert pattern not in message


def test_the_settings_bound_the_patterns_together() -> None:
    assert len(MonitoringSettings(redact=["a{9000}"] * 11).redact or ()) == 11  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="redact: has patterns with more than 100,000 items in total"):
        MonitoringSettings(redact=["a{9000}"] * 12)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\b(?:\d[ -]?){13,16}\b",
        r"[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[a-z]{2,63}",
        r"(?:\d{4}[ -]?){4}",
        r"BEGIN[\s\S]{0,50000}END",
        r"(?x) \d{3} - \d{2} - \d{4}  # a number",
        r"(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}",
        r"[[:alpha:]]{2}\d{10}",
        r"a{10000}",
        "|".join(f"name{number}" for number in range(1000)),
    ],
)
def test_the_settings_take_patterns_in_common_use(pattern: str) -> None:
    assert MonitoringSettings(redact=[pattern]).redact == (pattern,)
