"""GitHub's REST API: organisations (docs/providers.md, GitHub).

It cannot be asked whose organisation a domain is. So the one that is named like the company is asked for, and taken
where it names that domain, or where nothing but a name was given, that name. Its 403 is a limit or a refusal, which
only the headers and the text tell apart.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from pydantic import SecretStr

from app.provider_settings import GithubSettings
from app.providers import company_names, normalise
from app.providers.errors import CredentialRejected, InvalidQuery, ProviderError, RateLimited
from app.providers.http import HttpAnswer, VendorClient, is_json, retry_after, seconds_until, status_failure
from app.providers.ports import Answer, Capabilities, Found, JsonValue, Missed, Query, RateInfo
from app.providers.wire import Json, decode_object

BASE_URL = "https://api.github.com"

# It has proved that the domain is its own; it says so; it is named like the company that was asked for.
VERIFIED_CONFIDENCE = 1.0
STATED_CONFIDENCE = 0.9
SAME_NAME_CONFIDENCE = 0.6
# A line that people fill in as they like.
LOCATION_CONFIDENCE = 0.5

HOUR = 3600
# What to wait where it limits and names no time: "at least one minute", as it says of its secondary limits.
_UNANNOUNCED_SECONDS = 60.0
_LOGIN = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){0,38}")
_NOT_IN_LOGINS = re.compile(r"[^a-z0-9]+")


class Github:
    """Companies by domain or name. A credential is a token; without one there are 60 calls an hour."""

    name = "github"
    capabilities = Capabilities(
        fields={
            "company": (
                "name",
                "website",
                "description",
                "emails",
                "city",
                "country",
                "country_code",
                "twitter_handle",
                "github_org",
                "logo_url",
            )
        },
        needs={"company": (frozenset({"domain"}), frozenset({"name"}))},
        requires_credential=False,
    )

    def __init__(self, settings: GithubSettings) -> None:
        self.credit_cost = settings.credit_cost
        self.timeout_seconds = settings.timeout_seconds
        self.announce: Callable[[Query, Sequence[RateInfo]], None] = _nobody
        self._is_limited_by_hour = any(window.seconds == HOUR for window in settings.quotas)
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        if settings.api_key:
            headers |= _token(settings.api_key)
        self._client = VendorClient(
            self.name, settings.base_url or BASE_URL, headers=headers, concurrency=settings.concurrency
        )

    async def look_up(self, query: Query) -> Answer:
        """Ask for the organisation that is named like the company, with the query's own token where it has one. Missed
        where it is somebody else's. Raises a ProviderError."""
        login = _login(query.subject)
        if login is None:
            return Missed()  # nobody can have such a name there
        headers = None if query.api_key is None else _token(query.api_key)
        answer = await self._client.request("GET", f"/orgs/{login}", {}, headers)
        self._announce(query, answer)
        record = self._read(answer)
        if isinstance(record, Missed):
            return record
        confidence = _likeness(record, query.subject)
        if confidence is None:
            return Missed()
        values = _company(record, query)
        uncertain = dict.fromkeys(values.keys() & {"city", "country", "country_code"}, LOCATION_CONFIDENCE * confidence)
        return Found(values, confidence, uncertain, raw=answer.body) if values else Missed()

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    def _announce(self, query: Query, answer: HttpAnswer) -> None:
        remaining = answer.headers.get("x-ratelimit-remaining", "")
        if self._is_limited_by_hour and remaining.isascii() and remaining.isdecimal():
            self.announce(query, [RateInfo(HOUR, int(remaining[:9]))])

    def _read(self, answer: HttpAnswer) -> Json | Missed:
        """The organisation, or that there is none. Raises a ProviderError."""
        if answer.status == 200:
            return decode_object(self.name, answer.body)
        # Proxies in front of it answer in HTML, with 404 as well.
        if answer.status in (404, 451) and is_json(answer):
            return Missed("legal" if answer.status == 451 else "unknown")
        raise self._failure(answer)

    def _failure(self, answer: HttpAnswer) -> ProviderError:
        match answer.status:
            case 403 | 429 if _is_limit(answer):
                return RateLimited(self.name, "the rate limit is reached", retry_after=_until_reset(answer))
            case 401:
                return CredentialRejected(self.name, "refuses the token")
            case 403:
                return CredentialRejected(self.name, "does not allow this call")
            case 400 | 422:
                return InvalidQuery(self.name, f"refuses the query (status {answer.status})")
        return status_failure(self.name, answer)


