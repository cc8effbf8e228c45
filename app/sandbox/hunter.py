"""Hunter.io API v2: search, finder, verifier, Clearbit-shaped enrichment (hunter.md of the provider facts).

Open questions of the documents are options, so that an adapter can be run against either reading:
`finder_miss`, `clearbit_envelope`, `employees_form`, `charge_repeats`.

Magic values, in the way of test card numbers. Keys: `bad…` is unknown (401), `poor…` has used up its month
(429). Mailboxes: `suppressed…` has objected (451), `greylisted…` has a mail server that fails (222), `unknowable…` one
that tells nothing (`unknown`, free), `pending…` answers 202 to the first question of a finder or verifier.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from app.sandbox.calls import Calls, Charge
from app.sandbox.checks import count, flag, one_of, optional
from app.sandbox.clearbit import company_object, person_object
from app.sandbox.companies import Companies, clean_domain, clean_email, email_of_handle, is_generic
from app.sandbox.emulator import (
    ANSWERS_KEPT,
    Answer,
    Request,
    bearer,
    encode,
    http_answer,
    path_and_query,
)
from app.sandbox.faults import FaultMode
from app.sandbox.hunter_answers import (
    NO_ENDPOINT,
    QUOTA_EXHAUSTED,
    RATE_LIMITED,
    UNKNOWN_KEY,
    Parameters,
    failure,
    legal,
    refusal,
    wrong,
)
from app.sandbox.hunter_emails import HunterEmails
from app.sandbox.options import LimitedOptions, option
from app.sandbox.windows import SECOND, Windows

PLAN_CREDITS = 1_000_000
FREE_OF_KEY = "/v2/email-count"
VERIFIER = "/v2/email-verifier"
REPEATABLE = ("/v2/email-finder", VERIFIER)


@dataclass(frozen=True, slots=True, kw_only=True)
class HunterOptions(LimitedOptions):
    """`charge_repeats` is about enrichment; a repeated finder or verifier call is free by the documents. The documents
    limit by the second and by the minute, and verifications more narrowly than the rest."""

    hit_rate: float = 0.62
    finder_miss: str = option("null", one_of("null", "404"))
    clearbit_envelope: str = option("bare", one_of("bare", "data"))
    employees_form: str = option("int", one_of("int", "range"))
    charge_repeats: bool = option(True, flag)
    requests_per_second: int | None = option(None, optional(count))
    verifications_per_minute: int | None = option(None, optional(count))
    verifications_per_second: int | None = option(None, optional(count))


class Hunter:
    """The emulator of Hunter."""

    def __init__(self, companies: Companies, calls: Calls, options: HunterOptions) -> None:
        self._companies = companies
        self._calls = calls
        self._windows = Windows()
        self._asked: set[str] = set()
        self._prepared = lru_cache(ANSWERS_KEPT)(self._prepare)
        self.configure(options)

    def configure(self, options: HunterOptions) -> None:
        """Take other options."""
        self.options = options
        self._windows.clear()
        self._prepared.cache_clear()
        emails = HunterEmails(self._companies, options.hit_rate, options.finder_miss)
        self._endpoints: dict[str, Callable[[Parameters], Answer]] = {
            "/v2/companies/find": self._find_company,
            "/v2/people/find": self._find_person,
            "/v2/combined/find": self._find_both,
            "/v2/email-finder": emails.find,
            VERIFIER: emails.verify,
            "/v2/domain-search": emails.search,
            "/v2/email-count": emails.count,
        }

    def answer(self, request: Request) -> Answer:
        """What Hunter says."""
        target = request.target
        if request.method not in ("GET", "HEAD"):
            return NO_ENDPOINT
        key = request.headers.get(b"x-api-key", b"").decode("latin-1") or bearer(request.headers)
        if not key and "api_key=" in target:
            key = path_and_query(target)[1].get("api_key", "")
        path = target.partition("?")[0]
        if path == "/v2/account":
            return self._account(key)
        answer = self._prepared(target)
        if path == FREE_OF_KEY:
            return answer
        refused = self._refuses(key, path)
        if refused is not None:
            return refused._replace(keys=answer.keys)
        if path in REPEATABLE and answer.keys and answer.keys[0].startswith("pending") and self._is_first(target):
            return http_answer(202, b'{"data":{},"meta":{}}', keys=answer.keys)
        return answer

    def failure(self, mode: FaultMode, turn: int, request: Request, answer: Answer) -> Answer:  # noqa: ARG002
        """How Hunter fails."""
        return failure(mode, turn, answer)

    def _refuses(self, key: str, path: str) -> Answer | None:
        if not key or key.startswith("bad"):
            return UNKNOWN_KEY
        if key.startswith("poor"):
            return QUOTA_EXHAUSTED
        options = self.options
        limit, burst = options.requests_per_minute, options.requests_per_second
        if path == VERIFIER:
            limit, burst = options.verifications_per_minute, options.verifications_per_second
        if burst is not None and self._windows.take(f"{key} {path} second", burst, SECOND).exceeded:
            return RATE_LIMITED
        if limit is not None and self._windows.take(f"{key} {path}", limit).exceeded:
            return RATE_LIMITED
        return None

    def _is_first(self, target: str) -> bool:
        first = target not in self._asked
        self._asked.add(target)
        return first

    def _prepare(self, target: str) -> Answer:
        path, parameters = path_and_query(target)
        endpoint = self._endpoints.get(path)
        return endpoint(parameters) if endpoint else NO_ENDPOINT

    def _knows(self, name: str) -> bool:
        return self._companies.knows("hunter", name, self.options.hit_rate)

    def _company(self, domain: str) -> dict[str, object] | None:
        if not self._knows(domain):
            return None
        draws = self._companies.draws("hunter company", domain)
        as_range = self.options.employees_form == "range"
        return company_object(self._companies.company(domain), draws, employees_as_range=as_range)

    def _person(self, email: str) -> dict[str, object] | None:
        if is_generic(email) or not self._knows(email):
            return None
        person = self._companies.person(email)
        draws = self._companies.draws("hunter person", email)
        return person_object(person, self._companies.company(person.domain), draws)

    def _enriched(self, key: str, subject: str, data: object, parameters: Parameters, name: str) -> Answer:
        bare = parameters.get("clearbit_format") == "true" and self.options.clearbit_envelope == "bare"
        body = encode(data if bare else {"data": data, "meta": {name: key}})
        # Captures disagree on the price of a call (1, or 2 for combined): 1 here.
        charge = Charge(key, 1, "" if self.options.charge_repeats else f"{subject} {key}")
        return http_answer(200, body, keys=(key,), charges=(charge,))

    def _find_company(self, parameters: Parameters) -> Answer:
        domain = clean_domain(parameters.get("domain", ""))
        if not domain:
            return wrong("domain", parameters)
        company = self._company(domain)
        if company is None:
            return refusal(404, "not_found", "No company was found for this domain.", (domain,))
        return self._enriched(domain, "company", company, parameters, "domain")

    def _find_person(self, parameters: Parameters) -> Answer:
        handle = parameters.get("linkedin_handle", "")
        email = clean_email(parameters.get("email", "")) or email_of_handle(handle, self._companies)
        if not email:
            unknown = refusal(404, "not_found", "No person was found for this handle.", (handle,))
            return unknown if handle else wrong("email", parameters)
        if email.startswith("suppressed"):
            return legal(email)
        person = self._person(email)
        if person is None:
            return refusal(404, "not_found", "No person was found for this email address.", (email,))
        return self._enriched(email, "person", person, parameters, "email")

    def _find_both(self, parameters: Parameters) -> Answer:
        email = clean_email(parameters.get("email", ""))
        if not email:
            return wrong("email", parameters)
        if email.startswith("suppressed"):
            return legal(email)
        person, company = self._person(email), self._company(email.rpartition("@")[2])
        # Whether one half may be null is not documented; it is in Clearbit's original, so it is here.
        if person is None and company is None:
            return refusal(404, "not_found", "Nothing was found for this email address.", (email,))
        return self._enriched(email, "both", {"person": person, "company": company}, parameters, "email")

    def _account(self, key: str) -> Answer:
        if not key or key.startswith("bad"):
            return UNKNOWN_KEY
        used = PLAN_CREDITS if key.startswith("poor") else min(PLAN_CREDITS, self._calls.charged)
        meter = {"used": used, "available": PLAN_CREDITS}
        data = {
            "first_name": "Sandbox",
            "last_name": "Account",
            "email": "sandbox@holdfast.example",
            "plan_name": "Growth",
            "plan_level": 2,
            "reset_date": "2026-12-01",
            "team_id": 1,
            "calls": meter,
            "requests": {"searches": meter, "verifications": meter, "credits": meter},
        }
        return http_answer(200, encode({"data": data}))
