"""Rules that recognise the keys and tokens of known providers, and harmless texts that look like them.

Each rule consists of a literal, a run of characters and a test of that run. The search reads a run once, so no text makes
it slow.
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
_FULL_NAME = re.compile(r"sk-(?:proj|svcacct|ant-[a-z]+\d\d|or-v\d)-.{8}", re.DOTALL)


def is_random(run: str) -> bool:
    """Return true if a run looks random: it does not consist of words and numbers, as a CSS class does."""
    return "***" in run or len(_INTERLEAVED.findall(run)) >= 2 or any(map(_is_random_piece, _PIECE.findall(run)))


def _is_random_piece(piece: str) -> bool:
    if _WORDS.fullmatch(piece):
        return len(piece) >= 24 and not (piece.isalpha() and not piece.islower())
    return len(piece) >= 20 or (len(piece) >= 8 and _DIGIT.search(piece) is not None)


def _has_digit(run: str) -> bool:
    return _DIGIT.search(run) is not None


def _is_any(_run: str) -> bool:
    return True


def _is_sk(run: str) -> bool:
    return _FULL_NAME.match(f"sk-{run}") is not None or is_random(run)


def _is_aws_id(run: str) -> bool:
    return len(run) == 16


def _is_jwt(run: str) -> bool:
    head, *others = run.split(".")
    return len(others) >= 2 and len(head) >= 8 and len(run) >= 32


def _is_value(run: str) -> bool:
    """Return true if the text after a name such as `api_key` is a value, not code or a placeholder."""
    if _has_digit(run):
        return True
    return "." not in run and _PLACEHOLDER.search(run) is None


def _is_bearer(run: str) -> bool:
    return is_random(run) or ("." in run and len(run) >= 32)


class Prefixed(NamedTuple):
    """Secrets with a known prefix."""

    literal: str
    characters: str
    least: int
    is_secret: Callable[[str], bool] = _is_any


class Named(NamedTuple):
    """Secrets after a known name, which the redactor keeps."""

    literal: str
    name: str
    """Pattern of the whole name; it ends in `literal`, which the search looks for."""
    between: str
    characters: str
    least: int
    is_secret: Callable[[str], bool]


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
    *(Prefixed(f"xox{kind}-", rf"{_WORD}\-", 10, _has_digit) for kind in "abeoprs"),  # Slack
    Prefixed("xapp-", rf"{_WORD}\-", 20, _has_digit),
    Prefixed("hooks.slack.com/services/", rf"{_WORD}/", 20, _has_digit),
    Prefixed("glc_", _BASE64, 8, is_random),  # Grafana Cloud
    Prefixed("glsa_", _BASE64, 8, is_random),  # Grafana's service accounts
    Prefixed("lsv2_pt_", rf"{_WORD}_", 32),  # LangSmith
    Prefixed("lsv2_sk_", rf"{_WORD}_", 32),
    Prefixed("eyJ", rf"{_URL}.", 24, _is_jwt),
)
_SPACE = r"(?:\s|\\+[nrt]){0,40}"
# A quoted name needs a quoted value: JSON with a word in place of a number is no JSON.
_IS = rf"(?:\\*[\"']{_SPACE}[:=]{_SPACE}\\*[\"']|{_SPACE}[:=]{_SPACE}\\*[\"']?)"
_SCHEME = r"(?:(?i:basic|bearer|token|apikey|api-key|key|digest|negotiate)[ ]{1,40})"
_NAMES = {
    "key": r"(?i:api[-_ ]?|subscription[-_]|account[-_]?|access[-_]?)",
    "token": r"(?i:access[-_]?|session[-_]?|refresh[-_]?|auth[-_]?|security[-_]?)",
    "secret": r"(?i:client[-_]?|api[-_]?|app[-_]?)",
}
NAMED = (
    *(
        Named(literal, f"{before}{literal}", _IS, _TOKEN, 8, _is_value)
        for word, before in _NAMES.items()
        for literal in (word, word.capitalize(), word.upper())
    ),
    *(
        rule
        for literal in ("uthorization", "UTHORIZATION")
        for rule in (
            Named(literal, literal, rf"{_IS}{_SCHEME}", _TOKEN, 8, _is_any),
            Named(literal, literal, rf"{_IS}(?:\w{{1,30}}[ ]{{1,9}})?", _TOKEN, 8, is_random),
        )
    ),
    *(Named(literal, literal, r"(?:\s|\\+[nrt]){1,40}", _TOKEN, 16, _is_bearer) for literal in ("earer", "EARER")),
    Named("API key provided: ", "API key provided: ", "", r"^\s\"'\\", 4, _is_any),  # OpenAI repeats a key of any form
)
