"""Clearbit Enrichment, the legacy API with version 2019-12-19 (docs/providers.md, Clearbit).

What it has no fresh record of it answers with an empty 202 and works out in the background. It charges for 200, 201,
202 and 404 alike, but for each e-mail address or domain once in a billing period: to ask again costs nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from pydantic import SecretStr

from app.provider_settings import ClearbitSettings
from app.providers.adapters import clearbit_shape
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    PaymentRequired,
    ProviderError,
    RateLimited,
)
from app.providers.http import HttpAnswer, VendorClient, is_json, retry_after, seconds_until, status_failure
from app.providers.ports import Answer, Capabilities, Entity, Found, Missed, Pending, Query, RateInfo
from app.providers.wire import decode_object

BASE_URLS: Mapping[Entity, str] = {"person": "https://person.clearbit.com", "company": "https://company.clearbit.com"}
API_VERSION = "2019-12-19"

_ENDPOINTS: Mapping[Entity, tuple[str, str]] = {
    "person": ("/v2/people/find", "email"),
    "company": ("/v2/companies/find", "domain"),
}
_KEY_HEADER = "Authorization"
# Its only window, of each key at each of the two hosts.
_WINDOW_SECONDS = 60
_KEY_CODES = ("auth_required", "invalid_api_key")


class Clearbit:
    """Companies by domain, people by e-mail address."""

    name = "clearbit"
    capabilities = Capabilities(
        fields={"company": clearbit_shape.COMPANY_FIELDS, "person": clearbit_shape.PERSON_FIELDS},
        needs={"company": (frozenset({"domain"}),), "person": (frozenset({"email"}),)},
        requires_credential=True,
        charges_on_miss=True,
    )

    def __init__(self, settings: ClearbitSettings) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self.credit_cost = settings.credit_cost
        self.timeout_seconds = settings.timeout_seconds
        self.announce: Callable[[Query, Sequence[RateInfo]], None] = _nobody
        self._poll_seconds = settings.poll_seconds
        self._has_window = any(window.seconds == _WINDOW_SECONDS for window in settings.quotas)
        self._clients = {
            entity: VendorClient(
                self.name,
                base_url if settings.base_url is None else f"{settings.base_url.rstrip('/')}/{entity}",
                headers={_KEY_HEADER: f"Bearer {key}", "API-Version": API_VERSION},
                concurrency=settings.concurrency,
            )
            for entity, base_url in BASE_URLS.items()
        }

    async def look_up(self, query: Query) -> Answer:
        """One call, with the query's own key where it has one; the same with a handle as without: the first one made
        it look, and what it finds is given to whoever asks after that. Raises a ProviderError."""
        path, key = _ENDPOINTS[query.entity]
        answer = await self._clients[query.entity].request(
            "GET", path, {key: query.subject[key]}, _own_key(query.api_key)
        )
        self._announce(query, answer)
        if answer.status == 202:
            return Pending(key, retry_after(answer) or self._poll_seconds)
        if answer.status not in (200, 201):
            return self._missed(answer)
        record = decode_object(self.name, answer.body)
        if query.entity == "company":
            values = clearbit_shape.company(self.name, record, query.fields)
            return Found(values, raw=answer.body) if values else Missed()
        values = clearbit_shape.person(self.name, record, query.fields)
        return Found(values, clearbit_shape.person_confidence(record), raw=answer.body) if values else Missed()

    async def verify(self, api_key: SecretStr) -> None:
        """Ask for nobody, which is refused without a charge to a key that it takes. A plan that is used up may pass:
        nothing free shows it.

        Raises CredentialRejected, or another ProviderError.
        """
        path, _ = _ENDPOINTS["person"]
        answer = await self._clients["person"].request("GET", path, {}, _own_key(api_key))
        failure = self._failure(answer)
        if not isinstance(failure, InvalidQuery):
            raise failure

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.close()

    def _announce(self, query: Query, answer: HttpAnswer) -> None:
        left = answer.headers.get("x-ratelimit-remaining", "")
        if self._has_window and left.isascii() and left.isdecimal():
            self.announce(query, [RateInfo(_WINDOW_SECONDS, int(left[:9]))])

    def _missed(self, answer: HttpAnswer) -> Missed:
        """That nothing is known. Raises a ProviderError."""
        if answer.status == 404 and (is_json(answer) or not answer.body) and self._code(answer) != "unknown_route":
            return Missed()
        raise self._failure(answer)

    def _failure(self, answer: HttpAnswer) -> ProviderError:
        # Gateways in front of it answer in HTML, and what such a 403 means is not that the key is refused. The form of
        # its own refusals is documented for 401 and 404 only, so that of the others may be any but that.
        if answer.status < 500 and "html" in answer.headers.get("Content-Type", "").lower():
            return Malformed(self.name, f"status {answer.status} with a web page")
        if answer.status < 500 and self._code(answer) in _KEY_CODES:
            return CredentialRejected(self.name, "refuses the API key")
        match answer.status:
            case 400 | 422:
                return InvalidQuery(self.name, f"refuses the query (status {answer.status})")
            case 401:
                return CredentialRejected(self.name, "refuses the API key")
            case 402:
                return PaymentRequired(self.name, "the plan is used up")
            case 403:
                return CredentialRejected(self.name, "the API key or the plan does not allow this call")
            case 429:
                return RateLimited(self.name, "the rate limit is reached", retry_after=_reset(answer))
        return status_failure(self.name, answer)

    def _code(self, answer: HttpAnswer) -> object:
        """The vendor's own code of an error, None where the answer has none. Raises Malformed for what says that it is
        JSON and is not."""
        error = decode_object(self.name, answer.body).get("error") if answer.body and is_json(answer) else None
        return error.get("type") if isinstance(error, dict) else None


def _nobody(query: Query, rates: Sequence[RateInfo]) -> None:
    """Without a gate nobody wants to know."""


def _own_key(api_key: SecretStr | None) -> Mapping[str, str] | None:
    return None if api_key is None else {_KEY_HEADER: f"Bearer {api_key.get_secret_value()}"}


def _reset(answer: HttpAnswer) -> float | None:
    """Seconds until the window opens again, from a header in Unix seconds; there is no Retry-After."""
    moment = answer.headers.get("x-ratelimit-reset", "").strip()
    if not moment.isascii() or not moment.isdecimal() or len(moment) > 11:
        return retry_after(answer)
    return seconds_until(answer, datetime.fromtimestamp(int(moment), UTC))
