"""200 texts with a secret, and 200 similar texts without one. A seed generates every key."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from random import Random
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits, hexdigits
from typing import NamedTuple


class Positive(NamedTuple):
    """A text with one secret; after redaction only the secret is missing."""

    before: str
    secret: str
    after: str


_RANDOM = Random(20251127)
_WORD, _HEX = ascii_letters + digits, hexdigits[:16]
_URL = _WORD + "-_"


def _some(characters: str, count: int) -> str:
    """Made-up characters that begin and end with a word's and have a digit among them, as a key of this length has."""
    inner = "".join(_RANDOM.choices(characters, k=count - 3))
    return f"{_RANDOM.choice(ascii_lowercase)}7{inner}{_RANDOM.choice(ascii_lowercase)}"


def _base64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _jwt() -> str:
    return (
        f"{_base64(json.dumps({'alg': 'HS256', 'typ': 'JWT'}))}.{_base64(json.dumps({'sub': '17'}))}.{_some(_URL, 43)}"
    )


KEYS: dict[str, Callable[[], str]] = {
    "OpenAI": lambda: f"sk-{_some(_WORD, 48)}",
    "OpenAI's project": lambda: f"sk-proj-{_some(_URL, 80)}",
    "OpenAI's service account": lambda: f"sk-svcacct-{_some(_URL, 80)}",
    "Anthropic": lambda: f"sk-ant-api03-{_some(_URL, 90)}",
    "OpenRouter": lambda: f"sk-or-v1-{_some(_HEX, 64)}",
    "DeepSeek": lambda: f"sk-{_some(_HEX, 32)}",
    "Groq": lambda: f"gsk_{_some(_WORD, 52)}",
    "Cerebras": lambda: f"csk-{_some(ascii_lowercase + digits, 48)}",
    "xAI": lambda: f"xai-{_some(_WORD, 80)}",
    "Perplexity": lambda: f"pplx-{_some(_WORD, 48)}",
    "Fireworks": lambda: f"fw_{_some(_WORD, 24)}",
    "Together": lambda: f"tgp_v1_{_some(_URL, 43)}",
    "Hugging Face": lambda: f"hf_{_some(_WORD, 34)}",
    "NVIDIA": lambda: f"nvapi-{_some(_URL, 64)}",
    "Replicate": lambda: f"r8_{_some(_WORD, 37)}",
    "Bedrock": lambda: f"ABSK{_some(_WORD + '+/', 128)}",
    "Bedrock, short-lived": lambda: f"bedrock-api-key-{_some(_WORD, 120)}",
    "AWS": lambda: f"AKIA{''.join(_RANDOM.choices(ascii_uppercase + '234567', k=15))}7",
    "AWS, temporary": lambda: f"ASIA{''.join(_RANDOM.choices(ascii_uppercase + '234567', k=15))}7",
    "Google": lambda: f"AIza{_some(_URL, 35)}",
    "Google's access token": lambda: f"ya29.{_some(_URL, 120)}",
    "Google's client secret": lambda: f"GOCSPX-{_some(_URL, 28)}",
    "GitHub": lambda: f"ghp_{_some(_WORD, 36)}",
    "GitHub, fine-grained": lambda: f"github_pat_{_some(_WORD, 22)}_{_some(_WORD, 59)}",
    "GitLab": lambda: f"glpat-{_some(_URL, 20)}",
    "Slack": lambda: f"xoxb-{_some(digits, 12)}-{_some(_WORD, 24)}",
    "Grafana Cloud": lambda: f"glc_{_some(_WORD, 100)}",
    "Grafana's service account": lambda: f"glsa_{_some(_WORD, 32)}_{_some(_HEX, 8)}",
    "JWT": _jwt,
}
"""Keys that are known by their form alone."""

