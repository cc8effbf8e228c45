"""People Data Labs, API v5 (docs/providers.md, People Data Labs): one subject in a call, or up to a hundred.

All text is lower case unless it is asked for otherwise, websites and profiles come without a scheme, and on free plans
`true` stands for a value that exists and is not given. A miss is a 404 with its own code; another 404 is a wrong path.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import SecretStr

from app.provider_settings import PeopleDataLabsSettings
from app.providers import normalise
from app.providers.adapters import peopledatalabs_records as records
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    PaymentRequired,
    ProviderError,
    RateLimited,
)
from app.providers.http import HttpAnswer, VendorClient, is_json, retry_after, seconds_until, status_failure
from app.providers.ports import SUFFICIENT_KEYS, Answer, Capabilities, Entity, Found, Missed, Query, RateInfo
from app.providers.wire import Json, decode, decode_object, encode, section

BASE_URL = "https://api.peopledatalabs.com/v5"
BULK = 100

_KEY_HEADER = "X-Api-Key"
_ENRICH: Mapping[Entity, str] = {"person": "/person/enrich", "company": "/company/enrich"}
_ENRICH_MANY: Mapping[Entity, str] = {"person": "/person/bulk", "company": "/company/enrich/bulk"}
# Only what is read: whole records of a hundred people are more than the 1 MB that an answer may have.
_INCLUDED: Mapping[Entity, str] = {"person": ",".join(records.PERSON_KEYS), "company": ",".join(records.COMPANY_KEYS)}
_PARAMS: Mapping[Entity, Mapping[str, str]] = {
    "person": {
        "email": "email",
        "linkedin_url": "profile",
        "full_name": "name",
        "first_name": "first_name",
        "last_name": "last_name",
        # One parameter takes either; the domain, which comes later here, is the more exact.
        "company_name": "company",
        "domain": "company",
    },
    "company": {"domain": "website", "linkedin_url": "profile", "name": "name"},
}
# What ties a result of a bulk call to its query: the vendor repeats it.
_PLACE = "place"

# A 404 has no meaning without its code.
_CODE_OF_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "payment_required",
    403: "authentication_error",
    405: "invalid_request_error",
    429: "rate_limit_error",
}
_CODES = {"not_found", *_CODE_OF_STATUS.values()}

# An object with the calls left in each window, in JSON or as Python writes a dict.
_LEFT = re.compile(r"""(minute|day)["']?\s*:\s*["']?(\d{1,9})\b""")
_WINDOW_SECONDS = {"minute": 60, "day": 86_400}


class PeopleDataLabs:
    """Companies by domain, LinkedIn page or name; people by e-mail address, LinkedIn profile, or name and company."""

    name = "peopledatalabs"
    capabilities = Capabilities(
        fields={"company": records.COMPANY_FIELDS, "person": records.PERSON_FIELDS},
        needs=SUFFICIENT_KEYS,
        requires_credential=True,
        bulk={"company": BULK, "person": BULK},
    )

    def __init__(self, settings: PeopleDataLabsSettings) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self.credit_cost = settings.credit_cost
        self.timeout_seconds = settings.timeout_seconds
        self.announce: Callable[[Query, Sequence[RateInfo]], None] = _nobody
        self._min_likelihood = settings.min_likelihood
        self._windows = {window.seconds for window in settings.quotas}
        self._client = VendorClient(
            self.name,
            settings.base_url or BASE_URL,
            headers={_KEY_HEADER: key, "Content-Type": "application/json"},
            concurrency=settings.concurrency,
        )

    async def look_up(self, query: Query) -> Answer:
        """One call to one endpoint, with the query's own key where it has one. Raises a ProviderError."""
        params = {
            "titlecase": "true",
            "min_likelihood": str(self._min_likelihood),
            "data_include": _INCLUDED[query.entity],
            **_params(query),
        }
        answer = await self._client.request("GET", _ENRICH[query.entity], params, _own_key(query.api_key))
        self._announce(query, answer)
        if answer.status != 200:
            failure = self._failure(answer)
            if failure is None:
                return Missed()
            raise failure
        body = decode_object(self.name, answer.body)
        return self._found(query, body, answer.body)

    async def look_up_many(self, queries: Sequence[Query]) -> Sequence[Answer | ProviderError]:
        """One call for all of these, at most a hundred of one entity: in their order, what is said of each.

        Raises a ProviderError for the call as a whole.
        """
        first = queries[0]
        asked = [{"params": _params(query), "metadata": {_PLACE: place}} for place, query in enumerate(queries)]
        control = {
            "titlecase": True,
            "min_likelihood": self._min_likelihood,
            "data_include": _INCLUDED[first.entity],
        }
        body = orjson.dumps({"requests": asked, **control})
        answer = await self._client.request("POST", _ENRICH_MANY[first.entity], {}, _own_key(first.api_key), body=body)
        self._announce(first, answer)
        if answer.status != 200:
            raise self._failure(answer) or Malformed(self.name, "a call for several is a miss as a whole")
        said = decode(self.name, answer.body)
        if not isinstance(said, list):
            raise Malformed(self.name, "the body is not a JSON list")
        results = _in_place(said, len(queries))
        return [self._result(query, result) for query, result in zip(queries, results, strict=True)]

    async def verify(self, api_key: SecretStr) -> None:
        """Ask for nobody, which is refused without a charge to a key that it takes.

        Raises CredentialRejected, PaymentRequired where the credits are used up, or another ProviderError.
        """
        answer = await self._client.request("GET", _ENRICH["person"], {}, _own_key(api_key))
        failure = self._failure(answer) if answer.status != 200 else None
        if failure is not None and not isinstance(failure, InvalidQuery):
            raise failure
        if answer.headers.get("x-totallimit-remaining", "").strip() == "0":
            raise PaymentRequired(self.name, "the credits are used up")

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    def _announce(self, query: Query, answer: HttpAnswer) -> None:
        written = answer.headers.get("x-ratelimit-remaining", "")
        left = [(_WINDOW_SECONDS[name], int(calls)) for name, calls in _LEFT.findall(written[:500])]
        rates = [RateInfo(seconds, calls) for seconds, calls in left if seconds in self._windows]
        if rates:
            self.announce(query, rates)

    def _result(self, query: Query, result: object) -> Answer | ProviderError:
        """One result of several."""
        try:
            if not isinstance(result, dict):
                return Malformed(self.name, "there is no result for this one")
            code, status = _code(result), normalise.integer(result.get("status"))
            if code or (status is not None and status != 200):
                # It has an address of its own, so the only 404 there is a miss.
                failure = self._refusal(HttpAnswer(status or 0, {}, b""), code)
                return Missed() if failure is None or status == 404 else failure
            return self._found(query, result, encode(self.name, result))
        except ProviderError as error:
            return error

    def _found(self, query: Query, body: Json, raw: bytes) -> Answer:
        confidence = records.confidence(body)
        # People come in `data` and companies beside it, though a published specification has people there too.
        record = section(self.name, body, "data") or body
        read = records.company if query.entity == "company" else records.person
        values = read(self.name, record, query.fields)
        if query.entity == "person" and not values and "data" not in body:
            raise Malformed(self.name, "there is no data")
        return Found(values, confidence, raw=raw) if values else Missed()

    def _failure(self, answer: HttpAnswer) -> ProviderError | None:
        """What an answer means that is no record; None for a miss."""
        if answer.status >= 500:
            return status_failure(self.name, answer)  # in HTML where a gateway speaks
        if not is_json(answer):
            return Malformed(self.name, f"status {answer.status} without JSON")
        return self._refusal(answer, _code(decode_object(self.name, answer.body)))

    def _refusal(self, answer: HttpAnswer, code: str) -> ProviderError | None:
        """What a code of the vendor's means, or the status where there is none that it documents; None for a miss."""
        match code if code in _CODES else _CODE_OF_STATUS.get(answer.status):
            case "not_found":
                return None
            case "invalid_request_error":
                return InvalidQuery(self.name, f"refuses the query (status {answer.status})")
            case "authentication_error":
                return CredentialRejected(self.name, "refuses the API key")
            case "payment_required":
                return PaymentRequired(self.name, "the credits are used up")
            case "rate_limit_error":
                return RateLimited(self.name, "the rate limit is reached", retry_after=_reset(answer))
        return status_failure(self.name, answer)


def _nobody(query: Query, rates: Sequence[RateInfo]) -> None:
    """Without a gate nobody wants to know."""


def _own_key(api_key: SecretStr | None) -> Mapping[str, str] | None:
    return None if api_key is None else {_KEY_HEADER: api_key.get_secret_value()}


def _params(query: Query) -> dict[str, str]:
    return {name: query.subject[key] for key, name in _PARAMS[query.entity].items() if key in query.subject}


def _code(body: Json) -> str:
    """The code of an error, which some captures show as a list; empty where there is none."""
    error = body.get("error")
    codes: Any = error.get("type") if isinstance(error, dict) else None
    if isinstance(codes, list):
        codes = next(iter(codes), None)
    return codes if isinstance(codes, str) else ""


def _in_place(results: Sequence[object], count: int) -> Sequence[object]:
    """The results in the order of the queries, None where there is not exactly one for it: what may be somebody
    else's is nobody's. One that does not repeat its place has that in the list, where all of them are there."""
    placed: list[list[object]] = [[] for _ in range(count)]
    for index, result in enumerate(results):
        place = _place(result)
        if place is None and len(results) == count:
            place = index
        if place is not None and 0 <= place < count:
            placed[place].append(result)
    return [each[0] if len(each) == 1 else None for each in placed]


def _place(result: object) -> int | None:
    metadata = result.get("metadata") if isinstance(result, dict) else None
    return normalise.integer(metadata.get(_PLACE)) if isinstance(metadata, dict) else None


def _reset(answer: HttpAnswer) -> float | None:
    """Seconds until the window opens again, from a header with a time in UTC; there is no Retry-After."""
    try:
        moment = datetime.fromisoformat(answer.headers.get("x-ratelimit-reset", "").strip())
    except ValueError:
        return retry_after(answer)
    return seconds_until(answer, moment.replace(tzinfo=moment.tzinfo or UTC))