def _nobody(query: Query, rates: Sequence[RateInfo]) -> None:
    """Without a gate nobody wants to know."""


def _token(api_key: SecretStr) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {api_key.get_secret_value()}"}


def _is_limit(answer: HttpAnswer) -> bool:
    headers = answer.headers
    return (
        answer.status == 429
        or headers.get("x-ratelimit-remaining") == "0"
        or retry_after(answer) is not None
        or b"rate limit" in answer.body.lower()
    )


def _until_reset(answer: HttpAnswer) -> float:
    """The secondary limits name seconds; the limit of the hour the moment at which it is over, as a Unix time."""
    if (seconds := retry_after(answer)) is not None:
        return seconds
    reset = normalise.integer(answer.headers.get("x-ratelimit-reset"))
    if answer.headers.get("x-ratelimit-remaining") == "0" and reset is not None and 0 < reset < 2**33:
        left = seconds_until(answer, datetime.fromtimestamp(reset, UTC))
        return 1.0 if left is None else min(left, 2.0 * HOUR)
    return _UNANNOUNCED_SECONDS


def _login(subject: Mapping[str, str]) -> str | None:
    """What the company's organisation may be called: the name in its domain, else its own name with hyphens."""
    if "domain" in subject:
        name = (normalise.registrable_domain(subject["domain"]) or "").partition(".")[0]
    else:
        name = _NOT_IN_LOGINS.sub("-", company_names.read(subject["name"]).words).strip("-")
    return name if _LOGIN.fullmatch(name) else None


def _likeness(record: Json, subject: Mapping[str, str]) -> float | None:
    """How sure it is that the organisation is the company's; None where it is not."""
    if "domain" in subject:
        domain = normalise.registrable_domain(subject["domain"])
        website = normalise.registrable_domain(_website(record))
        email = normalise.email(record.get("email"))
        stated = website or (normalise.registrable_domain(email.partition("@")[2]) if email else None)
        if domain is None or stated != domain:
            return None
        return VERIFIED_CONFIDENCE if record.get("is_verified") is True else STATED_CONFIDENCE
    asked = company_names.read(subject["name"]).words
    called = normalise.text(record.get("name")) or normalise.text(record.get("login")) or ""
    return SAME_NAME_CONFIDENCE if asked and company_names.read(called).words == asked else None


def _website(record: Json) -> str | None:
    """`blog` holds what people typed: often a domain without a scheme."""
    written = normalise.text(record.get("blog"))
    if written is None or "://" in written:
        return normalise.url(written)
    return normalise.url(f"https://{written}")


def _company(record: Json, query: Query) -> dict[str, JsonValue]:
    city, country = _place(normalise.text(record.get("location")))
    email = normalise.email(record.get("email"))
    return normalise.asked_for(
        query.fields,
        (
            ("name", lambda: normalise.text(record.get("name"))),
            ("website", lambda: _website(record)),
            ("description", lambda: normalise.text(record.get("description"))),
            ("emails", lambda: normalise.texts([email]) if email else None),
            ("city", lambda: city),
            ("country", lambda: normalise.country(country)),
            ("country_code", lambda: normalise.country_code(country)),
            ("twitter_handle", lambda: normalise.twitter_handle(record.get("twitter_username"))),
            ("github_org", lambda: normalise.github_handle(record.get("login"))),
            ("logo_url", lambda: normalise.url(record.get("avatar_url"))),
        ),
    )


def _place(location: str | None) -> tuple[str | None, str | None]:
    """The city and the country in ``San Francisco, CA``, ``Berlin, Germany`` or ``France``; of a line that is no such
    list, nothing. Two letters at the end are a state as often as a country, and are read as neither."""
    parts = [part.strip() for part in (location or "").split(",")]
    country = parts[-1] if len(parts[-1]) > 2 and normalise.country_code(parts[-1]) else None
    return (parts[0] or None if len(parts) > 1 else None), country
