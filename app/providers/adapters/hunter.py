"""Hunter.io, API v2 (docs/providers.md, Hunter).

Its statuses are not what they are elsewhere: 403 is the rate limit, without any hint of when it ends; 429 says that the
month's credits are used up; 222 is a failure although a 2xx; 451 is a person who has objected.
"""

from collections.abc import Mapping

from pydantic import SecretStr

from app.providers import normalise
from app.providers.adapters import clearbit_shape
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    NotReady,
    PaymentRequired,
    ProviderError,
    RateLimited,
    Transient,
)
from app.providers.http import HttpAnswer, VendorClient, is_json, retry_after, status_failure
from app.providers.ports import Answer, Capabilities, Found, Missed, Query
from app.providers.wire import Json, decode_object, items, section
from app.settings import ProviderSettings

BASE_URL = "https://api.hunter.io/v2"

# Clearbit's own reading of a person that was matched by likeness.
FUZZY_CONFIDENCE = 0.5
# An address that the finder gives without a score.
UNSCORED_CONFIDENCE = 0.5

_FINDER_FIELDS = ("email_status",)
# In a header: a key in a URL ends in logs.
_KEY_HEADER = "X-API-KEY"


class Hunter:
    """Companies by domain; people by e-mail address, by LinkedIn profile, or by name and company (the finder)."""

    name = "hunter"
    capabilities = Capabilities(
        fields={
            "company": clearbit_shape.COMPANY_FIELDS,
            "person": clearbit_shape.PERSON_FIELDS + _FINDER_FIELDS,
        },
        needs={
            "company": (frozenset({"domain"}),),
            "person": (
                frozenset({"email"}),
                frozenset({"linkedin_url"}),
                frozenset({"domain", "full_name"}),
                frozenset({"domain", "first_name", "last_name"}),
                frozenset({"company_name", "full_name"}),
                frozenset({"company_name", "first_name", "last_name"}),
            ),
        },
        requires_credential=True,
    )

    def __init__(self, settings: ProviderSettings) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self.credit_cost = settings.credit_cost
        self.timeout_seconds = settings.timeout_seconds
        self._client = VendorClient(
            self.name,
            settings.base_url or BASE_URL,
            headers={_KEY_HEADER: key},
            concurrency=settings.concurrency,
        )

    async def look_up(self, query: Query) -> Answer:
        """One call to one endpoint, with the query's own key where it has one. Raises a ProviderError."""
        subject = query.subject
        if query.entity == "company":
            return await self._enrich("/companies/find", {"domain": subject["domain"]}, query)
        if "email" in subject:
            return await self._enrich("/people/find", {"email": subject["email"]}, query)
        if "linkedin_url" in subject:
            handle = subject["linkedin_url"].rstrip("/").rpartition("/")[2]
            return await self._enrich("/people/find", {"linkedin_handle": handle}, query)
        return await self._find_email(query)

    async def verify(self, api_key: SecretStr) -> None:
        """Ask for the account, which is free.

        Raises CredentialRejected, PaymentRequired where the month's credits are used up, or another ProviderError.
        """
        data = self._read(await self._client.request("GET", "/account", {}, _own_key(api_key)))
        if isinstance(data, Missed):
            raise Malformed(self.name, "there is no account")
        credits_ = section(self.name, section(self.name, data, "requests"), "credits")
        used, available = (normalise.integer(credits_.get(name)) for name in ("used", "available"))
        if used is not None and available is not None and used >= available:
            raise PaymentRequired(self.name, "the credits of this month are used up")

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _enrich(self, path: str, params: Mapping[str, str], query: Query) -> Answer:
        data = self._read(await self._client.request("GET", path, params, _own_key(query.api_key)))
        if isinstance(data, Missed):
            return data
        if query.entity == "company":
            values = clearbit_shape.company(self.name, data, query.fields)
            return Found(values) if values else Missed()
        values = clearbit_shape.person(self.name, data)
        confidence = FUZZY_CONFIDENCE if data.get("fuzzy") is True else 1.0
        return Found(values, confidence) if values else Missed()

    async def _find_email(self, query: Query) -> Answer:
        subject = query.subject
        params = {"domain": subject["domain"]} if "domain" in subject else {"company": subject["company_name"]}
        if "first_name" in subject and "last_name" in subject:
            params |= {"first_name": subject["first_name"], "last_name": subject["last_name"]}
        else:
            params["full_name"] = subject["full_name"]
        data = self._read(await self._client.request("GET", "/email-finder", params, _own_key(query.api_key)))
        if isinstance(data, Missed):
            return data
        # Without an address nothing was found, though the answer repeats the name that was asked for.
        return _found_email(self.name, data) if normalise.email(data.get("email")) else Missed()

    def _read(self, answer: HttpAnswer) -> Json | Missed:
        """The `data` of an answer, empty or not, or that nothing is known. Raises a ProviderError."""
        if answer.status in (200, 201):
            body = decode_object(self.name, answer.body)
            if "data" not in body:
                raise Malformed(self.name, "there is no data")
            return section(self.name, body, "data")
        if answer.status == 204:
            return Missed()
        if answer.status == 202:
            raise NotReady(self.name, "the answer is still being worked out")
        if answer.status == 222:
            raise NotReady(self.name, "the mail server of the address failed")
        return self._read_refusal(answer)

    def _read_refusal(self, answer: HttpAnswer) -> Missed:
        # Gateways in front of it answer in HTML, with statuses in the common meaning: not in Hunter's.
        if answer.status < 500 and not is_json(answer):
            raise Malformed(self.name, f"status {answer.status} without JSON")
        error_id = self._error_id(answer) if answer.status < 500 else ""
        if error_id == "not_found" or answer.status == 404:
            return Missed()
        if answer.status == 451:
            return Missed("legal")
        raise self._failure(answer, error_id)

    def _failure(self, answer: HttpAnswer, error_id: str) -> ProviderError:
        match answer.status:
            case 400 | 422:
                return InvalidQuery(self.name, f"refuses the query ({error_id or answer.status})")
            case 401:
                return CredentialRejected(self.name, "refuses the API key")
            case 403:
                return RateLimited(self.name, "the rate limit is reached", retry_after=retry_after(answer))
            case 409:
                return Transient(self.name, "the same call is under way", retry_after=retry_after(answer))
            case 429:
                return PaymentRequired(self.name, "the credits of this month are used up")
        return status_failure(self.name, answer)

    def _error_id(self, answer: HttpAnswer) -> str:
        errors = items(self.name, decode_object(self.name, answer.body), "errors")
        first = errors[0] if errors else None
        error_id = first.get("id") if isinstance(first, dict) else None
        # It goes into a message, so it is taken only where it is a code and not a sentence.
        return error_id if isinstance(error_id, str) and error_id.isidentifier() and len(error_id) <= 40 else ""


def _own_key(api_key: SecretStr | None) -> Mapping[str, str] | None:
    return None if api_key is None else {_KEY_HEADER: api_key.get_secret_value()}


def _found_email(provider: str, data: Json) -> Found:
    verification = section(provider, data, "verification")
    score = normalise.integer(data.get("score"))
    names = [normalise.text(data.get(key)) for key in ("first_name", "last_name")]
    values = normalise.known(
        (
            ("full_name", " ".join(filter(None, names)) if all(names) else None),
            ("first_name", names[0]),
            ("last_name", names[1]),
            ("email", normalise.email(data.get("email"))),
            ("email_status", normalise.text(verification.get("status"))),
            ("phone", normalise.phone(data.get("phone_number"))),
            ("title", normalise.text(data.get("position"))),
            ("linkedin_url", normalise.linkedin_url(data.get("linkedin_url"), "in")),
            ("twitter_handle", normalise.twitter_handle(data.get("twitter"))),
            ("company_name", normalise.text(data.get("company"))),
            ("company_domain", normalise.domain(data.get("domain"))),
        )
    )
    return Found(values, UNSCORED_CONFIDENCE if score is None else min(max(score, 0), 100) / 100)
