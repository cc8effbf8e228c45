"""Apollo.io, REST API v1 (docs/providers.md, Apollo).

A miss is a 200, with the record null, empty or left out. Bodies are not always JSON. There is no documented status for
used-up credits, so a 4xx that speaks of credits means that, whatever its number.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from pydantic import SecretStr

from app.providers import normalise
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    PaymentRequired,
    ProviderError,
    RateLimited,
)
from app.providers.http import HttpAnswer, VendorClient, is_json, retry_after, status_failure
from app.providers.ports import Answer, Capabilities, Found, JsonValue, Missed, Query, RateInfo
from app.providers.wire import Json, decode_object, items, section
from app.settings import ProviderSettings

BASE_URL = "https://api.apollo.io/api/v1"

_KEY_HEADER = "x-api-key"

# What stands for an address that exists but is not unlocked. As an input it makes Apollo miss.
_LOCKED_EMAIL = "email_not_unlocked@"
_EMAIL_STATUS = {"verified": "valid"}
# Apollo states no confidence. An address that it has not verified is often a guess from the company's pattern.
UNVERIFIED_CONFIDENCE = 0.5

# What is left of the windows, by their seconds. A window without a limit has no such header.
_LEFT_HEADERS = {60: "x-minute-requests-left", 3600: "x-hourly-requests-left", 86_400: "x-24-hour-requests-left"}

_COMPANY_PARAMS = {"domain": "domain", "linkedin_url": "linkedin_url", "name": "name"}
_PERSON_PARAMS = {
    "email": "email",
    "linkedin_url": "linkedin_url",
    "full_name": "name",
    "first_name": "first_name",
    "last_name": "last_name",
    "domain": "domain",
    "company_name": "organization_name",
}


class Apollo:
    """Companies by domain, LinkedIn page or name; people by e-mail address, LinkedIn profile, or name and company."""

    name = "apollo"
    capabilities = Capabilities(
        fields={
            "company": (
                "name",
                "website",
                "description",
                "industry",
                "founded_year",
                "employee_count",
                "annual_revenue",
                "total_funding",
                "ticker",
                "phone",
                "street",
                "city",
                "region",
                "postal_code",
                "country",
                "linkedin_url",
                "twitter_handle",
                "facebook_handle",
                "logo_url",
                "technologies",
                "tags",
            ),
            "person": (
                "full_name",
                "first_name",
                "last_name",
                "email",
                "email_status",
                "title",
                "seniority",
                "department",
                "linkedin_url",
                "twitter_handle",
                "github_handle",
                "city",
                "region",
                "country",
                "company_name",
                "company_domain",
                "bio",
                "avatar_url",
            ),
        },
        needs={
            "company": (frozenset({"domain"}), frozenset({"linkedin_url"}), frozenset({"name"})),
            "person": (
                frozenset({"email"}),
                frozenset({"linkedin_url"}),
                frozenset({"full_name", "domain"}),
                frozenset({"full_name", "company_name"}),
                frozenset({"first_name", "last_name", "domain"}),
                frozenset({"first_name", "last_name", "company_name"}),
            ),
        },
        requires_credential=True,
    )

    def __init__(self, settings: ProviderSettings) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self.credit_cost = settings.credit_cost
        self.timeout_seconds = settings.timeout_seconds
        self.announce: Callable[[Query, Sequence[RateInfo]], None] = _nobody
        self._left_headers = [
            (w.seconds, _LEFT_HEADERS[w.seconds]) for w in settings.quotas if w.seconds in _LEFT_HEADERS
        ]
        self._client = VendorClient(
            self.name,
            settings.base_url or BASE_URL,
            headers={_KEY_HEADER: key, "Content-Type": "application/json", "Cache-Control": "no-cache"},
            concurrency=settings.concurrency,
        )

    async def look_up(self, query: Query) -> Answer:
        """One call to one endpoint, with the query's own key where it has one. Raises a ProviderError."""
        own_key = _own_key(query.api_key)
        if query.entity == "company":
            params = {_COMPANY_PARAMS[key]: value for key, value in query.subject.items() if key in _COMPANY_PARAMS}
            answer = await self._client.request("GET", "/organizations/enrich", params, own_key)
            self._announce(query, answer)
            record = self._read(answer, "organization")
            values = _company(self.name, record, query.fields)
            return Found(values) if values else Missed()
        params = {_PERSON_PARAMS[key]: value for key, value in query.subject.items() if key in _PERSON_PARAMS}
        if params.get("email", "").startswith(_LOCKED_EMAIL):
            raise InvalidQuery(self.name, "the address is the placeholder of a locked one")
        answer = await self._client.request("POST", "/people/match", params, own_key)
        self._announce(query, answer)
        record = self._read(answer, "person")
        values = _person(self.name, record)
        if not values:
            return Missed()
        is_guess = "email" in values and values.get("email_status") != "valid"
        return Found(values, confidences={"email": UNVERIFIED_CONFIDENCE} if is_guess else {})

    async def verify(self, api_key: SecretStr) -> None:
        """Ask who is logged in, which is free. An account without credits passes: nothing free shows them.

        Raises CredentialRejected, or another ProviderError.
        """
        answer = await self._client.request("GET", "/auth/health", {}, _own_key(api_key))
        if not 200 <= answer.status < 300:
            raise self._failure(answer)
        # To a key that it does not know it may answer with 200 as well.
        if decode_object(self.name, answer.body).get("is_logged_in") is not True:
            raise CredentialRejected(self.name, "does not know the API key")

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    def _announce(self, query: Query, answer: HttpAnswer) -> None:
        left = [(seconds, answer.headers.get(header, "")) for seconds, header in self._left_headers]
        rates = [RateInfo(seconds, int(value[:9])) for seconds, value in left if value.isascii() and value.isdecimal()]
        if rates:
            self.announce(query, rates)

    def _read(self, answer: HttpAnswer, key: str) -> Json:
        """The record under `key`, empty for a miss of any form. Raises a ProviderError."""
        if 200 <= answer.status < 300:
            if not is_json(answer):
                raise Malformed(self.name, "the answer is not JSON")
            return section(self.name, decode_object(self.name, answer.body), key)
        raise self._failure(answer)

    def _failure(self, answer: HttpAnswer) -> ProviderError:
        # The text may be in `error`, `error_message` or `message` of a JSON object, or the whole body.
        if 400 <= answer.status < 500 and b"credit" in answer.body.lower():
            return PaymentRequired(self.name, "the credits are used up")
        match answer.status:
            case 400 | 422:
                return InvalidQuery(self.name, f"refuses the query (status {answer.status})")
            case 401:
                return CredentialRejected(self.name, "refuses the API key")
            case 403:
                return CredentialRejected(self.name, "the API key or the plan does not allow this call")
            case 429:
                return RateLimited(self.name, "the rate limit is reached", retry_after=retry_after(answer))
        return status_failure(self.name, answer)