_FRAMES: tuple[Callable[[str], Positive], ...] = (
    lambda key: Positive("my key is ", key, ", is that right?"),
    lambda key: Positive("\x1b[01;31m\x1b[K", key, "\x1b[m\x1b[K in .env"),
    lambda key: Positive('{"a": "export KEY=', key, '\\nrun it"}'),
    lambda key: Positive('{"arguments": "{\\"k\\": \\"', key, '\\"}"}'),
    lambda key: Positive("see\u200b", f"{key[:9]}\u200b{key[9:]}", " there"),
    lambda key: Positive("https://api.test/v1?k=", "".join(f"%{ord(c):02X}" if c in "-_" else c for c in key), "&n=2"),
)
_LABELLED = (
    ("api-key=", lambda: _some(_HEX, 32), "&api-version=2024-10-21"),
    ("api-key: ", lambda: _some(_WORD, 84), "\r\nHost: a.openai.azure.com"),
    ('{"api_key": "', lambda: _some(_WORD, 32), '"}'),
    ("AZURE_OPENAI_API_KEY=", lambda: _some(_HEX, 32), "\n"),
    ("Ocp-Apim-Subscription-Key: ", lambda: _some(_HEX, 32), ""),
    ("TOGETHER_API_KEY=", lambda: _some(_HEX, 64), " python main.py"),
    ("aws_secret_access_key = ", lambda: _some(_WORD + "/+", 40), "\nregion = eu-west-1"),
    ("AWS_SESSION_TOKEN=", lambda: _some(_WORD + "/+", 200), ""),
    ("AccountName=a;AccountKey=", lambda: _some(_WORD + "/+", 86) + "==", ";EndpointSuffix=core.windows.net"),
    ('"client_secret": "', lambda: _some(_URL, 40), '"'),
    ("Authorization: Bearer ", lambda: _some(_WORD, 40), '"'),
    ("Authorization: Basic ", lambda: _base64("user:correct horse"), "\n"),
    ("Authorization: ", lambda: _some(_HEX, 32), "\nHost: a"),
    ('{"authorization": "', lambda: _some(_WORD, 40), '"}'),
    ("curl -H 'Authorization: Token ", lambda: _some(_HEX, 40), "' https://api.test"),
    ("authorization%3A%20Bearer%20", lambda: _some(_WORD, 40), "&n=2"),
    ("", lambda: f"-----BEGIN PRIVATE KEY-----\n{_lines()}\n-----END PRIVATE KEY-----", "\nthat is all"),
    (
        '{"a": "',
        lambda: f"-----BEGIN RSA PRIVATE KEY-----\\n{_lines()}\\n-----END RSA PRIVATE KEY-----".replace("\n", "\\n"),
        '\\n"}',
    ),
    ("wrapped:\n", lambda: _wrapped(f"sk-proj-{_some(_WORD, 100)}"), "\n\nThanks"),
    ("sk at the end of a line: ", lambda: f"sk-\n{_some(_WORD, 48)}", "\nThanks"),
    ("in JSON: ", lambda: _wrapped(f"ghp_{_some(_WORD, 36)}", 20).replace("\n", "\\n"), "\\nbye"),
    ("quoted: ", lambda: _wrapped(f"nvapi-{_some(_WORD, 64)}").replace("\n", "\n> "), "\n> bye"),
    ("as code points: ", lambda: f"sk\\u002dproj\\u002d{_some(_WORD, 40)}", " and"),
    ("grep: ", lambda: f"sk-proj\x1b[m\x1b[K-{_some(_WORD, 40)}", " and"),
    (
        "hook: https://",
        lambda: f"hooks.slack.com/services/T0{_some(_WORD, 9)}/B0{_some(_WORD, 9)}/{_some(_WORD, 24)}",
        "",
    ),
    ("Incorrect API key provided: ", lambda: f"sk-proj-{'*' * 30}aB3d", ". You can find"),
)


def _lines() -> str:
    return "\n".join(_some(_WORD + "+/", 64) for _ in range(5))


def _wrapped(key: str, width: int = 40) -> str:
    return "\n".join(key[at : at + width] for at in range(0, len(key), width))


def _positives() -> Iterator[Positive]:
    for make in KEYS.values():
        for frame in _FRAMES:
            yield frame(make())
    for before, make, after in _LABELLED:
        yield Positive(before, make(), after)


POSITIVES = tuple(_positives())

