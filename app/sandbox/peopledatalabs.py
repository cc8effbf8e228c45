"""People Data Labs API v5: people and companies, single and in hundreds (peopledatalabs.md of the provider facts).

Open questions of the documents are options: `error_type` (the code of an error is text or a list), `item_miss` (how a
miss stands in a bulk answer), `is_free_plan` (`true` stands for e-mail addresses and numbers) and `header_form` (the
windows are written in Python's way or in JSON).

Magic values. Keys: `bad…` is unknown (401), `poor…` has used up its matches (402), `scoped…` may not call this (403).
Not emulated: search, identify, cleaners, and company enrichment by POST, which no document promises.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from json import loads
from typing import Any, NamedTuple

from app.sandbox.calls import Calls, Charge
from app.sandbox.checks import flag, one_of
from app.sandbox.companies import (
    Companies,
    clean_domain,
    clean_email,
    domain_of_name,
    email_of_handle,
    is_generic,
    pick,
)
from app.sandbox.emulator import ANSWERS_KEPT, HTML, Answer, Request, encode, http_answer, path_and_query
from app.sandbox.faults import FaultMode
from app.sandbox.options import LimitedOptions, option
from app.sandbox.peopledatalabs_records import company_record, person_record
from app.sandbox.windows import MINUTE, Usage, Windows

BULK_MAX = 100
ANSWER_MAX = 1_000_000
PLAN_CREDITS = 1_000_000
REQUESTS_PER_MINUTE = 1000
LIMITED_FOR_S = 7
LEAST_LIKELIHOOD = 2
"""Of ten, where a request names none."""

_SINGLE = {"/v5/person/enrich": "person", "/v5/company/enrich": "company"}
_MANY = {"/v5/person/bulk": "person", "/v5/company/enrich/bulk": "company"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleDataLabsOptions(LimitedOptions):
    """`error_type`, `item_miss`, `is_free_plan` and `header_form` choose between readings that no primary source
    decides."""

    hit_rate: float = 0.57
    error_type: str = option("text", one_of("text", "list"))
    item_miss: str = option("whole", one_of("whole", "status", "error"))
    is_free_plan: bool = option(False, flag)
    header_form: str = option("python", one_of("python", "json"))


class _Match(NamedTuple):
    """What is said of one subject: a record without its braces and its likelihood, or the status of a refusal."""

    key: str
    record: bytes = b""
    likelihood: int = 0
    refusal: int = 404


class PeopleDataLabs:
    """The emulator of People Data Labs."""

    def __init__(self, companies: Companies, calls: Calls, options: PeopleDataLabsOptions) -> None:
        self._companies = companies
        self._calls = calls
        self._windows = Windows()
        self._record = lru_cache(ANSWERS_KEPT)(self._encode_record)
        self.configure(options)

    def configure(self, options: PeopleDataLabsOptions) -> None:
        """Take other options."""
        self.options = options
        self._windows.clear()
        self._record.cache_clear()

    def answer(self, request: Request) -> Answer:
        """What People Data Labs says."""
        path, query = path_and_query(request.target)
        answer = self._respond(request, path, query)
        key = request.headers.get(b"x-api-key", b"").decode("latin-1") or query.get("api_key", "")
        limit = self.options.requests_per_minute
        usage = Usage(limit or REQUESTS_PER_MINUTE, 1, MINUTE)
        if limit is not None:
            usage = self._windows.take(f"{key} {path}", limit)
        refused = self._refuses(key, answer, usage)
        if refused is not None:
            answer = refused._replace(keys=answer.keys)
        left = 0 if key.startswith("poor") else PLAN_CREDITS - self._calls.charged
        return answer._replace(head=answer.head + self._meters(path, usage, left, len(answer.charges)))

    def failure(self, mode: FaultMode, turn: int, request: Request, answer: Answer) -> Answer:
        """How People Data Labs fails."""
        forms: tuple[Answer, ...]
        match mode:
            case FaultMode.RATE_LIMITED:
                refused = self._refusal(429)
                path = request.target.partition("?")[0]
                limit = self.options.requests_per_minute or REQUESTS_PER_MINUTE
                usage = Usage(limit, limit + 1, LIMITED_FOR_S)
                return refused._replace(head=refused.head + self._meters(path, usage, PLAN_CREDITS, 0))
            case FaultMode.QUOTA_EXHAUSTED:
                return self._refusal(402)
            case FaultMode.AUTH:
                return self._refusal(401)
            case FaultMode.FLAKY:
                forms = (self._refusal(500), _BAD_GATEWAY)
            case FaultMode.OUTAGE:
                forms = (http_answer(503, _GATEWAY_PAGE, HTML), self._refusal(503))
            case _:
                forms = (
                    http_answer(200, _CHALLENGE_PAGE, HTML),
                    http_answer(200, answer.body[: len(answer.body) // 2]),
                    http_answer(200, b'{"status":"200","likelihood":"high","data":"42","location":"Austin","tags":7}'),
                )
        return forms[turn % len(forms)]

    def _respond(self, request: Request, path: str, query: dict[str, str]) -> Answer:
        method, body = request.method, _json(request.body) if request.body else {}
        if not isinstance(body, dict):
            return self._refusal(400)
        if entity := _SINGLE.get(path):
            if method not in ("GET", "HEAD") and (entity, method) != ("person", "POST"):
                return self._refusal(405)
            return self._enrich(entity, query | body)
        if entity := _MANY.get(path):
            return self._enrich_many(entity, body) if method == "POST" else self._refusal(405)
        return http_answer(404, b'{"message":"no route matched with those values"}')

    def _refuses(self, key: str, answer: Answer, usage: Usage) -> Answer | None:
        if not key or key.startswith("bad"):
            return self._refusal(401)
        if usage.exceeded:
            return self._refusal(429)
        if key.startswith("scoped"):
            return self._refusal(403)
        return self._refusal(402) if key.startswith("poor") and answer.keys else None

    def _enrich(self, entity: str, params: dict[str, Any]) -> Answer:
        match = self._match(entity, params, params)
        keys = (match.key,) if match.key else ()
        if not match.record:
            return self._refusal(match.refusal)._replace(keys=keys)
        return http_answer(200, _item(entity, match), keys=keys, charges=(Charge(match.key),))

    def _enrich_many(self, entity: str, body: dict[str, Any]) -> Answer:
        requests = body.get("requests")
        if not isinstance(requests, list) or not 1 <= len(requests) <= BULK_MAX:
            return self._refusal(400)
        described = [each if isinstance(each, dict) else {} for each in requests]
        matches = [self._match(entity, _object(each.get("params")), body) for each in described]
        items = [
            _item(entity, match, each.get("metadata")) if match.record else self._missing(match, each.get("metadata"))
            for match, each in zip(matches, described, strict=True)
        ]
        said = b"[" + b",".join(items) + b"]"
        keys = tuple(match.key for match in matches if match.key)
        if len(said) > ANSWER_MAX:
            return _BAD_GATEWAY._replace(keys=keys)
        return http_answer(200, said, keys=keys, charges=tuple(Charge(match.key) for match in matches if match.record))

    def _match(self, entity: str, params: Mapping[str, Any], control: Mapping[str, Any]) -> _Match:
        likelihoods: tuple[int, ...] = (8, 9, 10)
        if entity == "person":
            key = clean_email(_text(params, "email")) or email_of_handle(_handle(params), self._companies)
            if not key:
                key, likelihoods = self._address(params), (3, 5, 6, 7, 8)
        else:
            key = clean_domain(_text(params, "website")) or domain_of_name(_handle(params))
            if not key:
                key, likelihoods = domain_of_name(_text(params, "name")), (4, 6, 8)
        if not key:
            return _Match("", refusal=400)
        likelihood = pick(self._companies.draws("peopledatalabs match", key)[0], likelihoods)
        record = self._record(entity, key, str(control.get("titlecase")).lower(), _text(control, "data_include"))
        if likelihood < _number(control.get("min_likelihood"), LEAST_LIKELIHOOD):
            record = b""
        return _Match(key, record, likelihood)

    def _address(self, params: Mapping[str, Any]) -> str:
        """The e-mail address of a person who is described by name and company."""
        first, last = _text(params, "first_name"), _text(params, "last_name")
        if not (first and last):
            first, _, last = _text(params, "name").partition(" ")
        company = _text(params, "company")
        domain = clean_domain(company) or domain_of_name(company)
        return clean_email(self._companies.address(first, last, domain)) if first and last and domain else ""

    def _encode_record(self, entity: str, key: str, titlecase: str, data_include: str) -> bytes:
        """The members of a record, nothing for one that is not known."""
        if is_generic(key) or not self._companies.knows("peopledatalabs", key, self.options.hit_rate):
            return b""
        case = str.title if titlecase == "true" else str.lower
        draws = self._companies.draws(f"peopledatalabs {entity}", key)
        if entity == "person":
            person = self._companies.person(key)
            company, is_shown = self._companies.company(person.domain), not self.options.is_free_plan
            record = person_record(person, company, draws, case, is_shown=is_shown)
        else:
            record = company_record(self._companies.company(key), draws, case)
        names = {name.strip().removeprefix("-") for name in data_include.split(",") if name.strip()}
        if names:
            is_excluding = data_include.lstrip().startswith("-")
            record = {name: value for name, value in record.items() if (name in names) is not is_excluding}
        return encode(record)[1:-1]

    def _missing(self, match: _Match, metadata: object) -> bytes:
        """What stands in a bulk answer for a subject without a record."""
        item: dict[str, object] = {"metadata": metadata}
        if self.options.item_miss != "error":
            item["status"] = match.refusal
        if self.options.item_miss != "status" or match.refusal != 404:
            item["error"] = self._error(match.refusal)
        return encode(item)

    def _refusal(self, status: int) -> Answer:
        return http_answer(status, encode({"status": status, "error": self._error(status)}))

    def _error(self, status: int) -> dict[str, object]:
        slug, message = _ERRORS.get(status, ("api_error", "Something went wrong on our side."))
        return {"type": [slug] if self.options.error_type == "list" else slug, "message": message}

    def _meters(self, path: str, usage: Usage, credits_left: int, spent: int) -> bytes:
        """The headers of each answer: what is left of the windows, and of the credits that it spends of."""
        reset = datetime.now(UTC) + timedelta(seconds=usage.resets_in)
        form = "{'minute': %d, 'day': None}" if self.options.header_form == "python" else '{"minute":%d,"day":null}'
        left = max(0, credits_left - spent)
        lines = (
            f"x-ratelimit-limit: {form % usage.limit}",
            f"x-ratelimit-remaining: {form % usage.left}",
            f"x-ratelimit-reset: {reset.isoformat()}",
            f"x-call-credits-spent: {spent}",
            f"x-call-credits-type: {'enrich_company' if 'company' in path else 'enrich'}",
            f"x-lifetime-used: {PLAN_CREDITS - left}",
            f"x-totallimit-remaining: {left}",
            f"x-totallimit-purchased-remaining: {left}",
            "x-totallimit-overages-remaining: 0",
        )
        return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


def _item(entity: str, match: _Match, metadata: object = None) -> bytes:
    """A result: a person in `data`, a company flat; in a bulk answer with what the request wants to be told again."""
    record = b'"data":{%s}' % match.record if entity == "person" else match.record
    told = b"" if metadata is None else b',"metadata":' + encode(metadata)
    return b'{"status":200,"likelihood":%d,%s%s}' % (match.likelihood, record, told)


def _json(body: bytes) -> object:
    try:
        parsed: object = loads(body)
    except ValueError:
        return None
    return parsed


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    return value.strip() if isinstance(value, str) else ""


def _number(value: object, default: int) -> int:
    return int(value) if isinstance(value, int | str) and str(value).isdecimal() else default


def _handle(params: Mapping[str, Any]) -> str:
    return _text(params, "profile").rstrip("/").rpartition("/")[2]


_ERRORS = {
    400: ("invalid_request_error", "The request is missing the least that is needed for a match."),
    401: ("authentication_error", "The API key is invalid."),
    402: ("payment_required", "You have used all matches of your account."),
    403: ("authentication_error", "The API key may not call this API."),
    404: ("not_found", "No records were found matching your request"),
    405: ("invalid_request_error", "This method is not allowed here."),
    429: ("rate_limit_error", "The rate limit of your account is reached."),
}
_CHALLENGE_PAGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"
_GATEWAY_PAGE = b"<html><head><title>The gateway has nothing behind it</title></head><body>nginx</body></html>"
_BAD_GATEWAY = http_answer(502, _GATEWAY_PAGE, HTML)
