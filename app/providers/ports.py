"""What the product needs of providers, as types. Adapters implement it; product domains import only this and `errors`.

Canonical fields and their meaning are those of docs/providers.md: domains lower-case punycode without ``www``,
countries ISO 3166-1 alpha-2 in ``country_code``, handles as URLs, empty strings never.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias, runtime_checkable
from uuid import UUID

from pydantic import SecretStr

from app.providers.errors import ProviderError

Entity = Literal["company", "person"]
JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"

COMPANY_FIELDS: tuple[str, ...] = (
    "name", "legal_name", "domain", "domain_aliases", "website", "description", "industry", "sector", "naics", "sic",
    "founded_year", "employee_count", "employee_range", "annual_revenue", "total_funding", "funding_stage", "type",
    "ticker", "exchange", "lei", "cik", "phone", "emails", "street", "city", "region", "postal_code", "country",
    "country_code", "linkedin_url", "twitter_handle", "facebook_handle", "crunchbase_handle", "github_org", "logo_url",
    "technologies", "tags", "parent_domain", "mail_provider", "has_spf", "has_dmarc", "domain_registered_at",
    "registrar",
)  # fmt: skip
PERSON_FIELDS: tuple[str, ...] = (
    "full_name", "first_name", "last_name", "email", "email_status", "personal_emails", "phone", "phones", "title",
    "seniority", "department", "role", "linkedin_url", "twitter_handle", "github_handle", "facebook_handle", "city",
    "region", "country", "country_code", "timezone", "company_name", "company_domain", "company_linkedin_url", "bio",
    "avatar_url",
)  # fmt: skip
FIELDS: Mapping[Entity, tuple[str, ...]] = {"company": COMPANY_FIELDS, "person": PERSON_FIELDS}

# What a record can be looked up by, as normalised input.
SUBJECT_KEYS: Mapping[Entity, tuple[str, ...]] = {
    "company": ("domain", "name", "linkedin_url"),
    "person": ("email", "full_name", "first_name", "last_name", "domain", "company_name", "linkedin_url"),
}
# What of that is enough to know a subject by, for whoever takes all there is.
SUFFICIENT_KEYS: Mapping[Entity, tuple[frozenset[str], ...]] = {
    "company": (frozenset({"domain"}), frozenset({"linkedin_url"}), frozenset({"name"})),
    "person": (
        frozenset({"email"}),
        frozenset({"linkedin_url"}),
        frozenset({"full_name", "domain"}),
        frozenset({"full_name", "company_name"}),
        frozenset({"first_name", "last_name", "domain"}),
        frozenset({"first_name", "last_name", "company_name"}),
    ),
}


def always() -> bool:
    """For calls that are made however long they waited."""
    return True


@dataclass(frozen=True, slots=True)
class Query:
    """One subject to look up. `subject` holds normalised inputs (a subset of SUBJECT_KEYS[entity]);
    `key` names it uniquely (``example.com``, ``ana@example.com``) and is what circuits count evidence by. `fields` are
    those that are asked for, None for all: an adapter may leave out the others. `api_key` is the workspace's own key to
    the provider, None for that of the installation. `workspace_id` is whose call it is. `is_wanted` is asked once more
    after a wait, before the call is made. `handle` is that of an earlier Pending: the call asks whether its answer is
    there, and buys nothing again."""

    entity: Entity
    key: str
    subject: Mapping[str, str]
    fields: Collection[str] | None = None
    api_key: SecretStr | None = None
    workspace_id: UUID | None = None
    is_wanted: Callable[[], bool] = always
    handle: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Something is known. `values` are canonical, never empty strings or None; `confidence` is 0..1 for each of
    them, with exceptions by field in `confidences`. `raw` is what the vendor said of this subject, in its own words."""

    values: Mapping[str, JsonValue]
    confidence: float = 1.0
    confidences: Mapping[str, float] = field(default_factory=dict)
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class Missed:
    """The provider answered that it does not know. `reason` is ``legal`` where it must not tell."""

    reason: Literal["unknown", "legal"] = "unknown"


