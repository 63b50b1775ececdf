"""Validators for the fields of `MonitoringSettings`. Each returns the parsed value or raises `InvalidValue`."""

from __future__ import annotations

import inspect
import json
import os
import platform
import re
import ssl
import stat
import sys
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    PlainValidator,
    SecretStr,
    ValidationInfo,
)

from monitored_openai._labels import OPTIONAL_LABELS, InvalidValue, check_label_value, label_name
from monitored_openai._metrics.metric_set import METRICS, REQUIRED, SCHEME_METRICS
from monitored_openai._redaction.pattern_size import MOST_ITEMS, PatternTooLarge, pattern_size
from monitored_openai._redaction.presets import PRESETS, RedactionPreset
from monitored_openai._redaction.secrets import secret_spans
from monitored_openai._settings import urls
from monitored_openai._settings.frozen_mapping import FrozenMapping
from monitored_openai._settings.prices import parse_prices, read_price_file
from monitored_openai._settings.urls import MetricsProtocol

_MAX_LABELS = 10  # with the library's own labels, within Mimir's limit of 30 per series and Loki's of 15 per stream
_MOST_SECONDS_OF_A_CHECK = 1.0
_SHORTEST_HASH_SECRET = 16


def plain_text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValue("must be text")
    return str.__str__(value)  # the value of a text enum member, not its name


def _label(text: str) -> str:
    """Return a label's name or value; refuse one with a secret, because nothing redacts labels."""
    if secret_spans(text):
        raise InvalidValue("contains a text that looks like a secret, and nothing redacts labels; remove the secret")
    return text


def _label_value(value: object) -> str:
    return _label(check_label_value(plain_text(value)))


def optional(rule: Callable[[Any], object]) -> PlainValidator:
    return PlainValidator(lambda value: None if value is None else rule(value))


def identifier(value: object) -> str:
    """Return a text, or the text of a whole number, which Grafana Cloud uses as user name and tenant."""
    return str(value) if type(value) is int else plain_text(value)


def _username(value: object) -> str:
    name = urls.credential(identifier(value))
    if ":" in name:
        raise InvalidValue("has a colon, which a user name of Basic authentication cannot contain; remove it")
    return name


