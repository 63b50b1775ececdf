"""`SettingsArguments`: the static types that `MonitoringSettings(...)` accepts for each field.

A field often accepts more types than it returns: `label_names` accepts a list or the text `a,b` and returns a tuple.
A type checker cannot read this from the validators, so this mapping declares it. The meaning of each field is in the
docstrings of `MonitoringSettings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

from pydantic import SecretStr

from monitored_openai._metrics.metric_set import Histograms
from monitored_openai._redaction.presets import RedactionPreset
from monitored_openai._settings.urls import MetricsProtocol

if TYPE_CHECKING:
    from monitored_openai._record import CallRecord

Secret: TypeAlias = str | SecretStr
Identifier: TypeAlias = str | int
"""Text, or a whole number such as an instance ID of Grafana Cloud."""
Names: TypeAlias = str | list[str] | tuple[str, ...] | AbstractSet[str]
"""Several names: a collection, or text in the form `a,b` or a JSON list."""
Patterns: TypeAlias = str | list[str] | tuple[str, ...]
"""Several regular expressions in the order of their use: a list, a tuple, or text as for `Names`."""

Presets: TypeAlias = str | list[RedactionPreset] | tuple[RedactionPreset, ...] | AbstractSet[RedactionPreset]
"""Several presets: a collection of their names, or text as for `Names`."""


class SettingsArguments(TypedDict, total=False):
    """The keyword arguments of `MonitoringSettings`, one for each of its fields.

    The text form of a mapping is `k=v,k=v` or a JSON object.
    """

    metrics_protocol: MetricsProtocol
    metrics_url: str | None
    logs_url: str | None
    metrics_username: Identifier | None
    logs_username: Identifier | None
    access_token: Secret | None
    metrics_token: Secret | None
    logs_token: Secret | None
    tenant_id: Identifier | None
    headers: Mapping[str, Secret] | str
    verify: bool | str | Path
    client_cert: str | Path | Sequence[str | Path] | None
    proxy: Secret | None
    allow_insecure: bool

    environment: str
    job: str
    service_name: str | None
    instance: str
    extra_labels: Mapping[str, str] | str
    label_names: Names
    optional_labels: Names
    metric_names: Names
    histograms: Histograms
    metrics_left_out: Names
    provider: str | None
    max_label_sets: int
    log_shards: int

    capture_content: bool
    redact: Patterns | Callable[[str, str], str]
    redact_presets: Presets
    hash_attributes: Names
    hash_secret: Secret | None
    max_content_bytes: int
    log_sample_ratio: float
    inject_stream_usage: bool
    prices: Mapping[str, Mapping[str, object]] | str
    prices_file: str | Path | None
    price_updates: bool | str | None
    azure_deployment: Literal["global", "data_zone", "regional", "provisioned"] | None
    on_record: Callable[[CallRecord], object] | None

    push_interval: float | None
    log_linger: float
    queue_size: int
    queue_bytes: int
    spool_dir: str | Path | None
    host_dir: str | Path | None
    spool_bytes: int
    spool_age: float
    exit_timeout: float
    flush_on_call: bool
    handle_sigterm: bool
    on_error: Literal["raise", "disable"]
    log_warnings: bool
    enabled: bool
