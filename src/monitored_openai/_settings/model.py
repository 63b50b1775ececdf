"""`MonitoringSettings`: all settings in one frozen value, validated when it is created."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, Unpack

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    SecretStr,
    SerializationInfo,
    ValidationError,
    field_serializer,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from monitored_openai._labels import OPTIONAL_LABELS, InvalidValue
from monitored_openai._logging import DECIDED, logger
from monitored_openai._metrics.metric_set import Histograms
from monitored_openai._redaction.presets import RedactionPreset
from monitored_openai._settings import forms, paths, privacy, urls, validators
from monitored_openai._settings.arguments import SettingsArguments
from monitored_openai._settings.faults import Conflicts, fault_lines
from monitored_openai._settings.urls import SIGNALS, MetricsProtocol, Signal
from monitored_openai._settings.variables import ENV_PREFIX, UNKNOWN_VARIABLES, Variables

_RANDOM_TEXT = "`python -c 'import secrets; print(secrets.token_hex(32))'`"


class SettingsError(ValueError):
    """Invalid settings. The message has one line per field: its name, the fault and the fix."""


class MonitoringSettings(BaseSettings):
    """All settings of the monitoring, validated and frozen.

    The constructor reads each field that is not an argument from an environment variable. The name of the variable is
    ``MONITORED_OPENAI_`` plus the field's name in capitals. In a variable, write a list as ``a,b`` or JSON, and a mapping
    as ``k=v,k=v`` or JSON. Settings with equal fields are equal and have the same hash.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        enable_decoding=False,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        allow_inf_nan=False,
        defer_build=True,  # the schema is built by the first settings, not by the import
    )

    metrics_protocol: MetricsProtocol = "remote_write"
    """Protocol of the pushed metrics: `remote_write` (Prometheus) or `influx` (Influx line protocol)."""
    metrics_url: Annotated[str | None, PlainValidator(validators.metrics_url)] = None
    """URL to which the library pushes metrics. If it has no path, the library adds the standard path. If unset, the
    library keeps the metrics in memory.
    """
    logs_url: Annotated[
        str | None, validators.optional(lambda value: urls.push_url(forms.plain_text(value), "loki"))
    ] = None
    """URL of the Loki to which the library pushes log entries. If it has no path, the library adds the standard path.
    If unset, the library creates no log entries.
    """
    metrics_username: validators.Username = None
    """User name for `metrics_url`; on Grafana Cloud, the instance ID of Prometheus."""
    logs_username: validators.Username = None
    """User name for `logs_url`; on Grafana Cloud, the instance ID of Loki."""
    access_token: validators.Token = None
    """Token or password for both URLs. The library sends it as Basic authentication for a URL with a user name, else as a
    Bearer token.
    """
    metrics_token: validators.Token = None
    """Token or password for `metrics_url`; takes precedence over `access_token`."""
    logs_token: validators.Token = None
    """Token or password for `logs_url`; takes precedence over `access_token`."""
    tenant_id: Annotated[str | None, validators.optional(lambda value: urls.tenant(validators.identifier(value)))] = (
        None
    )
    """Tenant of a self-hosted Mimir or Loki, for the header `X-Scope-OrgID`."""
    headers: Annotated[Mapping[str, SecretStr], PlainValidator(validators.headers)] = validators.NO_ITEMS
    """More headers for every push, except those that the protocol fixes, such as `Content-Type`."""
    verify: Annotated[bool | str, PlainValidator(paths.verify)] = True
    """CA certificates that the library trusts: `True` for those of the package `certifi`, or the path of your own ones, in
    a PEM file or a directory. `False` turns verification off; you can set `False` only in code.
    """
    client_cert: Annotated[tuple[str, ...] | None, validators.optional(paths.client_cert)] = None
    """Client certificate for TLS: the path of one PEM file with certificate and key, or the paths of both files."""
    proxy: Annotated[SecretStr | None, validators.optional(validators.proxy)] = None
    """URL of the HTTP proxy for the pushes. The library does not read `HTTP_PROXY` and similar variables."""
    allow_insecure: bool = False
    """Whether to allow credentials over http:// to another machine, and link-local addresses."""

    environment: validators.LabelValue = "default"
    """Value of the label `environment` of all metrics and log entries."""
    job: validators.LabelValue = "integrations/openai"
    """Value of the label `job` of all metrics and log entries."""
    service_name: validators.OptionalLabelValue = Field(
        default_factory=validators.otel_service_name, validate_default=True
    )
    """Value of the label `service_name` of all metrics and log entries."""
    instance: validators.LabelValue = Field(default_factory=validators.host_name, validate_default=True)
    """First part of the metric label `instance`. The library adds a part that is unique to each process or, with
    `host_dir`, to each common set of series.
    """
    extra_labels: Annotated[Mapping[str, str], PlainValidator(validators.extra_labels)] = validators.NO_ITEMS
    """More labels for all metrics and log entries, at most 10."""
    label_names: Annotated[tuple[str, ...], PlainValidator(validators.label_names)] = ()
    """Names of the request attributes that become metric labels, at most 10."""
    optional_labels: Annotated[tuple[str, ...], PlainValidator(validators.optional_labels)] = ()
    """Optional labels of the metrics about finished calls: `service_tier` (of the response), `server_address` (host of the
    API) and `input_size` (range of the number of input tokens). Each label multiplies the number of series by the number
    of its values.
    """
    metric_names: Annotated[tuple[str, ...], PlainValidator(validators.metric_names)] = ("gen_ai",)
    """Sets of metrics that the library pushes: one or more of `gen_ai`, which the package's dashboards read, `otel_genai`
    (the names and labels that the dashboards of Grafana Cloud's AI Observability and of LiteLLM read) and `grafana_openai`
    (the series of the predecessor `grafana-openai-monitoring`).
    """
    histograms: Histograms = "lean"
    """Detail of the metrics. `lean`: 12 buckets for the duration and for the time to the first chunk, only sum and count
    for other times, a histogram of tokens only with `otel_genai`. `coarse`: the same with 7 buckets. `full`: every metric
    with all its buckets.
    """
    metrics_left_out: Annotated[tuple[str, ...], PlainValidator(validators.metrics_left_out)] = ()
    """Names of metrics that the library leaves out. Panels that show these metrics are then empty. The settings refuse a
    metric that the dashboards or the alerts need for correct results.
    """
    provider: validators.OptionalLabelValue = None
    """Value of the label `gen_ai_provider_name`. If unset, the library derives it from the API's host."""
    max_label_sets: validators.Whole = Field(500, ge=1, le=100_000)
    """Largest number of label sets of each metric. The library counts calls with a further label set under the label value
    `other`.
    """
    log_shards: validators.Whole = Field(1, ge=1, le=128)
    """Number of Loki streams over which the library distributes log entries. Raise it if one stream exceeds Loki's limit
    of bytes per second.
    """

    capture_content: bool = True
    """Whether log entries contain the requests and the responses."""
    redact: Annotated[tuple[str, ...] | Callable[[str, str], str], PlainValidator(privacy.redact)] = ()
    """Regular expressions whose matches the library removes from content, or a function `(text, field) -> text` that
    returns the text to send.
    """
    redact_presets: Annotated[tuple[RedactionPreset, ...], PlainValidator(privacy.redact_presets)] = ()
    """Kinds of personal data that the library removes from content before it applies `redact`: `email` (addresses),
    `phone` (numbers), `card` (numbers of payment cards) and `iban` (bank account numbers).
    """
    hash_attributes: Annotated[tuple[str, ...], PlainValidator(privacy.hash_attributes)] = ()
    """Names of attributes, and of fields of the request such as `user`, `safety_identifier` and
    `metadata.NAME`. The library replaces their values with keyed hashes in log entries, labels and `on_record`.
    """
    hash_secret: Annotated[SecretStr | None, validators.optional(privacy.hash_secret)] = None
    """Key of the hashes for `hash_attributes`, at least 16 characters. Processes with the same key create the same hashes.
    """
    max_content_bytes: validators.Whole = Field(240 * 1024, ge=1024, le=240 * 1024)
    """Largest size of a log entry in bytes. The library cuts longer content and marks the entry as cut. The default is
    below Loki's default limit of 256 KiB per line.
    """
    log_sample_ratio: validators.Number = Field(1.0, ge=0, le=1)
    """Share of successful calls that get a log entry. Failed calls always get one."""
    inject_stream_usage: bool = True
    """Whether the client requests the usage of a stream if the caller does not. It then hides the chunk that contains
    only this usage.
    """
    prices: Annotated[Mapping[str, Mapping[str, Any]], PlainValidator(validators.prices)] = validators.NO_ITEMS
    """Your own prices by model, such as `{"gpt-4o": {"input": 2.5, "cached_input": 1.25, "output": 10}}` in USD per million
    tokens. They take precedence over the published prices. The page on prices lists all kinds of prices. In a variable,
    write this mapping as JSON.
    """
    prices_file: Annotated[str | None, validators.optional(validators.prices_file)] = None
    """Path of a file with prices in the form of `prices`: TOML if its name ends in `.toml`, else JSON. The library reads
    the file again after a change, and keeps the last valid prices if the changed file is invalid. For a model in both,
    `prices` takes precedence.
    """
    price_updates: Annotated[str | None, PlainValidator(validators.price_updates)] = None
    """Source of newer published prices, which the library downloads once a day: `True` for the table of `genai-prices`, or
    the https URL of a table in its format. If unset, the library uses the prices of the installed `genai-prices`.
    """
    azure_deployment: Literal["global", "data_zone", "regional", "provisioned"] | None = None
    """Type of your Azure deployments, which decides their prices. If unset, the library prices calls to Azure as those of
    a global deployment and marks their cost as incomplete.
    """
    on_record: Annotated[Callable[..., None] | None, validators.optional(privacy.on_record)] = None
    """Function that the exporter's thread calls with the `CallRecord` of each finished call, after it has priced the call.
    """

    push_interval: Annotated[float | None, BeforeValidator(forms.not_bool)] = Field(None, ge=0.01, le=60)
    """Seconds between two pushes of metrics. If unset, 60 for a host of grafana.net and 15 for any other."""
    log_linger: validators.Number = Field(1.0, ge=0, le=60)
    """Longest time in seconds that a log entry waits, so that later entries can go out in the same request."""
    queue_size: validators.Whole = Field(50_000, ge=1, le=200_000)
    """Largest number of calls whose content waits in memory for delivery. A call beyond it gets no log entry
    and counts as `queue_full`; the metrics still count it.
    """
    queue_bytes: validators.Whole = Field(32 * 1024 * 1024, ge=1024, le=1024**3)
    """Largest number of bytes of content that wait in memory for delivery. A call beyond it gets no log entry, as for
    `queue_size`. The value must be at least `max_content_bytes`.
    """
    spool_dir: Annotated[str | None, validators.optional(paths.spool_dir)] = None
    """Absolute path of the directory in which log entries and counter snapshots wait for delivery, so that they survive
    a crash. Its files have mode 0600 and contain the redacted requests and responses in plain text. If unset, both wait
    only in memory.
    """
    host_dir: Annotated[str | None, validators.optional(paths.host_dir)] = None
    """Absolute path of a directory on a local disk, in which the processes of this host keep the totals of their metrics.
    They then push one common set of series instead of one for each process. May be the same as `spool_dir`.
    """
    spool_bytes: validators.Whole = Field(256 * 1024 * 1024, ge=8 * 1024 * 1024, le=1024**4)
    """Largest number of bytes that all processes together store in `spool_dir`. If an entry would exceed it, the library
    drops the oldest entries.
    """
    spool_age: validators.Number = Field(86_400.0, ge=60, le=6 * 86_400)
    """Longest time in seconds that an entry waits in the spool. After this time the library drops the entry."""
    exit_timeout: validators.Number = Field(5.0, ge=0, le=300)
    """Longest time in seconds that the delivery at exit takes."""
    flush_on_call: bool = False
    """Whether each call waits up to 2 seconds for the delivery of its telemetry. A call in an event loop starts the
    delivery and does not wait; calls that end during a delivery share the next one.
    """
    handle_sigterm: bool = False
    """Whether the library delivers the remaining telemetry on SIGTERM before the program ends. If the program has its
    own handler, the library only starts the delivery and then runs the handler.
    """
    on_error: Literal["raise", "disable"] = "raise"
    """Reaction to invalid settings: `raise` raises `SettingsError`; `disable` logs the messages and monitors nothing."""
    log_warnings: bool = True
    """Whether the logger `monitored_openai` logs warnings. If a process uses several settings objects, the logger
    logs warnings if at least one of them has `True`.
    """
    enabled: bool = True
    """Whether the library monitors calls."""

    def __init__(self, *, _env_file: str | Path | None = None, **values: Unpack[SettingsArguments]) -> None:
        """Validate the arguments and the environment.

        Args:
            _env_file: Path of a `.env` file to read; the environment takes precedence over it. No file by default.
            **values: The fields, which take precedence over the environment.

        Raises:
            SettingsError: At least one field is invalid, or ``_env_file`` is not readable. One line for each fault.
        """
        wrong: list[str] = []
        try:
            if _env_file is not None and not Path(_env_file).expanduser().is_file():
                raise FileNotFoundError
            super().__init__(_env_file=_env_file, **values)
        except ValidationError as error:
            wrong = fault_lines(error, fields=type(self).model_fields, given=values.keys())
        except (OSError, UnicodeDecodeError):
            wrong = ["_env_file: is not a readable file of UTF-8 text; correct its path or its content"]
        if wrong:  # raised here and not above: the caught errors hold the values
            raise SettingsError("\n".join(wrong))

    @classmethod
    def local(cls, url: str = urls.LOCAL_URL, **values: Unpack[SettingsArguments]) -> Self:
        """Return settings that push to the page of `monitored-openai local`.

        They push metrics every 2 seconds, and log entries after at most 0.5 seconds.

        Args:
            url: Address of the page.
            **values: More fields of the settings, which take precedence over these defaults.

        Returns:
            The settings.

        Raises:
            SettingsError: At least one field is invalid.
        """
        page: SettingsArguments = {
            "metrics_url": url,
            "logs_url": url,
            "metrics_protocol": "remote_write",
            "metric_names": ("gen_ai",),
            "push_interval": 2.0,
            "log_linger": 0.5,
            **values,
        }
        return cls(**page)

    @property
    def push_seconds(self) -> float:
        """Seconds between pushes of metrics: `push_interval`, or its default for the host of `metrics_url`."""
        if self.push_interval is not None:
            return self.push_interval
        return 60.0 if self.metrics_url and urls.is_grafana_cloud(self.metrics_url) else 15.0

    @property
    def shared_labels(self) -> dict[str, str]:
        """Labels of every series and every log stream, by name."""
        service = {"service_name": self.service_name} if self.service_name else {}
        return {"environment": self.environment, **service, **self.extra_labels}

    @property
    def metric_labels(self) -> dict[str, str]:
        """Labels of every series, by name; with `otel_genai`, also those by which its dashboards select series."""
        if "otel_genai" not in self.metric_names:
            return self.shared_labels
        selected = {"telemetry_sdk_name": "openlit", "deployment_environment": self.environment}
        return {**selected, "service_name": self.job, **self.shared_labels}

    def request_headers(self, signal: Signal) -> dict[str, str]:
        """Return the headers that these settings add to a push, with credentials in clear text.

        Args:
            signal: `metrics` or `logs`; each has its own credentials.

        Returns:
            The headers by name, without those that the protocol fixes.
        """
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        if self.tenant_id is not None:
            headers["X-Scope-OrgID"] = self.tenant_id
        _, username, token = self._destination(signal)
        if token is not None:
            headers["Authorization"] = urls.authorization(username, token.get_secret_value())
        return headers

    @property
    def hash_key(self) -> str | None:
        """The value of `hash_secret` in clear text."""
        return None if self.hash_secret is None else self.hash_secret.get_secret_value()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets that the pushes contain, in each form that a reply may repeat, in clear text; the longest first."""
        given = (*self.headers.values(), self.access_token, self.metrics_token, self.logs_token, self.proxy)
        texts = {secret.get_secret_value() for secret in given if secret is not None}
        sent = (self.request_headers(signal).get("Authorization", "") for signal in SIGNALS)
        texts |= {part for header in sent for part in (header, header.rpartition(" ")[2]) if part}
        return tuple(sorted(texts, key=len, reverse=True))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class passes it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, then the environment, then the `.env` file if one is named."""
        return init_settings, Variables(settings_cls, env_settings), Variables(settings_cls, dotenv_settings)

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if faults := list(self._faults()):
            raise Conflicts(faults)
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, data: dict[str, Any], validate: ModelWrapValidatorHandler[Self]) -> Self:
        data = dict(data)
        warnings: Mapping[str, str] = data.pop(UNKNOWN_VARIABLES, {})
        try:
            made = validate(_without_userinfo(data))
            _log_all(warnings if made.log_warnings else {})
            return made
        except (ValidationError, Conflicts) as error:
            _log_all(warnings)
            if data.get("on_error") != "disable":
                raise
            lines = fault_lines(error, fields=cls.model_fields)
        _log_once(logging.ERROR, "monitoring is disabled because of invalid settings: " + "; ".join(lines))
        return validate({"on_error": "disable", "enabled": False, "service_name": None, "instance": "localhost"})

    @field_serializer("*")
    def _dumped(self, value: object, info: SerializationInfo) -> object:
        return validators.plain(value, info.mode)

    def _destination(self, signal: Signal) -> tuple[str | None, str | None, SecretStr | None]:
        """Return URL, user name and token of a signal."""
        if signal == "metrics":
            return self.metrics_url, self.metrics_username, self.metrics_token or self.access_token
        return self.logs_url, self.logs_username, self.logs_token or self.access_token

    def _faults(self) -> Iterator[tuple[str, str]]:
        """Yield (field, text) for fields that conflict."""
        for signal in SIGNALS:
            yield from self._signal_faults(signal)
        if self.proxy is not None:
            proxy = self.proxy.get_secret_value()
            yield from self._address_faults("proxy", proxy, credentials="@" in proxy)
        names = {name.lower() for name in self.headers}
        if "authorization" in names and (self.access_token or self.metrics_token or self.logs_token):
            yield "headers", "sets authorization, and so does the token; remove one of them"
        if "x-scope-orgid" in names and self.tenant_id is not None:
            yield "headers", "sets x-scope-orgid, and so does tenant_id; remove one of them"
        yield from self._label_faults()
        if self.hash_attributes and self.hash_secret is None:
            yield "hash_secret", f"is required by hash_attributes; set it to a random text, such as from {_RANDOM_TEXT}"
        if self.queue_bytes < self.max_content_bytes:
            yield "queue_bytes", "is less than max_content_bytes, so a full log entry does not fit; raise it"

    def _label_faults(self) -> Iterator[tuple[str, str]]:
        names = {*self.label_names}
        if not self.extra_labels.keys().isdisjoint(names):
            yield "label_names", "has a name that extra_labels also has; remove one of them"
        if not self.metric_labels.keys().isdisjoint(names - self.extra_labels.keys()):
            yield "label_names", "has a label that otel_genai sets itself; remove it, or otel_genai from metric_names"
        taken = {*names, *self.extra_labels}
        if any(OPTIONAL_LABELS[name] in taken for name in self.optional_labels):
            yield "optional_labels", "has a name that label_names or extra_labels also has; remove one of them"

    def _signal_faults(self, signal: Signal) -> Iterator[tuple[str, str]]:
        url, username, token = self._destination(signal)
        if username is not None and token is None:
            yield f"{signal}_username", f"has no token; set access_token or {signal}_token"
        if username is None and token is not None and " " in token.get_secret_value():
            own_token = self.metrics_token if signal == "metrics" else self.logs_token
            field, missing = f"{signal}_token", f"{signal}_username"
            if own_token is None:  # the same text for both signals, so that they share a line
                field, missing = "access_token", "the missing metrics_username or logs_username"
            yield (
                field,
                f"has a space, which a Bearer token cannot contain; set {missing}, or copy the token again",
            )
        if url is not None:
            secret = token is not None or any(map(urls.is_secret_header, self.headers))
            yield from self._address_faults(f"{signal}_url", url, credentials=secret, proxy=self.proxy)

    def _address_faults(
        self, field: str, url: str, *, credentials: bool, proxy: SecretStr | None = None
    ) -> Iterator[tuple[str, str]]:
        if self.allow_insecure:
            return
        if urls.is_link_local(url):
            yield field, "is a link-local address, where clouds serve secrets; use another, or set allow_insecure=True"
        if credentials and not urls.is_private(url, proxy):
            yield field, "would carry credentials unencrypted; use https://, or set allow_insecure=True"


def _log_all(warnings: Mapping[str, str]) -> None:
    for name, text in warnings.items():
        _log_once(logging.WARNING, f"{name}: {text}")


@lru_cache(maxsize=256)
def _log_once(level: int, text: str) -> None:
    logger.log(level, "%s", text, extra={DECIDED: True})


def _without_userinfo(data: dict[str, Any]) -> dict[str, Any]:
    """Return ``data`` with user names and passwords moved from the URLs to their own fields."""
    moved = dict(data)
    for signal in SIGNALS:
        field = f"{signal}_url"
        if not isinstance(url := data.get(field), str):
            continue
        try:
            bare, *credentials = urls.split_userinfo(url)
        except InvalidValue:  # the validator of the field reports it
            continue
        moved[field] = bare
        for name, value in zip((f"{signal}_username", f"{signal}_token"), credentials, strict=True):
            if value is not None and data.get(name) is not None:
                raise Conflicts([(field, f"contains a credential, and {name} is also set; remove one of them")])
            if value is not None:
                moved[name] = value
    return moved
