"""Rules that recognise the keys and tokens of known providers, and harmless texts that look like them.

Each rule consists of a literal, a run of characters and a test of that run. The search reads each run once, so no text
can slow it down.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_WORDS = re.compile(r"(?:[A-Z]+|[A-Z]?[a-z]+|[a-z]*(?:[A-Z][a-z]{2,})+)\d{0,4}|\d{1,9}")
_PIECE = re.compile(r"[A-Za-z0-9]+")
_INTERLEAVED = re.compile(r"[0-9](?=[A-Za-z])")
_DIGIT = re.compile(r"[0-9]")
_PLACEHOLDER = re.compile(
    r"(?i)key|token|secret|your|env|config|setting|self|none|null|undefined|string|required|optional|example|placeholder"
    r"|true|false|missing|change|provided|default"
)
_HYPHENATED = re.compile(r"[a-z]{2,}-(?:[a-z]+-)*[a-z0-9]{1,8}")
"""Hyphenated words with a short id at the end, such as `lang-12ab34cd`: names of resources."""
_FULL_NAME = re.compile(r"sk-(?:proj|svcacct|ant-[a-z]+\d\d|or-v\d)-.{8}", re.DOTALL)


_IDENTIFIER = re.compile(r"[a-z]+(?:_[a-z]+)+(?:_v?\d{1,3})?|[A-Z]+(?:_[A-Z]+)+(?:_V?\d{1,3})?")
_PROSE = re.compile(r"[A-Za-z]?[a-z]{1,19}")


def is_random(run: str) -> bool:
    """Return true if a run looks random; most CSS classes, for example, do not: they have only words and numbers."""
    return "***" in run or len(_INTERLEAVED.findall(run)) >= 2 or any(map(_is_random_piece, _PIECE.findall(run)))


def _is_random_piece(piece: str) -> bool:
    if _WORDS.fullmatch(piece):
        return len(piece) >= 24 and not (piece.isalpha() and not piece.islower())
    return len(piece) >= 20 or (len(piece) >= 8 and _DIGIT.search(piece) is not None)


def _has_digit(run: str) -> bool:
    return _DIGIT.search(run) is not None


def _is_random_with_digit(run: str) -> bool:
    """Return true for a random run with a digit; a long class name may look random, but has none."""
    return _has_digit(run) and is_random(run)


def _is_any(_run: str) -> bool:
    return True


def _is_sk(run: str) -> bool:
    if _FULL_NAME.match(f"sk-{run}"):
        return True
    return is_random(run) and not (len(run) < 16 and _HYPHENATED.fullmatch(run))


def _is_aws_id(run: str) -> bool:
    return len(run) == 16


def _is_jwt(run: str) -> bool:
    head, *others = run.split(".")
    return len(others) >= 2 and len(head) >= 8 and len(run) >= 32


def _is_value(run: str) -> bool:
    """Return true if the text after a name such as `api_key` is a value, not code or a placeholder."""
    if _IDENTIFIER.fullmatch(run):
        return False
    if _has_digit(run):
        return True
    return "." not in run and _PLACEHOLDER.search(run) is None


def _is_credentials(run: str) -> bool:
    """Return true if the text after a scheme such as `Basic` is a value, not a word or a placeholder."""
    return _PROSE.fullmatch(run) is None and _IDENTIFIER.fullmatch(run) is None


def _is_bearer(run: str) -> bool:
    return (is_random(run) and not _HYPHENATED.fullmatch(run)) or ("." in run and len(run) >= 32)


def _is_password(run: str) -> bool:
    return (
        run.lower() not in _USUAL_PASSWORDS
        and not _IDENTIFIER.fullmatch(run)
        and _HAS_LETTER_OR_DIGIT.search(run) is not None
    )


_USUAL_PASSWORDS = frozenset({"pass", "passwd", "password", "pwd", "secret", "token", "xxx", "your_password"})
_HAS_LETTER_OR_DIGIT = re.compile(r"[A-Za-z0-9]")


def _is_sendgrid(run: str) -> bool:
    head, _, rest = run.partition(".")
    return len(head) >= 16 and len(rest) >= 16


class Prefixed(NamedTuple):
    """Secrets with a known prefix."""

    literal: str
    characters: str
    least: int
    is_secret: Callable[[str], bool] = _is_any


class Named(NamedTuple):
    """Secrets after a known name; the redactor keeps the name."""

    literal: str
    name: str
    """Pattern of the whole name; it ends in `literal`, which the search looks for."""
    between: str
    characters: str
    least: int
    is_secret: Callable[[str], bool]
    after: str = ""
    """Literal that must follow the value; the value extends to its last occurrence."""


_WORD = r"A-Za-z0-9"
_URL = r"A-Za-z0-9_\-"
_BASE64 = r"A-Za-z0-9+/=_\-"
_TOKEN = r"A-Za-z0-9._~+/\-"  # noqa: S105 - characters
PREFIXED = (
    Prefixed("sk-", rf"{_URL}*", 8, _is_sk),  # OpenAI, Anthropic, OpenRouter, DeepSeek; half-masked in error messages
    Prefixed("sess-", _WORD, 32, _has_digit),  # OpenAI's sessions
    Prefixed("sk_", rf"{_WORD}_", 20, is_random),  # ElevenLabs, Stripe
    Prefixed("gsk_", _WORD, 20),  # Groq
    Prefixed("csk-", _WORD, 20),  # Cerebras
    Prefixed("xai-", _WORD, 20),
    Prefixed("pplx-", _WORD, 20),  # Perplexity
    Prefixed("fw_", _WORD, 20, is_random),  # Fireworks
    Prefixed("tgp_v1_", _URL, 30),  # Together
    Prefixed("hf_", _WORD, 30),  # Hugging Face
    Prefixed("api_org_", _WORD, 30),  # Hugging Face's organizations
    Prefixed("nvapi-", _URL, 30, _has_digit),  # NVIDIA
    Prefixed("r8_", _WORD, 30),  # Replicate
    Prefixed("ABSK", _BASE64, 40),  # Bedrock
    Prefixed("bedrock-api-key-", _BASE64, 20, is_random),  # Bedrock, short-lived
    *(Prefixed(kind, "A-Z0-9", 16, _is_aws_id) for kind in ("AKIA", "ASIA", "ABIA", "ACCA")),  # AWS
    Prefixed("AIza", _URL, 30),  # Google
    Prefixed("AQ.Ab", _URL, 30),  # Google's Vertex AI in express mode
    Prefixed("ya29.", rf"{_URL}.", 20),  # Google's access tokens
    Prefixed("GOCSPX-", _URL, 20),  # Google's client secrets
    *(Prefixed(f"gh{kind}_", _WORD, 30) for kind in "pousr"),  # GitHub
    Prefixed("github_pat_", rf"{_WORD}_", 30),
    Prefixed("glpat-", rf"{_URL}.", 20, _has_digit),  # GitLab
    *(Prefixed(f"xox{kind}-", rf"{_WORD}\-", 10, _has_digit) for kind in "abceoprs"),  # Slack
    Prefixed("xoxd-", rf"{_WORD}%+/=\-", 20, _has_digit),  # Slack's cookie
    Prefixed("xapp-", rf"{_WORD}\-", 20, _has_digit),
    *(
        Prefixed(f"hooks.slack.com/{kind}/", rf"{_WORD}/", 20, _has_digit)
        for kind in ("services", "workflows", "triggers")
    ),
    Prefixed("glc_", _BASE64, 8, is_random),  # Grafana Cloud
    Prefixed("glsa_", _BASE64, 8, is_random),  # Grafana's service accounts
    Prefixed("lsv2_pt_", rf"{_WORD}_", 32),  # LangSmith
    Prefixed("lsv2_sk_", rf"{_WORD}_", 32),
    Prefixed("npm_", _WORD, 30, is_random),
    Prefixed("pypi-", _URL, 50, _has_digit),
    Prefixed("SG.", rf"{_URL}.", 40, _is_sendgrid),  # SendGrid
    *(Prefixed(f"rk_{kind}_", _WORD, 20) for kind in ("live", "test")),  # Stripe's restricted keys
    Prefixed("tvly-", _URL, 20, is_random),  # Tavily
    *(Prefixed(f"do{kind}_v1_", "a-f0-9", 60) for kind in "opr"),  # DigitalOcean
    Prefixed("eyJ", rf"{_URL}.", 24, _is_jwt),
)
_SPACE = r"(?:\s|\\+[nrt]){0,40}"
# After a quoted name, only a quoted value matches: a marker in place of a number would break JSON.
_SIGN = r"(?::=|=>|={1,3}|:)"
_QUOTE = r"[bBrRfF]?\\*[\"']"
_IS = rf"(?:\\*[\"']\]?{_SPACE}{_SIGN}{_SPACE}{_QUOTE}|{_SPACE}{_SIGN}{_SPACE}(?:{_QUOTE})?|>)"
_PAIR = (
    rf"\\*[\"'],{_SPACE}(?:\\*[\"'](?i:value)\\*[\"']{_SPACE}[:=]{_SPACE})?{_QUOTE}"
    r"(?:(?i:basic|bearer|token)[ ]{1,40})?"
)
"""Pattern between the name and the value of a header in a list of pairs."""
_SCHEME = r"(?:(?i:basic|bearer|token|apikey|api-key|key|digest|negotiate)[ ]{1,40})"
_NAMES = {
    "key": r"(?i:api[-_ ]?|subscription[-_]|account[-_]?|access[-_]?|openai[-_])",
    "token": r"(?i:access[-_]?|session[-_]?|refresh[-_]?|auth[-_]?|security[-_]?)",
    "secret": r"(?i:client[-_]?|api[-_]?|app[-_]?)",
}
NAMED = (
    *(
        Named(literal, f"{before}{literal}", between, _TOKEN, 8, is_secret)
        for word, before in _NAMES.items()
        for literal in (word, word.capitalize(), word.upper())
        for between, is_secret in ((_IS, _is_value), (_PAIR, _is_random_with_digit))
    ),
    *(
        rule
        for literal in ("uthorization", "UTHORIZATION")
        for rule in (
            Named(literal, literal, rf"{_IS}{_SCHEME}", _TOKEN, 8, _is_credentials),
            Named(literal, literal, rf"{_IS}(?:\w{{1,30}}[ ]{{1,9}})?", _TOKEN, 8, is_random),
            Named(literal, literal, _PAIR, _TOKEN, 8, _is_random_with_digit),
        )
    ),
    *(
        Named(literal, literal, rf"(?:(?:\s|\\+[nrt]){{1,40}}|{_IS})", _TOKEN, 16, _is_bearer)
        for literal in ("earer", "EARER")
    ),
    Named("://", "://", r"[^\s:/@?#\"'<>\\]{0,64}:", r"^\s/?#\"'<>\\{}$", 4, _is_password, "@"),  # user:password@
    Named("API key provided: ", "API key provided: ", "", r"^\s\"'\\", 4, _is_any),  # OpenAI repeats a key of any form
)
