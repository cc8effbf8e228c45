"""Apollo.io, REST API v1 (docs/providers.md, Apollo).

A miss is a 200, with the record null, empty or left out. Bodies are not always JSON. There is no documented status for
used-up credits, so a 4xx that speaks of credits means that, whatever its number.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import orjson
from pydantic import SecretStr

from app.provider_settings import ProviderSettings
from app.providers import normalise
from app.providers.adapters import apollo_records
from app.providers.adapters.apollo_matching import share_out
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    PaymentRequired,
    ProviderError,
    RateLimited,
)
from app.providers.http import HttpAnswer, VendorClient, is_json, retry_after, status_failure
from app.providers.ports import SUFFICIENT_KEYS, Answer, Capabilities, Entity, Found, Missed, Query, RateInfo
from app.providers.wire import Json, decode_object, encode, items, section

BASE_URL = "https://api.apollo.io/api/v1"

_KEY_HEADER = "x-api-key"

# Apollo states no confidence. An address that it has not verified is often a guess from the company's pattern.
UNVERIFIED_CONFIDENCE = 0.5

# What is left of the windows, by their seconds. A window without a limit has no such header.
_LEFT_HEADERS = {60: "x-minute-requests-left", 3600: "x-hourly-requests-left", 86_400: "x-24-hour-requests-left"}

# The most that one call may ask for.
BULK = 10

_PARAMS: Mapping[Entity, Mapping[str, str]] = {
    "company": {"domain": "domain", "linkedin_url": "linkedin_url", "name": "name"},
    "person": {
        "email": "email",
        "linkedin_url": "linkedin_url",
        "full_name": "name",
        "first_name": "first_name",
        "last_name": "last_name",
        "domain": "domain",
        "company_name": "organization_name",
    },
}
# Method and path of the call for one, key of its record; path of the call for many, key of its records.
_ONE: Mapping[Entity, tuple[str, str, str]] = {
    "company": ("GET", "/organizations/enrich", "organization"),
    "person": ("POST", "/people/match", "person"),
}
_MANY: Mapping[Entity, tuple[str, str]] = {
    "company": ("/organizations/bulk_enrich", "organizations"),
    "person": ("/people/bulk_match", "matches"),
}


class Apollo:
    """Companies by domain, LinkedIn page or name; people by e-mail address, LinkedIn profile, or name and company."""

    name = "apollo"
    capabilities = Capabilities(
        fields={"company": apollo_records.COMPANY_FIELDS, "person": apollo_records.PERSON_FIELDS},
        needs=SUFFICIENT_KEYS,
        requires_credential=True,
        bulk={"company": BULK, "person": BULK},
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
        method, path, key = _ONE[query.entity]
        answer = await self._client.request(method, path, self._params(query), _own_key(query.api_key))
        self._announce(query, answer)
        return self._answer(query, section(self.name, self._read(answer), key), answer.body)

    async def look_up_many(self, queries: Sequence[Query]) -> Sequence[Answer | ProviderError]:
        """One call for all of these, at most BULK of one entity: in their order, what is said of each. Malformed for
        one whose result cannot be told from others', and InvalidQuery for one that must not be asked for.

        Raises a ProviderError for the call as a whole.
        """
        said: dict[int, Answer | ProviderError] = {}
        details: dict[int, Mapping[str, str]] = {}
        for place, query in enumerate(queries):
            try:
                details[place] = self._params(query)
            except InvalidQuery as error:
                said[place] = error
        if details:
            asked = [queries[place] for place in details]
            path, key = _MANY[asked[0].entity]
            body = orjson.dumps({"details": list(details.values())})
            answer = await self._client.request("POST", path, {}, _own_key(asked[0].api_key), body=body)
            self._announce(asked[0], answer)
            said |= zip(details, self._results(asked, self._read(answer), key), strict=True)
        return [said[place] for place in range(len(queries))]

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

    def _params(self, query: Query) -> dict[str, str]:
        """What a subject is asked for by. `reveal_phone_number` is never sent, since no job can ask for it: a number
        costs eight credits more and comes by webhook. Raises InvalidQuery."""
        params = {name: query.subject[key] for key, name in _PARAMS[query.entity].items() if key in query.subject}
        if params.get("email", "").startswith(apollo_records.LOCKED_EMAIL):
            raise InvalidQuery(self.name, "the address is the placeholder of a locked one")
        return params

    def _read(self, answer: HttpAnswer) -> Json:
        """The body of an answer. Raises a ProviderError."""
        if 200 <= answer.status < 300:
            if not is_json(answer):
                raise Malformed(self.name, "the answer is not JSON")
            return decode_object(self.name, answer.body)
        raise self._failure(answer)

    def _answer(self, query: Query, record: Json, raw: bytes) -> Answer:
        """What a record says, which is empty for a miss. Raises Malformed."""
        if query.entity == "company":
            values = apollo_records.company(self.name, record, query.fields)
            return Found(values, raw=raw) if values else Missed()
        values = apollo_records.person(self.name, record, query.fields)
        if not values:
            return Missed()
        is_guess = "email" in values and apollo_records.address(record)[1] != "valid"
        return Found(values, confidences={"email": UNVERIFIED_CONFIDENCE} if is_guess else {}, raw=raw)

    def _results(self, queries: Sequence[Query], body: Json, key: str) -> Iterator[Answer | ProviderError]:
        """What a body says of each query. Raises Malformed where it says nothing of any."""
        if key not in body:
            raise Malformed(self.name, f"there are no {key}")
        missing = normalise.integer(body.get("missing_records"))
        shares = share_out(self.name, queries, items(self.name, body, key), missing)
        for query, share in zip(queries, shares, strict=True):
            if isinstance(share, Missed | Malformed):
                yield share
                continue
            try:
                yield self._answer(query, share, encode(self.name, share))
            except Malformed as error:
                yield error

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
