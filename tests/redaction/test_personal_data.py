"""Redaction of personal data: exact for the texts of a table, for generated numbers, and fast for every text."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai import MonitoringSettings
from monitored_openai._redaction.cards import _ISSUERS
from monitored_openai._redaction.emails import _CODE, _FILE
from monitored_openai._redaction.ibans import _FORMS
from monitored_openai._redaction.personal_data import without_personal_data
from monitored_openai._redaction.presets import PRESETS, RedactionPreset
from monitored_openai._redaction.redactor import redacted, redactor
from monitored_openai._redaction.widths import narrow
from tests.support.no_personal_data import NEGATIVES
from tests.support.personal_data import POSITIVES

PAGE = Path(__file__).parents[2] / "docs" / "tasks" / "privacy.md"
MARKED = re.compile("«(.*?)»")
HOSTILE = {
    "digits": "4" * 100_000,
    "groups of digits": "4111 " * 20_000,
    "single digits": "4 " * 50_000,
    "zeros": "0 " * 50_000,
    "digits with spaces": ("4111" + " " * 100) * 1_000,
    "plus signs": "+" * 100_000,
    "plus signs with digits": "+4" * 50_000,
    "plus signs with spaces": "+ 49 " * 20_000,
    "one long number": "+49" + " 1" * 50_000,
    "areas": "(030) " * 17_000,
    "areas with digits": "030 1 " * 17_000,
    "double zeros in brackets": "(001." * 20_000,
    "double zeros": "0049 " * 20_000,
    "words for phones": "phone " * 17_000,
    "words for phones with spaces": ("phone" + " " * 100) * 1_000,
    "words for phones with digits": "phone 1 " * 12_000,
    "call me": "call me at " * 9_000,
    "at signs": "@" * 100_000,
    "names": "a" * 100_000 + "@",
    "names with at signs": "a@" * 50_000,
    "domains": "a@b." * 25_000,
    "one long domain": "a@" + "b." * 50_000,
    "one long label": "a@" + "b" * 100_000,
    "hyphens": "a@" + "-" * 100_000,
    "countries": "DE89" * 25_000,
    "countries apart": "DE89 " * 20_000,
    "one long account": "DE89" + "3" * 100_000,
    "letters": "de" * 50_000,
    "escapes": "\\u0040" * 16_000,
    "backslashes": "\\" * 100_000,
    "backslashes behind an escape": "x\\u0040" + "\\" * 100_000,
    "full-width digits": "\uff14" * 100_000,
    "full-width groups of digits": "\uff14\uff11\uff11\uff11\u3000" * 20_000,
    "full-width at signs": "a\uff20" * 50_000,
    "long dashes": "1\u30fc" * 50_000,
    "unspaced letters": "\u4e00" * 100_000,
    "unspaced letters and digits": "\u4e001" * 50_000,
    "a hex dump": "01 23 45 67 89 ab cd ef " * 4_000,
    "bytes": "de " * 33_000,
    "bytes and numbers": "ab 06 12 34 56 79 ab " * 5_000,
    "offsets": "0x00: 06 12 34 56 79 " * 5_000,
    "code": "a@functools.wraps" * 6_000,
    "order numbers": "order number " * 8_000 + "030 1234567",
}


def marked(text: str, preset: str) -> str:
    return MARKED.sub(f"[redacted {preset}]", text)


@pytest.mark.parametrize("preset", PRESETS)
def test_each_text_of_the_table_loses_its_personal_data_and_nothing_else(preset: RedactionPreset) -> None:
    texts = POSITIVES[preset]
    assert len(texts) >= 40
    wrong = {
        text: found
        for text in texts
        for presets in ((preset,), PRESETS)
        if (found := without_personal_data(text.replace("«", "").replace("»", ""), presets)) != marked(text, preset)
    }
    assert wrong == {}


@pytest.mark.parametrize("preset", PRESETS)
def test_each_similar_text_of_the_table_stays(preset: RedactionPreset) -> None:
    texts = NEGATIVES[preset]
    assert len(texts) >= 40
    wrong = {text: found for text in texts if (found := without_personal_data(text, PRESETS)) != text}
    assert wrong == {}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_finds_only_its_own_kind(preset: RedactionPreset) -> None:
    others = [name for name in PRESETS if name != preset]
    for text in POSITIVES[preset]:
        left = without_personal_data(text.replace("«", "").replace("»", ""), others)
        assert f"[redacted {preset}]" not in left


def luhn(digits: str) -> str:
    """The digits with their check digit."""
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits))]
    return digits + str(-sum(sum(divmod(number, 10)) for number in doubled) % 10)


@st.composite
def cards(draw: st.DrawFn) -> str:
    """A valid number of any network and length, in one of its usual spellings."""
    start, lengths = draw(st.sampled_from(_ISSUERS))
    length = draw(st.sampled_from(lengths))
    begin = draw(st.from_regex(start, fullmatch=True, alphabet=st.sampled_from("0123456789")))
    number = luhn(
        begin + draw(st.text("0123456789", min_size=length - 1 - len(begin), max_size=length - 1 - len(begin)))
    )
    gap = draw(st.sampled_from(["", " ", "-", "."]))
    if gap and len(number) in (14, 15):
        return gap.join((number[:4], number[4:10], number[10:]))
    if gap and len(number) in (13, 16, 19):
        return gap.join(number[place : place + 4] for place in range(0, len(number), 4))
    return number


@st.composite
def ibans(draw: st.DrawFn) -> str:
    """A valid account number of any country, as one word or in groups of four."""
    form = draw(st.sampled_from(_FORMS))
    alphabets = {"n": "0123456789", "a": "ABCXYZ", "c": "0123456789ABCXYZ"}
    account = "".join(
        draw(st.text(alphabets[kind], min_size=int(count), max_size=int(count)))
        for count, kind in re.findall("([0-9]+)([nac])", form)
    )
    check = 98 - int("".join(str(int(character, 36)) for character in f"{account}{form[:2]}00")) % 97
    number = f"{form[:2]}{check:02}{account}"
    gap = draw(st.sampled_from(["", " "]))
    return gap.join(number[place : place + 4] for place in range(0, len(number), 4))


AROUND = st.sampled_from(["", " ", ": ", "(", '"', "\n", "=", ", "])


@given(cards(), AROUND, st.sampled_from(["", " ", ".", ")", '"', "\n", ", "]))
@settings(max_examples=100, deadline=None)
def test_every_valid_card_is_found(card: str, before: str, after: str) -> None:
    found = without_personal_data(f"{before}{card}{after}", ["card"])
    assert found == f"{before}{card if len(set(card) - set(' .-')) == 1 else '[redacted card]'}{after}"


@given(ibans(), AROUND, st.sampled_from(["", " ", ".", ")", '"', "\n", ", "]))
@settings(max_examples=200, deadline=None)
def test_every_valid_account_number_is_found(iban: str, before: str, after: str) -> None:
    assert without_personal_data(f"{before}{iban}{after}", ["iban"]) == f"{before}[redacted iban]{after}"


@given(cards(), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_a_number_with_a_wrong_check_digit_stays(card: str, add: int) -> None:
    wrong = card[:-1] + str((int(card[-1]) + add) % 10)
    assert without_personal_data(wrong, ["card"]) == wrong


TIMES = st.datetimes(datetime(1900, 1, 1))  # noqa: DTZ001 - hypothesis wants a time without a zone


@given(
    st.one_of(
        st.uuids().map(str),
        TIMES.map(str),
        TIMES.map(lambda at: at.isoformat() + "+02:00"),
        st.ip_addresses().map(str),
        st.binary(min_size=16, max_size=32).map(bytes.hex),
        st.floats(0, 1).map(str),
        st.integers(0, 10_000_000).map(str),
        st.integers(0, 10_000_000).map(lambda number: f"{number:,}"),
        st.floats(0, 99_999, allow_nan=False).map(lambda price: f"${price:,.2f}"),
        st.integers(1_400_000_000, 1_999_999_999).map(lambda seconds: f"{seconds}000"),
    )
)
@settings(max_examples=200, deadline=None)
def test_ids_times_addresses_prices_and_counts_stay(text: str) -> None:
    assert without_personal_data(text, PRESETS) == text
    assert without_personal_data(f"see {text}, please", PRESETS) == f"see {text}, please"


@given(
    st.lists(
        st.sampled_from(
            [
                *("alice@example.com", "4111111111111111", "DE89370400440532013000", "+49 30 123456", "\\u0040", "%40"),
                *('"', "\\", "\n", " ", "\\n", "\\\\", "é", "@", ".", "0", "+", "phone ", "\u200b", "\x1b[0m"),
            ]
        ),
        max_size=12,
    ).map("".join)
)
@settings(max_examples=150, deadline=None)
def test_json_within_a_text_stays_json(text: str) -> None:
    arguments = json.dumps({"a": text, text: [text]})
    assert isinstance(json.loads(without_personal_data(arguments, PRESETS)), dict)
    nested = json.dumps({"arguments": arguments})
    assert isinstance(json.loads(json.loads(without_personal_data(nested, PRESETS))["arguments"]), dict)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_of_100_kb_takes_long(text: str) -> None:
    started = time.thread_time()
    without_personal_data(text, PRESETS)
    assert time.thread_time() - started < 1


def shout(text: str, field: str) -> str:
    return text.upper()


def test_presets_apply_before_patterns_and_functions() -> None:
    then = redactor((r"\[redacted email\]",), ("email",))
    assert then is not None
    assert then("to alice@example.com", "request") == "to [redacted]"
    loud = redactor(shout, ("email",))
    assert loud is not None
    assert loud("to alice@example.com", "request") == "TO [REDACTED EMAIL]"


def test_the_example_of_the_page_on_privacy_is_redacted_as_it_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    redact = redactor((), PRESETS)
    assert redact is not None
    (example,) = re.findall(r'"content": "(Write to .*)"', page)
    assert f"`{redact(example, 'request.messages.content')}`" in page


def test_every_text_and_key_of_a_value_is_redacted() -> None:
    redact = redactor((), PRESETS)
    value = {"DE89370400440532013000": ["alice@example.com", {"number": "4111111111111111", "plain_word_of_length": 1}]}
    assert redacted(value, "request", redact) == {
        "[redacted iban]": ["[redacted email]", {"number": "[redacted card]", "plain_word_of_length": 1}]
    }


def test_a_password_with_an_address_after_it_is_still_a_secret() -> None:
    redact = redactor((), ("email",))
    assert redact is not None
    clean = redact("postgres://app:p(ss)w0rd@db.example.com/x and alice@example.com", "request")
    assert "p(ss" not in clean
    assert clean.endswith("[redacted email]")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (("phone", "email"), ("email", "phone")),
        ("email,card", ("card", "email")),
        ('["iban"]', ("iban",)),
        ({"iban", "card"}, ("card", "iban")),
        ((), ()),
    ],
)
def test_the_setting_takes_the_names_of_presets(given: str, names: tuple[str, ...]) -> None:
    assert MonitoringSettings(redact_presets=given).redact_presets == names


def test_the_environment_names_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_REDACT_PRESETS", "email, phone")
    assert MonitoringSettings().redact_presets == ("email", "phone")


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^redact_presets: has an unknown preset; use card, email, iban or phone$"):
        MonitoringSettings(redact_presets="emial")


def test_no_name_of_code_is_a_top_level_domain() -> None:
    domains = (files("hypothesis") / "vendor" / "tlds-alpha-by-domain.txt").read_text().lower().split()
    assert len(domains) > 1000
    assert [domain for domain in domains if _CODE.search(f"a.{domain}") or _FILE.search(f"a.{domain}")] == []


@given(st.binary(min_size=16, max_size=16).filter(lambda row: any(byte & 0x0F > 9 for byte in row[::2])))
@settings(max_examples=200, deadline=None)
def test_a_row_of_a_hex_dump_stays(row: bytes) -> None:
    for text in (row.hex(" "), row.hex(" ", 2), f"0x10:  {row.hex(' ', 2)}", row.hex(":"), row.hex(" ").upper()):
        assert without_personal_data(text, PRESETS) == text


@given(st.text(st.sampled_from("4\uff11\u0664\u4e00\u30fc\uff0d\uff20@a\uff0e.\uff08 \u3000"), max_size=40))
@settings(max_examples=200, deadline=None)
def test_a_narrow_text_is_equally_long(text: str) -> None:
    assert len(narrow(text)) == len(text)