@dataclass(frozen=True, slots=True)
class Pending:
    """The provider is still working it out, and may have charged for it: its answer is asked for by `handle`, not
    before `retry_after` seconds."""

    handle: str
    retry_after: float


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The host that the *input* names is dead or odd (website, dns): a result, free, and no outage."""

    reason: str


Answer = Found | Missed | Pending | Unreachable


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do. `fields` it can fill, by entity; `needs`: alternatives of subject keys that it can look
    up by, e.g. ``({"email"}, {"domain", "full_name"})``. `charges_on_miss`: the vendor takes its fee for a miss too.
    `bulk`: how many subjects it takes in one call, 1 for entities that are not there. `asks_named_hosts`: the host that
    answers is one that the input names, and how fast it does says nothing of the provider. `verifies_email`: it says of
    an address whether it works, as ``email_status``."""

    fields: Mapping[Entity, tuple[str, ...]]
    needs: Mapping[Entity, tuple[frozenset[str], ...]]
    requires_credential: bool
    charges_on_miss: bool = False
    bulk: Mapping[Entity, int] = field(default_factory=dict)
    asks_named_hosts: bool = False
    verifies_email: bool = False

    def can_look_up(self, query: Query) -> bool:
        """Whether the query holds enough for this provider."""
        return any(query.subject.keys() >= need for need in self.needs.get(query.entity, ()))


@dataclass(frozen=True, slots=True)
class Offer:
    """What is offered of a provider, known without opening a connection: by the installation, or to one workspace.

    `available`: it is enabled and has the credential that it needs. `own_credential`: that is the workspace's own, for
    whose use `credit_cost` is the `own_credential_cost`. `limits`: (calls, seconds) of each window, of all calls of the
    installation together, or of those with one credential of a workspace's own. `by_default`: jobs that name no
    providers ask it.
    """

    name: str
    capabilities: Capabilities
    credit_cost: int
    available: bool
    enabled: bool
    own_credential_cost: int
    own_credential: bool = False
    limits: Sequence[tuple[int, int]] = ()
    by_default: bool = True


@dataclass(frozen=True, slots=True)
class RateInfo:
    """What a provider says of one of its windows: `remaining` calls may be made before this one, `seconds` long, is
    spent."""

    seconds: int
    remaining: int


@runtime_checkable
class EnrichmentSource(Protocol):
    """A provider of facts about companies and people, behind the gate."""

    @property
    def name(self) -> str:
        """The registry name, ``hunter``."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def credit_cost(self) -> int:
        """Credits that a workspace pays for a found result."""

    @property
    def last_answer_at(self) -> float | None:
        """When the provider last answered anything in this process (a miss too), as a Unix time; None: never."""

    async def look_up(self, query: Query) -> Answer:
        """Make one call to the provider.

        Raises a ProviderError, of the class that says what follows. Cancellation aborts the call.
        """

    async def look_up_many(self, queries: Sequence[Query]) -> Sequence[Answer | ProviderError]:
        """Make one call to the provider for all of these, at most as many as `capabilities.bulk` says of their entity
        and none with a handle; in their order, what it says of each.

        Raises a ProviderError where the call as a whole failed.
        """

    async def verify(self, api_key: SecretStr) -> None:
        """Ask the provider, by one call that costs nothing, whether it takes this key.

        Raises a ProviderError: CredentialRejected or PaymentRequired where it does not.
        """


@dataclass(frozen=True, slots=True)
class CircuitView:
    """The circuit of one provider as people see it. `opens_until` is a Unix time, None unless open."""

    provider: str
    state: Literal["closed", "open", "half_open"]
    opens_until: float | None


@dataclass(frozen=True, slots=True)
class CircuitChange:
    """A change of a provider's circuit that has just been stored for the whole cluster.

    `opens_until` is the time of the next probe, None unless `state` is ``open``. `cause` tells what opened it: failures
    by code of their error (``{"errors": {"provider_outage": 4}}``), a `sample` message of one of them, which holds no
    secret, and where a person opened it their `reason`; empty where it is closed. `probes` counts those of this outage.
    """

    provider: str
    state: Literal["closed", "open", "half_open"]
    at: datetime
    opens_until: datetime | None
    cause: Mapping[str, JsonValue]
    probes: int


DeliveryError = Literal[
    "invalid_url", "address_refused", "name_not_resolved", "tls_failed", "not_connected", "timeout", "not_http",
    "answer_broken", "answer_too_large", "redirected", "gone", "throttled", "status",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Posted:
    """What came of a POST. `error` None: it was taken, by a whole answer with a status of 2xx. `answer` is how the
    body of the answer began, `retry_after` the seconds that it asks to wait, of 429 and 503."""

    status: int | None = None
    error: DeliveryError | None = None
    answer: bytes = b""
    retry_after: float | None = None


class Deliverer(Protocol):
    """Sends to addresses that users name."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Make one POST. Whatever is wrong with the host is a result; redirects are not followed.

        Cancellation aborts it.
        """