def _secret_text(value: object) -> str:
    return plain_text(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _token(value: object) -> SecretStr:
    return SecretStr(urls.credential(_secret_text(value)))


def proxy(value: object) -> SecretStr:
    return SecretStr(urls.proxy_url(_secret_text(value)))


def not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise InvalidValue("must be a number, not true or false")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    if len(items) != len(pairs):
        raise InvalidValue("contains a key twice; write each key once")
    return items


def _json(text: str, opening: str) -> object:
    """Return the JSON value in ``text`` if it begins with ``opening`` and is JSON, else ``None``."""
    if not text.lstrip().startswith(opening):
        return None
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except InvalidValue:
        raise
    except (ValueError, RecursionError):
        return None


def _listed(value: object) -> list[str]:
    if isinstance(value, str):
        parsed = _json(value, "[")
        value = [item.strip() for item in value.split(",")] if parsed is None else parsed
    if not isinstance(value, (list, tuple, AbstractSet)) or not all(isinstance(item, str) for item in value):
        raise InvalidValue("must be a list of texts; in the environment write a,b or a JSON list")
    return list(value)


def _mapped(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        parsed = _json(value, "{")
        pairs = [item.partition("=") for item in value.split(",")]
        if parsed is None and all(equals for _, equals, _ in pairs):
            parsed = _unique([(key.strip(), item.strip()) for key, _, item in pairs])
        value = parsed
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidValue("must be a mapping with texts as keys; in the environment write k=v,k=v or a JSON object")
    return dict(value)


def headers(value: object) -> FrozenMapping[SecretStr]:
    headers: dict[str, SecretStr] = {}
    for name, item in _mapped(value).items():
        text = _secret_text(item)
        urls.header(name, text)
        headers[name] = SecretStr(text)
    _unique([(name.lower(), None) for name in headers])
    return FrozenMapping(headers)


def extra_labels(value: object) -> FrozenMapping[str]:
    labels = {_label(label_name(name)): _label_value(item) for name, item in _mapped(value).items()}
    if len(labels) > _MAX_LABELS:
        raise InvalidValue(f"has more than {_MAX_LABELS} labels; remove some")
    return FrozenMapping(labels)


def label_names(value: object) -> tuple[str, ...]:
    names = sorted(_label(label_name(name)) for name in _listed(value))
    if len(names) > _MAX_LABELS:
        raise InvalidValue(f"has more than {_MAX_LABELS} names; remove some")
    return tuple(_unique([(name, None) for name in names]))


def prices(value: object) -> FrozenMapping[FrozenMapping[Any]]:
    return parse_prices(_mapped(value))


def prices_file(value: object) -> str:
    """Return the path of a price file, after a check of its content."""
    path = _path(value)
    try:
        _require_files(path)
        read_price_file(path)
    except OSError as error:
        raise InvalidValue(f"cannot be read ({error.strerror or error}); correct the path") from None
    return path


def price_updates(value: object) -> str | None:
    """Return the URL of the price table; `True` stands for that of `genai-prices`."""
    if value is True or (isinstance(value, str) and value.strip().lower() in ("true", "1", "yes", "on")):
        return "true"
    if value in (False, None) or (isinstance(value, str) and value.strip().lower() in ("false", "0", "no", "off", "")):
        return None
    url = plain_text(value).strip()
    parts = urlsplit(url)
    if parts.hostname is None or not (parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1")):
        raise InvalidValue("is not an https URL; write true, or the https URL of a price table of genai-prices")
    return url


def _importable(function: object, arguments: int) -> Callable[..., Any]:
    """Return a top-level function. Refuse any other: each evaluation creates a new one, so equal settings would differ."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not callable(function) or not isinstance(module, str) or not isinstance(name, str):
        raise InvalidValue(
            "must be a function with a name, because settings cannot compare objects and partials; define it with def"
        )
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not function:
        raise InvalidValue(
            "must be a function at the top of a module, because each lambda, local function or method is a new object, "
            "which settings cannot compare; define it with def"
        )
    if inspect.iscoroutinefunction(function):
        raise InvalidValue(
            "must be a plain function, because the library does not await it; define it with def, not async def"
        )
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except (TypeError, ValueError):
        raise InvalidValue(
            f"must be a function that accepts {arguments} positional argument(s); correct its parameters"
        ) from None
    return function


def on_record(value: object) -> Callable[..., Any]:
    return _importable(value, arguments=1)


def redact(value: object) -> tuple[str, ...] | Callable[[str, str], str]:
    if callable(value):
        return _importable(value, arguments=2)
    if isinstance(value, str) and "," in value and re.search(r"[\[({]", value) and _json(value, "[") is None:
        raise InvalidValue("has a comma that may belong to a pattern; write the patterns as a JSON list")
    if isinstance(value, AbstractSet):
        raise InvalidValue("must be a list, because the order of the patterns matters and a set has none; write a list")
    patterns = tuple(_listed(value))
    if not patterns:
        return patterns
    _require_small(patterns)
    import regex  # supports a time limit for a search, `re` does not

    for pattern in patterns:
        try:
            matches_nothing = regex.compile(pattern).search("", timeout=_MOST_SECONDS_OF_A_CHECK) is not None
        except (regex.error, RecursionError, OverflowError, MemoryError, TimeoutError, Warning):
            raise InvalidValue("has a pattern that is not a valid regular expression; correct it") from None
        if matches_nothing:
            raise InvalidValue(
                "has a pattern that matches the empty text, and so at every position; require at least one character"
            )
    return patterns


def redact_presets(value: object) -> tuple[RedactionPreset, ...]:
    names = set(_listed(value))
    if not names <= set(PRESETS):
        raise InvalidValue("has an unknown preset; use card, email, iban and phone")
    return tuple(preset for preset in PRESETS if preset in names)


def hash_attributes(value: object) -> tuple[str, ...]:
    names = sorted(set(_listed(value)))
    for name in names:
        if not name.startswith("metadata."):
            label_name(name)
    return tuple(names)


def hash_secret(value: object) -> SecretStr:
    text = _secret_text(value)
    if len(text) < _SHORTEST_HASH_SECRET:
        raise InvalidValue(
            f"is shorter than {_SHORTEST_HASH_SECRET} characters, so it could be guessed; set a longer random text"
        )
    return SecretStr(text)


def _require_small(patterns: tuple[str, ...]) -> None:
    """Refuse patterns that would take too much memory when compiled."""
    size = 0
    for place, pattern in enumerate(patterns, 1):
        try:
            size += pattern_size(pattern)
        except PatternTooLarge as error:
            raise InvalidValue(
                f"has a pattern that is too large (number {place}): it {error}; "
                "shorten it or lower its repetition counts"
            ) from None
    if size > MOST_ITEMS:
        raise InvalidValue(
            f"has patterns with more than {MOST_ITEMS:,} items in total; shorten them or lower their repetition counts"
        )


def _path(value: object) -> str:
    path = value if isinstance(value, Path) else Path(plain_text(value))
    if value == "":
        raise InvalidValue("is empty; set a path or remove it")
    try:
        return str(path.expanduser())
    except (RuntimeError, ValueError):  # no such user
        raise InvalidValue("begins with ~ and the name of an unknown user; write the full path") from None


def host_dir(value: object) -> str:
    path = Path(_path(value))
    if not path.is_absolute():
        raise InvalidValue("is relative, so it would depend on the working directory; write the full path")
    return str(path)


def spool_dir(value: object) -> str:
    path = Path(host_dir(value))
    try:
        found = path.lstat()
    except OSError:  # created at first use
        return str(path)
    if not stat.S_ISDIR(found.st_mode):
        raise InvalidValue(
            "is a symbolic link or not a directory; use a directory that only this user owns and can write"
        )
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise InvalidValue("belongs to another user; use a directory that only this user owns and can write")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and os.name == "posix":
        raise InvalidValue("is writable by other users; use a directory that only this user owns and can write")
    return str(path)


def _require_files(*paths: str) -> None:
    """Reject files such as a FIFO, which could block a reader forever; follow links.

    Raises:
        OSError: A path is not a regular file.
    """
    for path in paths:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise OSError("is not a regular file")


def verify(value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    path = _path(value)
    if path.lower() in ("true", "1", "yes", "on"):
        return True
    if path.lower() in ("false", "0", "no", "off"):
        raise InvalidValue(
            "cannot be switched off by text or by the environment; set the path of your CA's certificate"
        )
    try:
        if not Path(path).is_dir():
            _require_files(path)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError):
        raise InvalidValue(
            "is not a PEM file of CA certificates, nor a directory of such files; correct the path"
        ) from None
    return path


def client_cert(value: object) -> tuple[str, ...]:
    items = [value] if isinstance(value, Path) else _listed(value) if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or len(items) not in (1, 2):
        raise InvalidValue("must be one path, or the two paths of certificate and key")
    paths = tuple(_path(item) for item in items)
    certificate, key = paths[0], paths[-1] if len(paths) > 1 else None
    try:
        _require_files(*paths)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError):
        raise InvalidValue(
            "must name a certificate and its unencrypted key, in one PEM file or two; correct the path"
        ) from None
    return paths


def plain(value: object, mode: str) -> object:
    """Return ``value`` with plain mappings; for the mode `json`, with hidden secrets and the names of functions."""
    if isinstance(value, Mapping):
        return {key: plain(item, mode) for key, item in value.items()}
    if mode == "json" and isinstance(value, SecretStr):
        return str(value)
    if mode == "json" and (inspect.isroutine(value) or inspect.isclass(value)):
        return f"{value.__module__}:{value.__qualname__}"
    return value


def host_name() -> str:
    """The host name."""
    return platform.node() or "localhost"


def otel_service_name() -> str | None:
    """`OTEL_SERVICE_NAME`, else unset."""
    name = os.environ.get("OTEL_SERVICE_NAME", "")
    return name if name.strip() else None


def metrics_url(value: object, info: ValidationInfo) -> str | None:
    protocol: MetricsProtocol | None = info.data.get("metrics_protocol")
    return None if value is None or protocol is None else urls.push_url(plain_text(value), protocol)


def optional_labels(value: object) -> tuple[str, ...]:
    names = sorted(set(_listed(value)))
    if not set(names) <= OPTIONAL_LABELS.keys():
        raise InvalidValue("has an unknown name; use service_tier, server_address and input_size")
    return tuple(names)


def metric_names(value: object) -> tuple[str, ...]:
    names = sorted(set(_listed(value)))
    if not names or not set(names) <= SCHEME_METRICS.keys():
        raise InvalidValue("must be one or more of gen_ai, otel_genai and grafana_openai")
    return tuple(names)


def metrics_left_out(value: object) -> tuple[str, ...]:
    names = sorted(set(_listed(value)))
    if unknown := [name for name in names if name not in METRICS]:
        nearest = get_close_matches(unknown[0], METRICS, n=1)
        fix = f"did you mean {nearest[0]}?" if nearest else "docs/metrics.md lists the names"
        raise InvalidValue(f"names an unknown metric; {fix}")
    if required := [name for name in names if METRICS[name] in REQUIRED]:
        raise InvalidValue(
            f"has {required[0]}, without which dashboards and alerts would be wrong; remove it from the list"
        )
    return tuple(names)


Username = Annotated[str | None, optional(_username)]
Token = Annotated[SecretStr | None, optional(_token)]
LabelValue = Annotated[str, PlainValidator(_label_value)]
OptionalLabelValue = Annotated[str | None, optional(_label_value)]
Whole = Annotated[int, BeforeValidator(not_bool)]
Number = Annotated[float, BeforeValidator(not_bool)]
NO_ITEMS: FrozenMapping[Any] = FrozenMapping()