def _nobody(query: Query, rates: Sequence[RateInfo]) -> None:
    """Without a gate nobody wants to know."""


def _own_key(api_key: SecretStr | None) -> Mapping[str, str] | None:
    return None if api_key is None else {_KEY_HEADER: api_key.get_secret_value()}


def _company(provider: str, record: Json, fields: Collection[str] | None) -> dict[str, JsonValue]:
    phone = record.get("phone") or section(provider, record, "primary_phone").get("number")
    descriptions = (record.get("short_description"), record.get("seo_description"))
    return normalise.asked_for(
        fields,
        (
            ("name", lambda: normalise.text(record.get("name"))),
            ("website", lambda: normalise.url(record.get("website_url"))),
            ("description", lambda: next(filter(None, map(normalise.text, descriptions)), None)),
            ("industry", lambda: normalise.text(record.get("industry"))),
            ("founded_year", lambda: normalise.year(record.get("founded_year"))),
            ("employee_count", lambda: normalise.count(record.get("estimated_num_employees"))),
            ("annual_revenue", lambda: normalise.count(record.get("annual_revenue"))),
            ("total_funding", lambda: normalise.count(record.get("total_funding"))),
            ("ticker", lambda: normalise.text(record.get("publicly_traded_symbol"))),
            ("phone", lambda: normalise.phone(phone)),
            ("street", lambda: normalise.text(record.get("street_address"))),
            ("city", lambda: normalise.text(record.get("city"))),
            ("region", lambda: normalise.text(record.get("state"))),
            ("postal_code", lambda: normalise.text(record.get("postal_code"))),
            ("country", lambda: normalise.text(record.get("country"))),
            ("linkedin_url", lambda: normalise.linkedin_url(record.get("linkedin_url"), "company")),
            ("twitter_handle", lambda: normalise.twitter_handle(record.get("twitter_url"))),
            ("facebook_handle", lambda: normalise.facebook_handle(record.get("facebook_url"))),
            ("logo_url", lambda: normalise.url(record.get("logo_url"))),
            ("technologies", lambda: normalise.texts(list(items(provider, record, "technology_names")))),
            ("tags", lambda: normalise.texts(list(items(provider, record, "keywords")))),
        ),
    )


def _person(provider: str, record: Json) -> dict[str, JsonValue]:
    organization = section(provider, record, "organization")
    departments = items(provider, record, "departments")
    email = normalise.email(record.get("email"))
    status = normalise.text(record.get("email_status"))
    email_status = None if status is None else _EMAIL_STATUS.get(status, "unknown")
    if email is not None and email.startswith(_LOCKED_EMAIL):
        # `verified` says that the address works, not that it is unlocked.
        email, email_status = None, "locked"
    values = normalise.known(
        (
            ("full_name", normalise.text(record.get("name"))),
            ("first_name", normalise.text(record.get("first_name"))),
            ("last_name", normalise.text(record.get("last_name"))),
            ("email", email),
            ("title", normalise.text(record.get("title"))),
            ("seniority", normalise.text(record.get("seniority"))),
            ("department", normalise.text(departments[0]) if departments else None),
            ("linkedin_url", normalise.linkedin_url(record.get("linkedin_url"), "in")),
            ("twitter_handle", normalise.twitter_handle(record.get("twitter_url"))),
            ("github_handle", normalise.github_handle(record.get("github_url"))),
            ("city", normalise.text(record.get("city"))),
            ("region", normalise.text(record.get("state"))),
            ("country", normalise.text(record.get("country"))),
            ("company_name", normalise.text(organization.get("name"))),
            ("company_domain", normalise.domain(organization.get("primary_domain"))),
            ("bio", normalise.text(record.get("headline"))),
            ("avatar_url", normalise.url(record.get("photo_url"))),
        )
    )
    # A status alone is no person.
    return values | {"email_status": email_status} if values and email_status else values