NEGATIVES = tuple(
    r"""
<div class="sk-toggleable__content">
<div class="sk-toggleable__content fitted">
<label class="sk-toggleable__label sk-toggleable__label-arrow" for="sk-estimator-id-1">
#sk-container-id-12 div.sk-parallel-item::after
div.sk-estimator-doc-link.fitted
<input class="sk-toggleable__control sk-hidden--visually" id="sk-estimator-id-123" type="checkbox">
div.sk-text-repr-fallback {display: none;}
#sk-container-id-1 div.sk-label-container:hover div.sk-estimator-doc-link
--sk-background-color-unfitted: #fff5e6
.sk-spinner-wandering-cubes .sk-cube1
sk-fading-circle sk-circle10 sk-circle11 sk-circle12
sk-folding-cube sk-double-bounce
sk-placeholder-loading
the disk-management-system2024 and the risk-assessment
a task-oriented-dialogue-state2tracker
desk-lamp-with-a-long-name123456
sk-learn is spelt scikit-learn
sk-SK is the locale of Slovakia
locale: sk-SK-u-co-standard
sk-bratislava-region-west1
the flask-sqlalchemy-session and flask-restful-swagger
mask-rcnn-resnet50-fpn-coco
sk-nearest-neighbors-classifier
kiosk-2024-summer-edition
sk-your-api-key-here
export OPENAI_API_KEY=sk-...
hf_transformers_cache_directory_for_models
hf_hub_download(repo_id="bert-base-uncased")
from transformers import HfArgumentParser as hf_argument_parser
hf_api.upload_folder(folder_path="data")
hf_device_map={"model.embed_tokens": 0}
gsk_glaxo_smith_kline
fw_config_settings_loader
fw_version=7.2.1 of the firmware
fw_update_notification_service_handler
r8_optimizer_for_android_builds
r8_unorm and r8_uint texture formats
xai-explainable-methods-overview
xai-org/grok-1 on GitHub
pplx-embed and pplx-online are models
nvapi-versions-and-releases-overview-page
csk-samsung-semiconductor
Chennai CSK-vs-MI final 2024
ghp_import is a tool that copies a folder to gh-pages
gho_st in the machine
ghs_classification_of_chemicals
github_pat_tern matching
github_path and github_patterns
AKIAK is a place in Alaska
AKIAHIKO is a name
ASIAN-AMERICAN LITERATURE
ASIAPACIFICECONOMICCOOPERATION
AIza is how keys of Google begin
ABSKISSE and ABSKRIPT
a key of Bedrock begins with ABSK
bedrock-api-key-management-guide
bedrock-api-key-rotation
xoxb- is how tokens of bots begin
xoxo-hugs-and-kisses
xapp-store-preview
glc_concentration and glc_uptake
glsa_annual_meeting
glpat-pattern-for-gitlab-tokens
hooks.slack.com/services/ is where webhooks live
lsv2_pt_ is how LangSmith's keys begin
eyJ is how base64 of a JSON object begins
eyJhbGciOiJIUzI1NiJ9 is only the header of a token
ya29. is how access tokens begin
AQ.About this page
GOCSPX-style secrets
sess-ion is hyphenated
session-2024-11-27-afternoon
tgp_v1_ is how keys of Together begin
api_key = os.environ["OPENAI_API_KEY"]
api_key=os.getenv("OPENAI_API_KEY")
client = OpenAI(api_key=settings.openai_api_key)
client = OpenAI(api_key=self._api_key)
client = OpenAI(api_key=None, base_url=base_url)
api_key: str | None = None
api_key: string (required)
api_key: optional[str]
"api_key": {"type": "string", "description": "the key"}
"apiKey": "your-api-key-here"
apiKey: process.env.OPENAI_API_KEY
apiKey: undefined
api-key: <your key>
api_key=$OPENAI_API_KEY
api_key="${API_KEY}"
api_key={{ secrets.API_KEY }}
api_key = get_secret_value
API_KEY=changeme_please
api_key = "YOUR_API_KEY"
api_key: missing
api_key=placeholder
api key: required
x-api-key: {string}
"required": ["api_key", "temperature", "max_tokens"]
"api_key": null
"api_key": 12345678901
"api_key": true
api_key_rotation_interval=90
an API key is needed for this
The API key: how to get one
access_token = response.json()["access_token"]
access_token: string
access_token=config.access_token
session_token=None
refresh_token = self.refresh_token
client_secret = settings.client_secret
client_secret: required
auth_token: optional
access_key=env.ACCESS_KEY
subscription-key: {key}
max_tokens: 12345678
"input_tokens": 12345678, "output_tokens": 87654321
"total_tokens": 1234567890
token_count=1234567890
next_page_token
key: value, monkey: banana-split-with-cream
"key": "service.name", "value": "checkout-service-production"
primary_key=customer_identifier
foreign_key: orders.customer_id
partition_key=2024-11-27T00:00:00
sort_key=timestamp_descending
public_key_fingerprint
the key takeaway: documentation-matters
keyboard: mechanical-switches-cherry
turkey: thanksgiving-dinner-recipe
cache_key=user:profile:settings
prompt_cache_key=checkout-prompts-v2
the bearer of this letter
the bearer responsibilities
bearer authentication-with-oauth
Bearer internationalization
a standard-bearer organizational-development
pallbearer ceremonial-responsibilities
Bearer token is missing
Authorization: Bearer <token>
Authorization: Bearer $TOKEN
Authorization: Bearer {access_token}
authorization is required for this
authorization: required
Authorization: none
authorization: please authenticate yourself first
authorization: a delegated responsibility
Authorization = permissions, roles and policies
authorization_code
"authorization": "required"
"Authorization": "header"
pre-authorization: insurance companies decide
-----BEGIN CERTIFICATE-----
-----BEGIN PUBLIC KEY-----
-----END PRIVATE KEY-----
a PEM file begins with BEGIN PRIVATE KEY
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ public
550e8400-e29b-41d4-a716-446655440000
request_id=req_5c1f9a7b3d2e4f60
chatcmpl-Dk2aB3cD4eF5gH6iJ7kL8mN9oP0
call_8f2b61c09d34e7a50000002a
resp_67ccd2bed1ec8190b14f964abc0542670
file-abc123DEF456ghi789
asst_abc123DEF456ghi789JKL012
thread_abc123DEF456ghi789JKL012
org-8f2b61c09d34e7a5
ft:gpt-4o-mini-2024-07-18:acme::A1b2C3d4
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
9f86d081884c7d659a2feaa0c55ad015a3bf4f1b
commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904
etag: "33a64df551425fcc55e4d42a148795d9f25f89d4"
trace_id=4bf92f3577b34da6a3ce929d0e0e4736
00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
arn:aws:iam::123456789012:role/service-role/checkout
https://example.com/a?page=2&sort=desc&q=50%25
https://example.com/caf%C3%A9%20au%20lait
100%25 of 7%2F8
SGVsbG8sIHdvcmxkIQ==
0x1f4a9e5b7c3d2a6f8e9d0c1b2a3f4e5d
4111 1111 1111 1111
2024-11-27T08:53:20.000+00:00
192.168.100.200:8080
gpt-4o-mini-2024-07-18
claude-3-5-sonnet-20241022
text-embedding-3-large
meta-llama/Llama-3.3-70B-Instruct-Turbo
accounts/fireworks/models/llama-v3p1-405b-instruct
us.anthropic.claude-3-7-sonnet-20250219-v1:0
mistralai/Mixtral-8x22B-Instruct-v0.1
"\u001b[31mred\u001b[0m and \u001b[1mbold\u001b[0m"
"na\u00efve caf\u00e9 \u20ac 12"
"\u041f\u0440\u0438\u0432\u0435\u0442"
family \u200d emoji and \ufeff marks
ask-2024 and task-20241127-final
whisk-1000000 and brisk-9999999
--sk-shadow-elevation-2: none
sk-button sk-button--primary sk-button--large
sk_buff and sk_family in the kernel
sk_test_mode_enabled
sk_live_preview
the kernel's sk_receive_queue_length
npm run build:production-2024
""".strip().splitlines()
)
"""Harmless texts, each with something in it that a secret has as well."""
