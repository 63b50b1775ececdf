"""60 texts with a differently spelled secret, and 60 similar texts without one; both older than the rules for them."""

from __future__ import annotations

import re
from random import Random
from string import ascii_letters, ascii_uppercase, digits, hexdigits

from tests.support.secret_corpus import Positive

_RANDOM = Random(20251128)
_ALPHABETS = {"w": ascii_letters + digits, "h": hexdigits[:16], "d": digits, "u": ascii_letters + digits + "-_"}
_ALPHABETS["p"], _ALPHABETS["c"] = _ALPHABETS["w"] + "+/", ascii_uppercase + digits


def _made_up(match: re.Match[str]) -> str:
    """Characters of the alphabet and of the count that the template names; a 7 at the second place."""
    alphabet, count = _ALPHABETS[match[1]], int(match[2])
    characters = _RANDOM.choices(alphabet, k=count)
    characters[1] = "7"
    characters[0] = characters[-1] = "B" if match[1] == "c" else _RANDOM.choice("abcdef") if match[1] != "d" else "4"
    return "".join(characters)


def _positive(template: str) -> Positive:
    before, secret, after = re.split("[«»]", re.sub(r"<([whdupc])(\d+)>", _made_up, template))
    return Positive(before, secret, after)


_TEMPLATES = (
    "('Authorization', '«<w40>»')",
    "[('Host', 'a'), ('Authorization', '«<w40>»'), ('Accept', '*/*')]",
    '["authorization", "«<w40>»"]',
    "[b'authorization', b'«<w48>»']",
    "('api-key', '«<h32>»')",
    '["x-api-key", "«<w40>»"]',
    '{"name": "Authorization", "value": "«<w40>»"}',
    "('Authorization', 'Bearer «<w40>»')",
    "quoted mail:\n> «-----BEGIN PRIVATE KEY-----\n> <p64>\n> <p64>\n> <p64>\n> -----END PRIVATE KEY-----»\n> bye",
    "grep -n:\n12:«-----BEGIN RSA PRIVATE KEY-----\n13:<p64>\n14:<p64>\n15:-----END RSA PRIVATE KEY-----»\n16:",
    "cat -n:\n     1\t«-----BEGIN PRIVATE KEY-----\n     2\t<p64>\n     3\t<p64>\n     4\t-----END PRIVATE KEY-----»\n",
    'k = ("«-----BEGIN EC PRIVATE KEY-----\\n"\n     "<p64>\\n"\n     "<p64>==\\n"\n     "-----END EC PRIVATE KEY-----»\\n")',
    'String k = "«-----BEGIN PRIVATE KEY-----\\n" +\n  "<p64>\\n" +\n  "<p64>\\n" +\n  "-----END PRIVATE KEY-----»";',
    "diff:\n+«-----BEGIN PRIVATE KEY-----\n+<p64>\n+<p64>\n+-----END PRIVATE KEY-----»\n context",
    "yaml: |\n    «-----BEGIN OPENSSH PRIVATE KEY-----\n    <p70>\n    <p70>\n    -----END OPENSSH PRIVATE KEY-----»\n",
    "# «-----BEGIN PRIVATE KEY-----\n# <p64>\n# <p64>\n# -----END PRIVATE KEY-----»\nx = 1",
    "the browser's token «xoxc-<d12>-<d12>-<d13>-<h64>» works",
    "cookie d=«xoxd-<w80>»; path=/",
    "post to https://«hooks.slack.com/workflows/T0<c9>/A0<c9>/<d18>/<w24>»",
    "https://«hooks.slack.com/triggers/T0<c9>/<d13>/<h32>» starts it",
    "AZURE_OPENAI_KEY=«<h32>»",
    "OPENAI_KEY=«<h32>»\nPORT=80",
    'os.environ["OPENAI_KEY"] = "«<h32>»"',
    "export AZURE_OPENAI_KEY='«<h32>»'",
    "azure_openai_key: «<w84>»",
    "key «sk-p\U000e0020roj-<w40>» end",
    "key «sk-\U000e007f<w48>» end",
    "tags \U000e0001«ghp\U000e0041_<w36>» end",
    "api_key := «<h32>»",
    'apiKey := "«<w40>»"',
    "'api_key' => '«<w40>»',",
    "api_key => «<h32>»",
    'if api_key == "«<w40>»":',
    "Bearer: «<w40>»",
    '{"bearer": "«<w40>»"}',
    "//registry.npmjs.org/:_authToken=«npm_<w36>»",
    "npm login with «npm_<w36>» failed",
    "password = «pypi-AgEIcHlwaS5vcmc<u130>»",
    "SendGrid «SG.<u22>.<u43>» is live",
    "Stripe: «rk_live_<w24>».",
    "stripe.api_key = '«sk_live_<w24>»'",
    "«rk_test_<w40>» is restricted",
    "TavilyClient('«tvly-<w32>»')",
    "tavily «tvly-dev-<w32>»",
    "doctl auth init -t «dop_v1_<h64>»",
    "<api_key>«<w40>»</api_key>",
    "<apiKey>«<h32>»</apiKey>",
    "<access_token>«<w40>»</access_token>",
    r"python «sk\U0000002dproj\U0000002d<w40>» repr",
    r"octal «sk\055proj\055<w40>» text",
    r"octal colour \033[31m«ghp_<w36>»\033[0m",
    r"hex «sk\x2dproj\x2d<w40>» text",
    "https://admin:«<w20>»@db.example.com:5432/x",
    "postgres://app:«<w16>»@10.0.0.1/orders",
    "redis://:«<w24>»@cache:6379/0",
    "git clone https://oauth2:«<u20>»@gitlab.example.com/a/b.git",
    "mongodb+srv://root:«p%40ss<w12>»@c0.mongodb.net/",
    "amqp://guest:«s3cr3t!<w8>»@mq:5672/%2f",
    "headers.set('Authorization', '«<w40>»');",
    'curl -u x -H "api-key": "«<h32>»"',
)

