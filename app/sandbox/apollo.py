"""Apollo.io REST API v1: company and person enrichment, single and in tens (apollo.md of the provider facts).

Open questions of the documents are options: `miss_form` (a miss is 200 with null, without the key, or with an
empty object; in bulk answers the same three), `bulk_order` (whether results stand in the order of the questions) and
`credit_status` (the 4xx that says the credits are gone).

Magic values. Keys: `bad…` is unknown (401), `poor…` has no credits left, `scoped…` may not call this (403).
Mailboxes: `locked…` exists but is not unlocked. Not emulated: telephone numbers and waterfalls, which arrive by
webhook.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from json import loads
from typing import Any
from urllib.parse import parse_qsl

from app.sandbox.apollo_records import organization_object, person_object
from app.sandbox.calls import Calls, Charge
from app.sandbox.checks import count, one_of, optional
from app.sandbox.companies import (
    Companies,
    clean_domain,
    clean_email,
    domain_of_name,
    email_of_handle,
    is_generic,
)
from app.sandbox.emulator import (
    ANSWERS_KEPT,
    HTML,
    TEXT,
    Answer,
    Request,
    bearer,
    encode,
    http_answer,
    path_and_query,
)
from app.sandbox.faults import FaultMode
from app.sandbox.options import LimitedOptions, option
from app.sandbox.windows import Usage, Windows

BULK_MAX = 10
PLAN_CREDITS = 1_000_000
RATE_LIMIT_RETRY_S = 7

# How a miss stands in an answer, by miss_form; nothing for a miss that is left out.
_MISSES = {"null": b"null", "empty": b"{}", "absent": b""}

# An unlimited window shows as an empty limit and no usage, so a client sees nothing to slow down for.
UNLIMITED = "x-rate-limit-minute: \r\nx-rate-limit-hourly: \r\nx-rate-limit-24-hour: \r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApolloOptions(LimitedOptions):
    """`miss_form`, `bulk_order` and `credit_status` choose between readings that no primary source decides. Windows are
    by endpoint; those for many at once may be narrower."""

    hit_rate: float = 0.58
    miss_form: str = option("null", one_of("null", "absent", "empty"))
    bulk_order: str = option("asked", one_of("asked", "reversed"))
    credit_status: int = option(422, one_of(402, 403, 422, 429))
    bulk_requests_per_minute: int | None = option(None, optional(count))


class Apollo:
    """The emulator of Apollo."""

    def __init__(self, companies: Companies, calls: Calls, options: ApolloOptions) -> None:
        self._companies = companies
        self._calls = calls
        self._windows = Windows()
        self._prepared = lru_cache(ANSWERS_KEPT)(self._prepare)
        self._organization = lru_cache(ANSWERS_KEPT)(self._encode_organization)
        self.configure(options)

    def configure(self, options: ApolloOptions) -> None:
        """Take other options."""
        self.options = options
        self._windows.clear()
        self._prepared.cache_clear()
        self._organization.cache_clear()

    def answer(self, request: Request) -> Answer:
        """What Apollo says."""
        answer = self._prepared(request.method, request.target, request.body)
        path = request.target.partition("?")[0]
        key = request.headers.get(b"x-api-key", b"").decode("latin-1")
        refused = self._refuses(key, bearer(request.headers))
        if refused is not None:
            return refused._replace(keys=answer.keys)
        limit = self.options.requests_per_minute
        if "/bulk_" in path and self.options.bulk_requests_per_minute is not None:
            limit = self.options.bulk_requests_per_minute
        if limit is None or not answer.keys:
            return self._usage(path) if path.startswith("/api/v1/usage_stats/") else answer
        usage = self._windows.take(f"{key} {path}", limit)
        if usage.exceeded:
            return _rate_limited(path, usage)._replace(keys=answer.keys)
        return answer._replace(head=answer.head.replace(UNLIMITED.encode(), _limited(usage).encode()))

    def failure(self, mode: FaultMode, turn: int, request: Request, answer: Answer) -> Answer:
        """How Apollo fails."""
        if mode is FaultMode.RATE_LIMITED:
            limit = self.options.requests_per_minute or 1000
            return _rate_limited(request.target.partition("?")[0], Usage(limit, limit + 1, RATE_LIMIT_RETRY_S))
        if mode is FaultMode.QUOTA_EXHAUSTED:
            return _no_credits(self.options.credit_status)
        forms = _FAILURES.get(mode) or (
            http_answer(200, _CHALLENGE_PAGE, HTML),
            http_answer(200, answer.body[: len(answer.body) // 2], headers=UNLIMITED),
            http_answer(200, _WRONG_TYPES, headers=UNLIMITED),
        )
        return forms[turn % len(forms)]

    def _refuses(self, key: str, token: str) -> Answer | None:
        if token and not key:
            return _BAD_TOKEN if token.startswith("bad") else None
        if not key or key.startswith("bad"):
            return _UNKNOWN_KEY
        if key.startswith("scoped"):
            return _OUT_OF_SCOPE
        return _no_credits(self.options.credit_status) if key.startswith("poor") else None

    def _prepare(self, method: str, target: str, body: bytes) -> Answer:
        path, query = path_and_query(target)
        match method, path:
            case "GET" | "HEAD", "/api/v1/organizations/enrich":
                return self._enrich(query)
            case "POST", "/api/v1/organizations/bulk_enrich":
                return self._bulk_enrich(target, body)
            case "POST", "/api/v1/people/match":
                # Declared as query only; a JSON body of the same fields works in the wild.
                described = _json(body) if body else {}
                return self._match(target, query | described) if isinstance(described, dict) else _UNPROCESSABLE
            case "POST", "/api/v1/people/bulk_match":
                return self._bulk_match(target, body)
            case "GET", "/api/v1/auth/health":
                return http_answer(200, b'{"healthy":true,"is_logged_in":true}')
            case "POST", "/api/v1/usage_stats/api_usage_stats" | "/api/v1/usage_stats/credit_usage_stats":
                return http_answer(200, b"{}")
        return http_answer(404, b'{"error":"Not found"}')

    def _enrich(self, query: dict[str, str]) -> Answer:
        domain = _domain_of(query)
        if not domain:
            return http_answer(422, b'{"error":"domain, linkedin_url, name or website is required"}')
        organization = self._organization(domain)
        if organization is None:
            return _found(b"{" + self._member("organization", None) + b"}", (domain,))
        return _found(b"{" + self._member("organization", organization) + b"}", (domain,), (Charge(domain),))

    def _bulk_enrich(self, target: str, body: bytes) -> Answer:
        described = _json(body) if body else None
        if body and (not isinstance(described, dict) or not _is_details(described.get("details", []))):
            return _UNPROCESSABLE
        details = described.get("details", []) if isinstance(described, dict) else []
        if not details:
            asked = parse_qsl(target.partition("?")[2])
            details = [{"domain": value} for name, value in asked if name in ("domains[]", "domains")]
        if not details or len(details) > BULK_MAX:
            return _invalid_bulk("domains", len(details))
        domains = [_domain_of(detail) for detail in details]
        keys = tuple(domain for domain in domains if domain)
        found = {domain: organization for domain in keys if (organization := self._organization(domain))}
        summary = {
            "status": "success",
            "error_code": None,
            "error_message": None,
            "total_requested_records": len(details),
            "total_requested_domains": len(details),
            "unique_domains": len(set(keys)),
            "unique_records": len(set(keys)),
            "unique_enriched_records": len(found),
            "missing_records": len(details) - sum(domain in found for domain in domains),
        }
        records = [found.get(domain) for domain in domains]
        return _found(self._with_list(summary, "organizations", records), keys, tuple(map(Charge, found)))

    def _match(self, target: str, query: dict[str, Any]) -> Answer:
        email = self._email_of(query)
        if not email:
            return http_answer(422, b'{"error":"Not enough information to identify a person"}')
        person = self._person(email)
        request_id = self._companies.draws("apollo request", target)
        members = (b'"request_id":%d' % _signed(request_id[:4]), self._member("person", person))
        body = b"{" + b",".join(filter(None, members)) + b"}"
        return _found(body, (email,), (Charge(email),) if person else ())

    def _bulk_match(self, target: str, body: bytes) -> Answer:
        described = _json(body) if body else {}
        if not isinstance(described, dict) or not _is_details(described.get("details", [])):
            return _UNPROCESSABLE
        details = described.get("details", [])
        if not details or len(details) > BULK_MAX:
            return _invalid_bulk("details", len(details))
        emails = [self._email_of(detail) for detail in details]
        records = [self._person(email) if email else None for email in emails]
        found = {email for email, record in zip(emails, records, strict=True) if record}
        summary = {
            "status": "success",
            "error_code": None,
            "error_message": None,
            "total_requested_enrichments": len(details),
            "unique_enriched_records": len(found),
            "missing_records": records.count(None),
            "credits_consumed": float(len(found)),
            "request_id": _signed(self._companies.draws("apollo request", f"{target} {body!r}")[:4]),
        }
        charges = tuple(Charge(email) for email in dict.fromkeys(emails) if email in found)
        return _found(self._with_list(summary, "matches", records), tuple(filter(None, emails)), charges)

    def _encode_organization(self, domain: str) -> bytes | None:
        if not self._companies.knows("apollo", domain, self.options.hit_rate):
            return None
        draws = self._companies.draws("apollo company", domain)
        return encode(organization_object(self._companies.company(domain), draws))

    def _person(self, email: str) -> bytes | None:
        if is_generic(email) or not self._companies.knows("apollo", email, self.options.hit_rate):
            return None
        person = self._companies.person(email)
        company = self._companies.company(person.domain)
        record = encode(person_object(person, company, self._companies.draws("apollo person", email)))
        return record[:-1] + b',"organization":' + (self._organization(person.domain) or b"null") + b"}"

    def _member(self, name: str, record: bytes | None) -> bytes:
        value = record or _MISSES[self.options.miss_form]
        return b'"%s":%s' % (name.encode(), value) if value else b""

    def _with_list(self, summary: Mapping[str, object], name: str, records: list[bytes | None]) -> bytes:
        miss = _MISSES[self.options.miss_form]
        ordered = reversed(records) if self.options.bulk_order == "reversed" else records
        listed = b",".join(item for record in ordered if (item := record or miss))
        return encode(summary)[:-1] + b',"%s":[%s]}' % (name.encode(), listed)

    def _email_of(self, query: dict[str, Any]) -> str:
        email = clean_email(_text(query, "email"))
        if email:
            return email
        handle = _text(query, "linkedin_url").rstrip("/").rpartition("/")[2]
        if email := email_of_handle(handle, self._companies):
            return email
        first, last = _text(query, "first_name"), _text(query, "last_name")
        if not (first and last):
            first, _, last = _text(query, "name").partition(" ")
        domain = _domain_of({"domain": _text(query, "domain"), "name": _text(query, "organization_name")})
        return clean_email(self._companies.address(first, last, domain)) if first and last and domain else ""

    def _usage(self, path: str) -> Answer:
        credits_used = self._calls.charged
        if path.endswith("/credit_usage_stats"):
            left = max(0, PLAN_CREDITS - credits_used)
            meter = {"limit": PLAN_CREDITS, "consumed": credits_used, "left_over": left}
            cycle = {"start_date": "2026-11-01", "end_date": "2026-11-30"}
            stats: dict[str, object] = {
                "credit_usage_stats": {"lead_credit": meter},
                "current_credit_cycle": cycle,
            }
            return http_answer(200, encode(stats))
        limit = self.options.requests_per_minute
        window = {"limit": limit, "consumed": self._calls.total, "left_over": None}
        endpoints = ('["api/v1/organizations", "enrich"]', '["api/v1/people", "match"]')
        return http_answer(200, encode({endpoint: {"minute": window} for endpoint in endpoints}))


def _found(body: bytes, keys: tuple[str, ...], charges: tuple[Charge, ...] = ()) -> Answer:
    return http_answer(200, body, headers=UNLIMITED, keys=keys, charges=charges)


def _limited(usage: Usage) -> str:
    return (
        f"x-rate-limit-minute: {usage.limit}\r\nx-minute-usage: {usage.used}\r\n"
        f"x-minute-requests-left: {usage.left}\r\nx-rate-limit-hourly: \r\nx-rate-limit-24-hour: \r\n"
    )


def _rate_limited(path: str, usage: Usage) -> Answer:
    route = path.removeprefix("/")
    limit = f"{usage.limit} times per minute"
    said = f"The maximum number of api calls allowed for {route} is {limit}. Please upgrade your plan."
    retry = f"retry-after: {int(usage.resets_in) + 1}\r\n"
    return http_answer(429, encode({"message": said}), headers=_limited(usage) + retry)


def _no_credits(status: int) -> Answer:
    return http_answer(status, b'{"error":"You have insufficient credits to complete this request."}')


def _invalid_bulk(field: str, size: int) -> Answer:
    code = "RECORD_LIMIT_EXCEEDED" if size else "INVALID_REQUEST"
    said = f"At most {BULK_MAX} records are allowed" if size else f"{field} is missing"
    return http_answer(400, encode({"status": "failed", "error_code": code, "error_message": said}))


def _json(body: bytes) -> object:
    try:
        parsed: object = loads(body)
    except ValueError:
        return None
    return parsed


def _is_details(details: object) -> bool:
    return isinstance(details, list) and all(isinstance(detail, dict) for detail in details)


def _text(query: dict[str, Any], name: str) -> str:
    value = query.get(name)
    return value.strip() if isinstance(value, str) else ""


def _domain_of(query: dict[str, Any]) -> str:
    domain = clean_domain(_text(query, "domain")) or clean_domain(_text(query, "website"))
    if domain:
        return domain
    handle = _text(query, "linkedin_url").rstrip("/").rpartition("/")[2]
    return domain_of_name(handle or _text(query, "name"))


def _signed(draws: tuple[int, ...]) -> int:
    # Signed 64 bits, often negative: the quirk that breaks clients which keep it as unsigned or as a double.
    return int.from_bytes(b"".join(draw.to_bytes(2, "little") for draw in draws), "little", signed=True)


_CHALLENGE_PAGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"
_BAD_GATEWAY = b"<html><head><title>503 Service Temporarily Unavailable</title></head><body>nginx</body></html>"
_WRONG_TYPES = b'{"request_id":"x","organization":"yes","organizations":7,"person":42,"matches":{"0":[]}}'
_UNKNOWN_KEY = http_answer(401, b"Invalid access credentials.", TEXT)
_BAD_TOKEN = http_answer(401, b'{"error":"Invalid access token","error_code":"INVALID_ACCESS_TOKEN"}')
_OUT_OF_SCOPE = http_answer(403, b'{"error":"This API key has no access","error_code":"API_INACCESSIBLE"}')
_UNPROCESSABLE = http_answer(
    422, b'{"status":"failed","error_code":"UNKNOWN_ERROR","error_message":"Invalid request body"}'
)
_FAILURES = {
    FaultMode.AUTH: (_UNKNOWN_KEY,),
    FaultMode.FLAKY: (http_answer(500, b'{"error":"Internal Server Error"}'), http_answer(500, b"", TEXT)),
    FaultMode.OUTAGE: (
        http_answer(503, _BAD_GATEWAY, HTML),
        http_answer(503, b'{"error":"Service unavailable"}'),
    ),
}
