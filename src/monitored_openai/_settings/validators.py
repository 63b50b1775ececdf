"""Validators for labels, credentials, prices and lists of names. Each returns the parsed value or raises `InvalidValue`."""

from __future__ import annotations

import inspect
import os
import platform
from collections.abc import Callable, Mapping
from difflib import get_close_matches
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
from monitored_openai._redaction.secrets import secret_spans
from monitored_openai._settings import urls
from monitored_openai._settings.forms import listed, mapped, not_bool, plain_text, secret_text, unique
from monitored_openai._settings.frozen_mapping import FrozenMapping
from monitored_openai._settings.paths import path_text, require_files
from monitored_openai._settings.prices import parse_prices, read_price_file
from monitored_openai._settings.urls import MetricsProtocol

_MAX_LABELS = 10  # with the library's own labels, within Mimir's limit of 30 per series and Loki's of 15 per stream


def _label(text: str) -> str:
    """Return a label's name or value; refuse a secret, because the library does not redact labels of the settings."""
    if secret_spans(text):
        raise InvalidValue(
            "contains a text that looks like a secret, and the library does not redact labels of the settings; "
            "remove the secret"
        )
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


def _token(value: object) -> SecretStr:
    return SecretStr(urls.credential(secret_text(value)))


def proxy(value: object) -> SecretStr:
    return SecretStr(urls.proxy_url(secret_text(value)))


def headers(value: object) -> FrozenMapping[SecretStr]:
    headers: dict[str, SecretStr] = {}
    for name, item in mapped(value).items():
        text = secret_text(item)
        urls.header(name, text)
        headers[name] = SecretStr(text)
    unique([(name.lower(), None) for name in headers])
    return FrozenMapping(headers)


def extra_labels(value: object) -> FrozenMapping[str]:
    labels = {_label(label_name(name)): _label_value(item) for name, item in mapped(value).items()}
    if len(labels) > _MAX_LABELS:
        raise InvalidValue(f"has more than {_MAX_LABELS} labels; remove some")
    return FrozenMapping(labels)


def label_names(value: object) -> tuple[str, ...]:
    names = sorted(_label(label_name(name)) for name in listed(value))
    if len(names) > _MAX_LABELS:
        raise InvalidValue(f"has more than {_MAX_LABELS} names; remove some")
    return tuple(unique([(name, None) for name in names]))


def prices(value: object) -> FrozenMapping[FrozenMapping[Any]]:
    return parse_prices(mapped(value))


def prices_file(value: object) -> str:
    """Return the path of a price file, after a check of its content."""
    path = path_text(value)
    try:
        require_files(path)
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
    names = sorted(set(listed(value)))
    if not set(names) <= OPTIONAL_LABELS.keys():
        raise InvalidValue("has an unknown name; use service_tier, server_address or input_size")
    return tuple(names)


def metric_names(value: object) -> tuple[str, ...]:
    names = sorted(set(listed(value)))
    if not names or not set(names) <= SCHEME_METRICS.keys():
        raise InvalidValue("must be one or more of gen_ai, otel_genai and grafana_openai")
    return tuple(names)


def metrics_left_out(value: object) -> tuple[str, ...]:
    names = sorted(set(listed(value)))
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