POSITIVES = tuple(_positive(template) for template in _TEMPLATES)

NEGATIVES = tuple(
    r"""
Authorization: Basic authentication
Authorization: Digest username
Authorization: key rotation policy
Authorization: Bearer YOUR_API_KEY
session_token = generate_token_v2(user)
refresh_token=REFRESH_TOKEN_2
sk-lang-12ab34cd
bearer instruments-2023a4b5
('Authorization', 'required')
('Authorization', 'Basic authentication')
["authorization", "string"]
["Authorization", "Content-Type", "X-Request-Id"]
("api-key", "string", "your key")
('api-key', 'Authorization')
{"name": "authorization", "in": "header"}
Authorization: Bearer your_token_here
Authorization: Token authentication scheme
Authorization: Negotiate
Authorization: Bearer YOUR_TOKEN
Authorization: Basic credentials
the header ('Authorization') is required
> -----BEGIN CERTIFICATE-----
12:-----BEGIN PUBLIC KEY-----
the line "-----BEGIN PRIVATE KEY-----" begins a PEM file
xoxc- and xoxd- are the browser's
hooks.slack.com/workflows/ is the address of workflows
OPENAI_KEY=os.environ
AZURE_OPENAI_KEY=<your key>
AZURE_OPENAI_KEY=${KEY}
openai_key: str
azure_openai_key: required
if api_key == None:
if api_key == "": raise
if api_key == settings.api_key:
api_key := os.Getenv("OPENAI_API_KEY")
'api_key' => env('OPENAI_API_KEY'),
api_key => $key
Bearer: the person who holds it
Bearer: <token>
{"bearer": {"type": "http"}}
npm_config_registry=https://registry.npmjs.org
npm_package_json and npm_lifecycle_event
npm_lifecycle_script_name_2024
pypi-simple-index-mirror-server
pypi-AgE is how tokens of PyPI begin
SG.units and SG.plot
rk_live_ is how restricted keys begin
rk_order_four_solver
tvly-is-short-for-tavily
dop_v1_ is how tokens begin
<api_key>YOUR_API_KEY</api_key>
<api_key>string</api_key>
<api_key></api_key>
"\U0001F600 smiles"
"\101\102\103 in octal"
https://user:password@example.com/
postgres://user:pass@localhost/db
https://user:$PASSWORD@example.com
http://localhost:8080/a@b
https://example.com:443/@scope/package@1.2.3
""".strip().splitlines()
)
