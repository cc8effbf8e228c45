"""Clearbit Enrichment, the legacy API: people and companies, 202 for what is not fresh (clearbit.md of the provider
facts). The two hosts are served below `/person` and `/company`.

Open questions of the documents are options: `refusal_form` (how 400, 402, 403, 422, 429 and 5xx word themselves).
`pending_rate` is the share of subjects that are not fresh: such a one is answered with 202 until it was asked for
`ready_after_polls` times more and `ready_after_ms` have passed. What is charged is a look-up of a new subject, whatever
it finds.

Magic values. Keys: `bad…` is unknown (401), `poor…` has used up its plan (402), `scoped…` may not call this (403).
Mailboxes and domains: `pending…` are never fresh at first, whatever the share.
"""

from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic, time

from app.sandbox.calls import Calls, Charge
from app.sandbox.checks import count, milliseconds, one_of, share
from app.sandbox.clearbit import company_object, person_object
from app.sandbox.companies import Companies, clean_domain, clean_email, is_generic
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
from app.sandbox.windows import MINUTE, Usage, Windows

REQUESTS_PER_MINUTE = 600
LIMITED_FOR_S = 7
API_VERSION = "2019-12-19"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearbitOptions(LimitedOptions):
    """`refusal_form` chooses between readings that no primary source decides."""

    hit_rate: float = 0.55
    pending_rate: float = option(0.2, share)
    ready_after_polls: int = option(1, count)
    ready_after_ms: float = option(0.0, milliseconds)
    refusal_form: str = option("json", one_of("json", "text"))


