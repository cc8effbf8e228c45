"""Every setting of Holdfast, read once from the environment: prefix ``HOLDFAST_``, nested with ``__``.

``HOLDFAST_PROVIDERS__HUNTER__BASE_URL`` is ``settings.providers.hunter.base_url``. Durations are seconds.
"""

from base64 import b64decode
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from app.provider_settings import Count, Positive, ProvidersSettings, Section

PREFIX = "HOLDFAST_"


class SettingsError(Exception):
    """A setting is wrong or missing. The message is one line that names each variable."""


def _postgres_url(value: SecretStr) -> SecretStr:
    try:
        url = make_url(value.get_secret_value())
    except ArgumentError as error:
        raise ValueError("is not a database URL") from error
    if url.drivername not in ("postgresql", "postgresql+psycopg"):
        raise ValueError("must begin with postgresql://")
    return value


def _network(value: str) -> str:
    try:
        ip_network(value)
    except ValueError as error:
        raise ValueError("must be an IP address or a network such as 10.0.0.0/8") from error
    return value


def _origin(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname or value != f"{url.scheme}://{url.netloc}":
        raise ValueError("must be an origin such as https://app.example.com: scheme, host, port, and nothing else")
    return value


def _key_encryption_key(value: SecretStr) -> SecretStr:
    try:
        size = len(b64decode(value.get_secret_value(), validate=True))
    except ValueError:
        size = 0
    if size != 32:
        raise ValueError("must be 32 bytes in base64")
    return value


PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
KeyEncryptionKey = Annotated[SecretStr, AfterValidator(_key_encryption_key)]


class DatabaseSettings(Section):
    """Pools of one process. The worker's flushes and lookups share `pool_size` connections."""

    pool_size: Count = 10
    statement_timeout_seconds: Positive = 60


class TemporalSettings(Section):
    """Where Temporal is. `ui_url` is for people: links in answers and on the terminal."""

    address: str = "127.0.0.1:7233"
    namespace: str = "default"
    tls: bool = False
    api_key: SecretStr | None = None
    ui_url: str | None = None
    # Put before each task queue's name, so that several stacks (and tests) can share one server.
    task_queue_prefix: str = ""
    # Where work of several workspaces waits, one of weight 2 is served twice as often as one of weight 1, which is that
    # of all that are not named: {"<workspace id>": 2.0}.
    fairness_weights: dict[UUID, Annotated[float, Field(ge=0.001, le=1000)]] = Field(default_factory=dict)


class EnrichmentSettings(Section):
    """The shape of a job; measured in docs/performance.md. `chunk` records a lookup, fewer towards the end of a job
    but not less than `smallest_chunk`; `window` chunks at a time; `calls_per_lookup` in flight in each. In one process
    a workspace has `calls_per_workspace` and `lookups_per_workspace` at one provider, and while others work there too
    `shared_calls_per_workspace`. Of its jobs with more than `small_job` records `jobs_per_workspace` are under way, the
    others queue. `flush_answers` or `flush_seconds` between two commits."""

    chunk: Count = 1000
    smallest_chunk: Count = 400
    window: Count = 4
    calls_per_lookup: Count = 100
    calls_per_workspace: Count = 100
    shared_calls_per_workspace: Count = 16
    lookups_per_workspace: Count = 4
    jobs_per_workspace: Count = 4
    small_job: Count = 100
    flush_answers: Count = 100
    flush_seconds: Positive = 0.5
    # A run of the workflow ends after so many chunks at the latest and continues as new.
    chunks_per_run: Count = 400
    # A record that one provider keeps failing, while its circuit stays closed, is given up after so many tries.
    max_tries: Count = 8
    # What a provider has not worked out by then, from when it was first asked, is given up.
    longest_pending_seconds: Positive = 3600
    max_rows: Count = 1_000_000


class OutboxSettings(Section):
    poll_seconds: Positive = 1
    lease_seconds: Positive = 30
    dead_after_seconds: Positive = 3600
    reconcile_every_seconds: Positive = 60
    stale_after_seconds: Positive = 120


class WebhookSettings(Section):
    """Where events may go, and how. `allow_private`, for development: to addresses inside, by http, and to any port;
    else to public addresses by https, at the ports 443, 80 and `allowed_ports`. An answer may take `timeout_seconds`;
    an endpoint has `concurrency` attempts under way in all."""

    allow_private: bool = False
    allowed_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = ()
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 20
    concurrency: Annotated[int, Field(ge=1, le=100)] = 10


class OutageSettings(Section):
    # How soon after the close workspaces are told of it, and it is seen that nothing waits any more.
    sweep_every_seconds: Positive = 2


class AuthSettings(Section):
    """Sign-in. `signing_keys` are Ed25519 private keys in PEM by their id: the last one signs, all are accepted.
    Without one people cannot sign in, and API keys are the only way in."""

    signing_keys: dict[str, SecretStr] = Field(default_factory=dict)
    issuer: str = "holdfast"
    audience: str = "holdfast-api"
    access_token_seconds: Count = 900
    # A sign-in that is not refreshed for so long has ended.
    session_days: Count = 30
    link_seconds: Count = 900
    invitation_days: Count = 7


class MailSettings(Section):
    """How mails leave: by SMTP, or, where `directory` is set, as ``.eml`` files in it. With neither none is sent."""

    sender: str = "Holdfast <holdfast@localhost>"
    directory: Path | None = None
    smtp_host: str | None = None
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 587
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: Literal["starttls", "implicit", "none"] = "starttls"


class CredentialSettings(Section):
    """The key-encryption keys of provider credentials: 32 bytes in base64 by their id. The last one wraps, all unwrap.
    Without one no credential can be stored."""

    keys: dict[Annotated[str, Field(min_length=1, max_length=64)], KeyEncryptionKey] = Field(default_factory=dict)


class RateLimitSettings(Section):
    """Requests a minute: `auth` by client address, `api` and `upload` by caller. 0 switches a limit off."""

    auth: Annotated[int, Field(ge=0)] = 30
    api: Annotated[int, Field(ge=0)] = 1200
    upload: Annotated[int, Field(ge=0)] = 60


class CreditsSettings(Section):
    # The workspace is told when fewer credits than this are available; 0: never.
    low_threshold: Annotated[int, Field(ge=0)] = 100
    expire_every_seconds: Positive = 60
    audit_every_seconds: Annotated[float, Field(ge=60)] = 3600
    # What a workspace starts with that somebody makes for themselves.
    signup_grant: Annotated[int, Field(ge=0, le=10**12)] = 1_000
    local_grant: Annotated[int, Field(ge=0, le=10**12)] = 1_000_000


class BillingSettings(Section):
    """`plans_file`: other plans than app/billing/plans.toml. `webhook_secrets` sign what Stripe sends; each is taken,
    so that they can be rolled. A workspace whose payment failed keeps its plan for `grace_days`. After a checkout or
    the portal people are sent to `return_url`, where the request names none; those that it may name are at the same
    origin, or at one of `return_origins`."""

    plans_file: Path | None = None
    webhook_secrets: tuple[SecretStr, ...] = ()
    grace_days: Annotated[int, Field(ge=0, le=90)] = 7
    return_url: str = "http://127.0.0.1:8000"
    return_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    reconcile_every_seconds: Annotated[float, Field(ge=60)] = 86_400
    usage_every_seconds: Annotated[float, Field(ge=60)] = 3600


class Settings(BaseSettings):
    """The settings of one process. `load_settings` is the way to make one."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="ignore", frozen=True)

    environment: Literal["local", "production"] = "production"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    # Role holdfast_app: row-level security applies. Used by the API and by activities.
    database_url: PostgresUrl
    # Role holdfast_platform: the relay and the sweeps. Never given to the API process.
    platform_database_url: PostgresUrl | None = None
    # The owner of the tables: migrations only.
    owner_database_url: PostgresUrl | None = None
    database: DatabaseSettings = DatabaseSettings()
    temporal: TemporalSettings = TemporalSettings()
    providers: ProvidersSettings = ProvidersSettings()
    enrichment: EnrichmentSettings = EnrichmentSettings()
    outbox: OutboxSettings = OutboxSettings()
    outages: OutageSettings = OutageSettings()
    webhooks: WebhookSettings = WebhookSettings()
    credits: CreditsSettings = CreditsSettings()
    auth: AuthSettings = AuthSettings()
    mail: MailSettings = MailSettings()
    credentials: CredentialSettings = CredentialSettings()
    rate_limits: RateLimitSettings = RateLimitSettings()
    billing: BillingSettings = BillingSettings()
    # What vendors answered in their own words is kept for so many days; 0: not at all.
    raw_retention_days: Annotated[int, Field(ge=0, le=3650)] = 30
    # Where people reach the API: links in mails begin with it.
    public_url: str = "http://127.0.0.1:8000"
    # Shared rate limits and caches of several API processes; each has its own without it.
    redis_url: SecretStr | None = None
    # Addresses or networks of the proxies whose X-Forwarded-For is believed.
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    # Origins whose pages may call the API from a browser.
    cors_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    # Where the worker serves /metrics; 0 takes a free port, None serves none.
    worker_metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None


def load_settings() -> Settings:
    """Read the environment.

    Raises SettingsError with one line that names each variable that is wrong or missing.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_problem(each["loc"], each["msg"]) for each in error.errors())) from None


def _problem(location: tuple[int | str, ...], message: str) -> str:
    variable = PREFIX + "__".join(str(part).upper() for part in location)
    return f"{variable}: {message.removeprefix('Value error, ')}"
