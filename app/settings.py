"""Every setting of Holdfast, read once from the environment: prefix ``HOLDFAST_``, nested with ``__``.

``HOLDFAST_PROVIDERS__HUNTER__BASE_URL`` is ``settings.providers.hunter.base_url``. Durations are seconds.
"""

from base64 import b64decode
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

PREFIX = "HOLDFAST_"


class SettingsError(Exception):
    """A setting is wrong or missing. The message is one line that names each variable."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
# In a header of our requests.
MailAddress = Annotated[str, Field(pattern=r"^[!-~]+@[!-~]+$", max_length=254)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class DatabaseSettings(_Section):
    """Pools of one process. The worker's flushes and lookups share `pool_size` connections."""

    pool_size: Count = 10
    statement_timeout_seconds: Positive = 60


class TemporalSettings(_Section):
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
    fairness_weights: dict[UUID, Annotated[float, Field(ge=0.001, le=1000)]] = {}


class BreakerSettings(_Section):
    """When a circuit opens: `fail_max` failures in a row, or `failure_rate` of the last `window_calls` calls,
    in either case on evidence from `min_keys` different looked-up keys. An answer that takes longer than `slow_seconds`
    is a failure in the rate; None: than 0.8 of the provider's `timeout_seconds`, and never where each input names the
    host that answers."""

    fail_max: Count = 5
    failure_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    window_calls: Count = 50
    min_keys: Count = 5
    reset_seconds: Positive = 30
    slow_seconds: Positive | None = None


class QuotaWindow(_Section):
    """No more than `calls` in any `seconds`, with one credential, of all processes together."""

    calls: Annotated[int, Field(ge=1, le=1_000_000)]
    seconds: Annotated[int, Field(ge=1, le=86_400)]


class ProviderSettings(_Section):
    """One provider. `credit_cost` is what a workspace pays for a found result, `own_credential_cost` where the call was
    made with its own credential; `concurrency` is the bulkhead: how many calls one worker process has in flight at the
    most; `quotas`: how many calls may be made in how many seconds, all of them together. `by_default`: jobs that name
    no providers ask it."""

    enabled: bool = True
    by_default: bool = True
    base_url: str | None = None
    api_key: SecretStr | None = None
    credit_cost: Annotated[int, Field(ge=0)] = 1
    own_credential_cost: Annotated[int, Field(ge=0)] = 0
    concurrency: Count = 100
    timeout_seconds: Positive = 10
    quotas: tuple[QuotaWindow, ...] = ()
    breaker: BreakerSettings = BreakerSettings()


# A class each, because a section that the environment gives in part takes the rest from its class.
class WebsiteSettings(ProviderSettings):
    """`base_url`: the pages of all hosts come from there, as ``{base_url}/{scheme}/{host}{path}`` (the sandbox)."""


class DnsSettings(ProviderSettings):
    """`resolver` is ``host:port`` of the resolver to ask; the system's own where it is left out."""

    resolver: str | None = None
    timeout_seconds: Positive = 5


class HunterSettings(ProviderSettings):
    """`quotas` as its documents state them for searches and enrichment, whose answers tell nothing of them."""

    base_url: str | None = "https://api.hunter.io/v2"
    credit_cost: Annotated[int, Field(ge=0)] = 2
    quotas: tuple[QuotaWindow, ...] = (QuotaWindow(calls=15, seconds=1), QuotaWindow(calls=500, seconds=60))


class ApolloSettings(ProviderSettings):
    """`quotas` as its documents state them for enrichment in paid plans; its answers tell of lower ones."""

    base_url: str | None = "https://api.apollo.io/api/v1"
    credit_cost: Annotated[int, Field(ge=0)] = 3
    quotas: tuple[QuotaWindow, ...] = (QuotaWindow(calls=1000, seconds=60),)


class HunterVerifierSettings(ProviderSettings):
    """Hunter's e-mail verifier: limits and price of its own. `quotas` as its documents state them."""

    base_url: str | None = "https://api.hunter.io/v2"
    # A job that wants its addresses verified says so.
    by_default: bool = False
    # It talks to the mail server of the address.
    timeout_seconds: Positive = 25
    quotas: tuple[QuotaWindow, ...] = (QuotaWindow(calls=10, seconds=1), QuotaWindow(calls=300, seconds=60))


class ClearbitSettings(ProviderSettings):
    """`base_url`: for both hosts, the person's and the company's, below ``/person`` and ``/company`` (the sandbox).
    `quotas` as its documents state them; its answers tell of them. What it still works out is asked for every
    `poll_seconds`: its documents say after minutes."""

    credit_cost: Annotated[int, Field(ge=0)] = 3
    poll_seconds: Annotated[float, Field(gt=0, le=3600)] = 60
    quotas: tuple[QuotaWindow, ...] = (QuotaWindow(calls=600, seconds=60),)


class PeopleDataLabsSettings(ProviderSettings):
    """`quotas` as its documents state them for enrichment in paid plans; its answers tell of lower ones. A match of
    which it is less sure than `min_likelihood` of ten is a miss, which it does not charge for."""

    base_url: str | None = "https://api.peopledatalabs.com/v5"
    min_likelihood: Annotated[int, Field(ge=1, le=10)] = 5
    credit_cost: Annotated[int, Field(ge=0)] = 3
    timeout_seconds: Positive = 20
    quotas: tuple[QuotaWindow, ...] = (QuotaWindow(calls=1000, seconds=60),)


class FreeSettings(ProviderSettings):
    """A public source, which costs us nothing. Some allow so few calls that a list would wait for days: a job asks
    those that it names."""

    by_default: bool = False
    credit_cost: Annotated[int, Field(ge=0)] = 0
    timeout_seconds: Positive = 15