class Clearbit:
    """The emulator of Clearbit."""

    def __init__(
        self,
        companies: Companies,
        calls: Calls,  # noqa: ARG002
        options: ClearbitOptions,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._companies = companies
        self._clock = clock
        self._windows = Windows()
        self._prepared = lru_cache(ANSWERS_KEPT)(self._prepare)
        # When a subject that was not fresh was first asked for, and how often since.
        self._queued: dict[str, tuple[float, int]] = {}
        self.configure(options)

    def configure(self, options: ClearbitOptions) -> None:
        """Take other options. What was being worked out is not known of any more."""
        self.options = options
        self._windows.clear()
        self._prepared.cache_clear()
        self._queued.clear()

    def answer(self, request: Request) -> Answer:
        """What Clearbit says."""
        answer = self._prepared(request.method, request.target)
        host = request.target[1:].partition("/")[0]
        key = bearer(request.headers) or _user(request)
        limit = self.options.requests_per_minute
        usage = Usage(limit or REQUESTS_PER_MINUTE, 1, MINUTE)
        if limit is not None:
            usage = self._windows.take(f"{key} {host}", limit)
        refused = self._refuses(key, answer, usage)
        if refused is not None:
            answer = refused._replace(keys=answer.keys)
        elif answer.keys and not self._is_ready(answer.keys[0]):
            answer = _PENDING._replace(keys=answer.keys, charges=answer.charges)
        return answer._replace(head=answer.head + _limits(usage))

    def failure(self, mode: FaultMode, turn: int, request: Request, answer: Answer) -> Answer:  # noqa: ARG002
        """How Clearbit fails."""
        match mode:
            case FaultMode.RATE_LIMITED:
                limit = self.options.requests_per_minute or REQUESTS_PER_MINUTE
                refused = self._refusal(429, "rate_limit", "You have made too many requests.")
                return refused._replace(head=refused.head + _limits(Usage(limit, limit + 1, LIMITED_FOR_S)))
            case FaultMode.QUOTA_EXHAUSTED:
                return self._over_quota()
        forms = _FAILURES.get(mode) or (
            http_answer(200, _CHALLENGE_PAGE, HTML),
            http_answer(200, b'{"id":"1","name":{"fullName":"An'),
            http_answer(200, b'{"id":7,"name":[1],"geo":"Austin","employment":"none","metrics":"many"}'),
        )
        return forms[turn % len(forms)]

    def _refuses(self, key: str, answer: Answer, usage: Usage) -> Answer | None:
        if not key:
            return _NO_KEY
        if key.startswith("bad"):
            return _UNKNOWN_KEY
        if usage.exceeded:
            return self._refusal(429, "rate_limit", "You have made too many requests.")
        if key.startswith("scoped"):
            return self._refusal(403, "api_inaccessible", "Your plan does not include this API.")
        return self._over_quota() if key.startswith("poor") and answer.keys else None

    def _is_ready(self, subject: str) -> bool:
        options = self.options
        if not subject.startswith("pending") and not self._companies.knows(
            "clearbit queue", subject, options.pending_rate
        ):
            return True
        now = self._clock()
        since, polls = self._queued.get(subject, (now, -1))
        self._queued[subject] = since, polls + 1
        return polls + 1 >= options.ready_after_polls and (now - since) * 1000 >= options.ready_after_ms

    def _prepare(self, method: str, target: str) -> Answer:
        path, query = path_and_query(target)
        match method, path:
            case "GET" | "HEAD", "/person/v2/people/find":
                return self._find_person(query)
            case "GET" | "HEAD", "/company/v2/companies/find":
                return self._find_company(query)
        return _error(404, "unknown_route", "The URL you requested was not found.")

    def _find_person(self, query: dict[str, str]) -> Answer:
        email = clean_email(query.get("email", ""))
        if not email:
            return self._refusal(422, "email_invalid", "Invalid email.")
        return _said(email, "person", self._person(email))

    def _find_company(self, query: dict[str, str]) -> Answer:
        domain = clean_domain(query.get("domain", ""))
        if not domain:
            return self._refusal(422, "domain_invalid", "Invalid domain.")
        return _said(domain, "company", self._company(domain))

    def _company(self, domain: str) -> dict[str, object] | None:
        if not self._companies.knows("clearbit", domain, self.options.hit_rate):
            return None
        record = company_object(self._companies.company(domain), self._companies.draws("clearbit company", domain))
        return record | {"logo": None}  # its service of logos has ended

    def _person(self, email: str) -> dict[str, object] | None:
        if is_generic(email) or not self._companies.knows("clearbit", email, self.options.hit_rate):
            return None
        person = self._companies.person(email)
        draws = self._companies.draws("clearbit person", email)
        return person_object(person, self._companies.company(person.domain), draws)

    def _over_quota(self) -> Answer:
        return self._refusal(402, "over_quota", "You have reached the quota of your plan.")

    def _refusal(self, status: int, slug: str, message: str) -> Answer:
        """A refusal whose form no document shows."""
        if self.options.refusal_form == "text":
            return http_answer(status, message.encode(), TEXT, _VERSION)
        return _error(status, slug, message)


def _said(subject: str, kind: str, record: dict[str, object] | None) -> Answer:
    found = _error(404, f"unknown_{kind}", f"Unknown {kind}.") if record is None else None
    answer = found or http_answer(200, encode(record), headers=_VERSION)
    return answer._replace(keys=(subject,), charges=(Charge(subject, once=f"{kind} {subject}"),))


def _error(status: int, slug: str, message: str) -> Answer:
    return http_answer(status, encode({"error": {"type": slug, "message": message}}), headers=_VERSION)


def _limits(usage: Usage) -> bytes:
    reset = int(time() + usage.resets_in) + 1
    return b"x-ratelimit-limit: %d\r\nx-ratelimit-remaining: %d\r\nx-ratelimit-reset: %d\r\n" % (
        usage.limit,
        usage.left,
        reset,
    )


def _user(request: Request) -> str:
    """The user name of Basic authentication, which is the key; empty without one."""
    scheme, _, token = request.headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"basic":
        return ""
    try:
        return b64decode(token).partition(b":")[0].decode("latin-1")
    except ValueError:
        return ""


_VERSION = f"x-api-version: {API_VERSION}\r\n"
_PENDING = http_answer(202, b"", headers=_VERSION)
_NO_KEY = _error(401, "auth_required", "A valid API key must be provided.")
_UNKNOWN_KEY = _error(401, "invalid_api_key", "Invalid API key provided.")
_CHALLENGE_PAGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"
_BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
_FAILURES = {
    FaultMode.AUTH: (_UNKNOWN_KEY,),
    FaultMode.FLAKY: (_error(500, "server_error", "Something went wrong."), http_answer(502, _BAD_GATEWAY, HTML)),
    FaultMode.OUTAGE: (
        http_answer(503, _BAD_GATEWAY.replace(b"502 Bad Gateway", b"503 Service Unavailable"), HTML),
        _error(503, "service_unavailable", "Please try again later."),
    ),
}
