"""The settings of each provider, below ``HOLDFAST_PROVIDERS__``; app/settings.py reads them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

# In a header of our requests.
MailAddress = Annotated[str, Field(pattern=r"^[!-~]+@[!-~]+$", max_length=254)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of the settings: nothing unknown is in it, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BreakerSettings(Section):
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


class QuotaWindow(Section):
    """No more than `calls` in any `seconds`, with one credential, of all processes together."""

    calls: Annotated[int, Field(ge=1, le=1_000_000)]
    seconds: Annotated[int, Field(ge=1, le=86_400)]


class GateSettings(Section):
    """What every provider has. `concurrency` is the bulkhead: how many calls one worker process has in flight at the
    most; `quotas`: how many calls may be made in how many seconds, all of them together."""

    enabled: bool = True
    base_url: str | None = None
    api_key: SecretStr | None = None
    concurrency: Count = 100
    timeout_seconds: Positive = 10
    quotas: tuple[QuotaWindow, ...] = ()
    breaker: BreakerSettings = BreakerSettings()


class ProviderSettings(GateSettings):
    """A provider of facts. `credit_cost` is what a workspace pays for a found result, `own_credential_cost` where the
    call was made with its own credential. `by_default`: jobs that name no providers ask it."""

    by_default: bool = True
    credit_cost: Annotated[int, Field(ge=0)] = 1
    own_credential_cost: Annotated[int, Field(ge=0)] = 0


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


class StripeBreakerSettings(BreakerSettings):
    """Evidence is counted by customers, of which there may be few, and by kinds of lists."""

    min_keys: Count = 3


class StripeSettings(GateSettings):
    """The payment provider; without an `api_key` there is no billing. `quotas` as its documents state them for reads
    and for writes, here taken for both together. `meter` is the event name of the meter that usage is reported to, and
    `meter_id` its id; without them none is."""

    base_url: str | None = "https://api.stripe.com"
    timeout_seconds: Positive = 30
    concurrency: Count = 20
    quotas: tuple[QuotaWindow, ...] = (QuotaWindow(calls=100, seconds=1),)
    breaker: StripeBreakerSettings = StripeBreakerSettings()
    meter: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    meter_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None

    @field_validator("api_key")
    @classmethod
    def _none_where_empty(cls, key: SecretStr | None) -> SecretStr | None:
        return key or None


class ProvidersSettings(Section):
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
    stripe: StripeSettings = StripeSettings()