class RdapSettings(FreeSettings):
    """`base_url`: a server that redirects to the registry of each domain. `quotas` as users of rdap.org report them."""

    base_url: str | None = "https://rdap.org"
    concurrency: Count = 10
    quotas: tuple[QuotaWindow, ...] = (QuotaWindow(calls=10, seconds=10),)


class GleifSettings(FreeSettings):
    """`quotas` as users report it."""

    base_url: str | None = "https://api.gleif.org/api/v1"
    concurrency: Count = 10
    quotas: tuple[QuotaWindow, ...] = (QuotaWindow(calls=60, seconds=60),)


class WikidataSettings(FreeSettings):
    """`contact` is the mail address that it asks callers to give. It allows a client a minute of work in each minute,
    which `quotas` takes for a second a query."""

    base_url: str | None = "https://query.wikidata.org"
    contact: MailAddress = "holdfast@localhost"
    timeout_seconds: Positive = 60
    # Parallel queries of one client that it allows.
    concurrency: Count = 5
    quotas: tuple[QuotaWindow, ...] = (QuotaWindow(calls=60, seconds=60),)


class EdgarSettings(FreeSettings):
    """`base_url`: for both hosts, ``www.sec.gov`` below ``/www`` and ``data.sec.gov`` below ``/data`` (the sandbox).
    `contact` is the mail address that the SEC asks callers to give. It allows ten requests a second: `quotas` leaves
    one for the list of companies."""

    contact: MailAddress = "holdfast@localhost"
    concurrency: Count = 10
    quotas: tuple[QuotaWindow, ...] = (QuotaWindow(calls=9, seconds=1),)


class GithubSettings(FreeSettings):
    """`api_key` is a token; `quotas` are those of calls with one. Without it its answers tell of 60 an hour."""

    base_url: str | None = "https://api.github.com"
    concurrency: Count = 10
    quotas: tuple[QuotaWindow, ...] = (QuotaWindow(calls=5000, seconds=3600),)


class ProvidersSettings(_Section):
    website: WebsiteSettings = WebsiteSettings()
    dns: DnsSettings = DnsSettings()
    rdap: RdapSettings = RdapSettings()
    gleif: GleifSettings = GleifSettings()
    wikidata: WikidataSettings = WikidataSettings()
    edgar: EdgarSettings = EdgarSettings()
    github: GithubSettings = GithubSettings()
    hunter: HunterSettings = HunterSettings()
    hunter_verifier: HunterVerifierSettings = HunterVerifierSettings()
    apollo: ApolloSettings = ApolloSettings()
    clearbit: ClearbitSettings = ClearbitSettings()
    peopledatalabs: PeopleDataLabsSettings = PeopleDataLabsSettings()


class EnrichmentSettings(_Section):
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


class OutboxSettings(_Section):
    poll_seconds: Positive = 1
    lease_seconds: Positive = 30
    dead_after_seconds: Positive = 3600
    reconcile_every_seconds: Positive = 60
    stale_after_seconds: Positive = 120


class WebhookSettings(_Section):
    """Where events may go, and how. `allow_private`, for development: to addresses inside, by http, and to any port;
    else to public addresses by https, at the ports 443, 80 and `allowed_ports`. An answer may take `timeout_seconds`;
    an endpoint has `concurrency` attempts under way in all."""

    allow_private: bool = False
    allowed_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = ()
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 20
    concurrency: Annotated[int, Field(ge=1, le=100)] = 10


class OutageSettings(_Section):
    # How soon after the close workspaces are told of it, and it is seen that nothing waits any more.
    sweep_every_seconds: Positive = 2


class AuthSettings(_Section):
    """Sign-in. `signing_keys` are Ed25519 private keys in PEM by their id: the last one signs, all are accepted.
    Without one people cannot sign in, and API keys are the only way in."""

    signing_keys: dict[str, SecretStr] = {}
    issuer: str = "holdfast"
    audience: str = "holdfast-api"
    access_token_seconds: Count = 900
    # A sign-in that is not refreshed for so long has ended.
    session_days: Count = 30
    link_seconds: Count = 900
    invitation_days: Count = 7


class MailSettings(_Section):
    """How mails leave: by SMTP, or, where `directory` is set, as ``.eml`` files in it. With neither none is sent."""

    sender: str = "Holdfast <holdfast@localhost>"
    directory: Path | None = None
    smtp_host: str | None = None
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 587
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: Literal["starttls", "implicit", "none"] = "starttls"


class CredentialSettings(_Section):
    """The key-encryption keys of provider credentials: 32 bytes in base64 by their id. The last one wraps, all unwrap.
    Without one no credential can be stored."""

    keys: dict[Annotated[str, Field(min_length=1, max_length=64)], KeyEncryptionKey] = {}


class RateLimitSettings(_Section):
    """Requests a minute: `auth` by client address, `api` and `upload` by caller. 0 switches a limit off."""

    auth: Annotated[int, Field(ge=0)] = 30
    api: Annotated[int, Field(ge=0)] = 1200
    upload: Annotated[int, Field(ge=0)] = 60


class CreditsSettings(_Section):
    # The workspace is told when fewer credits than this are available; 0: never.
    low_threshold: Annotated[int, Field(ge=0)] = 100
    expire_every_seconds: Positive = 60
    audit_every_seconds: Annotated[float, Field(ge=60)] = 3600
    # What a workspace starts with that somebody makes for themselves.
    signup_grant: Annotated[int, Field(ge=0, le=10**12)] = 1_000
    local_grant: Annotated[int, Field(ge=0, le=10**12)] = 1_000_000


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
