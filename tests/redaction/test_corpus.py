"""Recognition of secrets: precision and recall over a corpus, and time for texts that are made to be slow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitored_openai._labels import clip_label_value
from monitored_openai._redaction.redactor import REDACTED, without_secrets
from monitored_openai._redaction.secrets import _found, secret_spans
from monitored_openai._redaction.unescape import Unescaped
from tests.support import secret_corpus, secret_corpus_variants
from tests.support.secret_corpus import KEYS, Positive

POSITIVES = (*secret_corpus.POSITIVES, *secret_corpus_variants.POSITIVES)
NEGATIVES = (*secret_corpus.NEGATIVES, *secret_corpus_variants.NEGATIVES)

DOCS = Path(__file__).parents[2] / "docs" / "logs-and-privacy.md"
CODES = ["\U000e0041", "\x1b[31m", "\x1b[01;31m\x1b[K", "\x1b[m", "\u200b", "\ufeff", "\u00ad\u2060"]
HOSTILE = {
    "prefixes": "sk-" * 33_000,
    "prefixes apart": "sk- " * 25_000,
    "prefixes within words": "task-" * 20_000,
    "lines of prefixes": "sk-\n" * 25_000,
    "lines that may continue a key": "r8_a1b2c3d4e5\n" * 8_000,
    "one run": "a" * 100_000,
    "one long key": "sk-" + "a" * 100_000,
    "one long key in capitals and digits": "glc_" + "Aa1" * 33_000,
    "one long key of words": "sk-" + "Abcdef" * 17_000 + "9a",
    "one long key of lower case": "sk-" + "a" * 100_000 + "1A",
    "tokens": "eyJ" * 33_000,
    "tokens with dots": "eyJ." * 25_000,
    "dots": "eyJ" + "." * 100_000,
    "colours": "\x1b[0m" * 25_000,
    "half of a colour": "\x1b[" * 50_000,
    "long colours": ("\x1b[" + "0;" * 30) * 1_600,
    "escaped colours": "\\u001b[0m" * 11_000,
    "percents": "%25" * 33_000,
    "percents before a letter": "%25" * 33_000 + "41",
    "backslashes": "\\" * 100_000,
    "backslashes behind an escape": "api_key=a1b2c3d4e5f6a7b8 x\\u0040" + "\\" * 100_000,
    "escaped line breaks": "sk-" + "\\n" * 50_000,
    "names": "api_key" * 14_000,
    "names with spaces": ("api_key" + " " * 100) * 900,
    "one name with spaces": "api_key" + " " * 100_000,
    "names with equals": "api_key=" * 12_000,
    "name with a long value": "api_key=" + "a" * 100_000,
    "authorizations": "uthorization: " * 7_000,
    "bearers": "earer " * 16_000,
    "begins of PEM": "-----BEGIN PRIVATE KEY-----" * 3_700,
    "half of a PEM": "-----BEGIN PRIVATE KEY-----" + "A" * 100_000,
    "lines of a PEM": "-----BEGIN PRIVATE KEY-----" + ("A" * 15 + "\n") * 6_000,
    "begins": "-----BEGIN " * 9_000,
    "invisible": "\u200b" * 100_000 + "sk-",
    "lines of a quoted PEM": "-----BEGIN PRIVATE KEY-----" + ("> " + "A" * 15 + "\n") * 5_000,
    "joints of a PEM": "-----BEGIN PRIVATE KEY-----" + '"\n"' * 30_000,
    "half of a joint of a PEM": "-----BEGIN PRIVATE KEY-----" + '"' + "\n" * 100_000,
    "quotes with backslashes after a PEM": "-----BEGIN PRIVATE KEY-----" + '\\\\"' * 30_000,
    "numbers of lines of a PEM": "-----BEGIN PRIVATE KEY-----" + "1:" * 50_000,
    "begins of PEM with joints": '-----BEGIN PRIVATE KEY-----"\n"' * 3_000,
    "user names": "://a" * 25_000,
    "user names with colons": "://a:" * 20_000,
    "one long password": "://a:" + "b" * 100_000,
    "passwords without a host": "://a:bcde@" * 10_000,
    "at signs": "://a:" + "b@" * 50_000,
    "pairs": '"api_key", "' * 8_000,
    "pairs with spaces": ('"api_key",' + " " * 100) * 900,
    "values of pairs": '"authorization", "value": ' * 4_000,
    "elements": "<api_key>" * 11_000,
    "signs": "api_key" + ":=" * 50_000,
    "octal": "\\055" * 25_000,
    "long escapes": "\\U0000002d" * 10_000,
    "identifiers": "api_key=" + "a_" * 50_000,
    "hyphens": "sk-" + "ab-" * 33_000,
    "tags": "\U000e0041" * 50_000 + "sk-",
    "surrogates": "\ud800sk-" * 25_000,
}


def redacted_exactly(positive: Positive) -> bool:
    return without_secrets("".join(positive)) == f"{positive.before}{REDACTED}{positive.after}"


def test_all_secrets_of_the_corpus_are_redacted_and_nothing_beside_them() -> None:
    assert len(POSITIVES) == 260
    assert [positive for positive in POSITIVES if not redacted_exactly(positive)] == []


def test_no_harmless_text_of_the_corpus_is_changed() -> None:
    assert len(set(NEGATIVES)) == 260
    assert [text for text in NEGATIVES if without_secrets(text) != text] == []


@pytest.mark.parametrize(
    "text",
    [
        "'UIPresentationViewController', 'ASAuthorization', 'ASAuthorizationAppleIDButton', 'ASAuth'",
        '"ClientSecret",\n    "ClientSecretExpiresAtExpiresAt",\n',
        '"ActorAPIKey",\n    "ActorAPIKeyServiceAccount",\n',
        "azureservicebus://SAS_POLICY_NAME:SAS_KEY@SERVICE_BUS",
    ],
)
def test_names_in_code_stay(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.once
def test_the_docs_give_precision_and_recall_of_the_corpus() -> None:
    found = sum(redacted_exactly(positive) for positive in POSITIVES)
    wrong = sum(without_secrets(text) != text for text in NEGATIVES)
    shown = f"precision {found / (found + wrong):.3f} and recall {found / len(POSITIVES):.3f}"
    assert shown in " ".join(DOCS.read_text(encoding="utf-8").split())


@pytest.mark.parametrize("make", KEYS.values(), ids=KEYS)
@given(code=st.sampled_from(CODES), at=st.integers(0, 40), before=st.sampled_from(["", " ", "a", '"', "7", "é"]))
@settings(max_examples=15, deadline=None)
def test_codes_in_front_of_a_key_and_inside_of_it_hide_nothing(
    make: Callable[[], str], code: str, at: int, before: str
) -> None:
    key = make()
    at %= len(key)
    text = f"{before}{code}{key[:at]}{code}{key[at:]} and more"
    assert without_secrets(text) == f"{before}{code}{'' if at else code}{REDACTED} and more"
    line = json.dumps({"a": text, "b": json.dumps([text])})
    clean = json.loads(without_secrets(line))
    assert clean["a"] == f"{before}{code}{'' if at else code}{REDACTED} and more"
    assert json.loads(clean["b"]) == [clean["a"]]


def test_a_long_label_is_redacted_before_it_is_cut() -> None:
    label = clip_label_value("x" * 1010 + " sk-proj-Ab3_9xYz-0123456789")
    assert label.startswith("x" * 1010)
    assert "sk-" not in label


@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    "sk-proj-Ab3_9xYz-0123456789",
                    "api_key=",
                    '"',
                    "\\",
                    "\\\\",
                    "\n",
                    "u001b[",
                    "\\u001b[0m",
                    "%22",
                    "\\u0022",
                ),
                *(
                    "\x1b[31m",
                    "\u200b",
                    "-----BEGIN PRIVATE KEY-----",
                    "-----END PRIVATE KEY-----",
                    "MIIE0123456789abcdef",
                ),
                *(
                    "Authorization: Basic ",
                    "0123456789abcdef",
                    "%2D",
                    "sk\\u002d",
                    " ",
                    "/",
                    "é",
                    "😀",
                    ":",
                    "eyJ",
                    ".",
                ),
            ]
        ),
        max_size=12,
    ).map("".join),
    st.booleans(),
)
@settings(max_examples=500, deadline=None)
def test_json_stays_json_whatever_a_secret_is_made_of(text: str, ascii_only: bool) -> None:
    line = json.dumps(
        {"a": text, text: [text, {"api_key": 1234567890, "Authorization": text}]}, ensure_ascii=ascii_only
    )
    assert isinstance(json.loads(without_secrets(line)), dict)
    nested = json.dumps({"arguments": line})
    assert isinstance(json.loads(json.loads(without_secrets(nested))["arguments"]), dict)


PARTS = st.sampled_from(
    [
        *(
            "sk-proj-",
            "Ab3_9xYz-0123456789",
            "api",
            "_",
            "key",
            "KEY",
            "=",
            ":",
            " ",
            "\n",
            "\\n",
            "%20",
            "\\u0020",
            "%3D",
        ),
        *(
            "Bearer",
            "bearer",
            "authorization",
            "Authorization",
            "AUTHORIZATION",
            "Basic ",
            "-----BEGIN",
            " PRIVATE KEY-----",
        ),
        *(
            "hooks.slack.com",
            "://",
            "u:",
            "pass7@host",
            "@",
            ",",
            ">",
            "=>",
            "b'",
            "\\055",
            "\\U0000002d",
            "%40",
            "\\u002f",
            "value",
            "\U000e0041",
            "/services/",
            "\\/services\\/",
            "T012345678/B012345678/Ab3d",
            "\u200b",
            "\x1b[0m",
            "%1B[0m",
            "%2D",
        ),
        *(
            '"',
            '\\"',
            "eyJ0eXAiOiJKV1Q",
            ".",
            "API key provided: ",
            "é",
            "a",
            "AKIA",
            "ABCDEFGHIJKLMNO7",
            "\\u20ac",
            "%E2%82%AC",
        ),
    ]
)


@given(st.lists(PARTS, max_size=10).map("".join))
@example("Bearer\U000e0041 T012345678/B012345678/Ab3d")
@settings(max_examples=1500, deadline=None)
def test_the_scan_that_comes_first_overlooks_nothing(text: str) -> None:
    plain = Unescaped(text)
    assert secret_spans(text) or not list(_found(plain.text, plain))


@given(
    st.lists(st.sampled_from(["a", "sk-", "\x1b[0m", "\u200b", "\\u002d", "%2D", "\\n", '"', "é", "%"])).map("".join)
)
def test_each_character_of_the_unescaped_text_has_its_place_in_the_original(text: str) -> None:
    plain = Unescaped(text)
    spans = [(plain.start(at), plain.end(at + 1)) for at in range(len(plain.text))]
    assert all(
        text[start:end] == character or end - start > 1
        for (start, end), character in zip(spans, plain.text, strict=True)
    )
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@pytest.mark.alone
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_of_100_kb_takes_long(text: str) -> None:
    """Quadratic time would be minutes for most of these."""
    began = time.perf_counter()
    without_secrets(text)
    assert time.perf_counter() - began < 2
