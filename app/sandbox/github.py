"""GitHub's REST API: organisations (free-sources.md of the provider facts, section 6).

Open questions of the documents are options: `limit_status` (the limit is said with 403 or with 429). Organisations are
those of companies at `.com`, by the first label of the domain.

Magic values. Tokens: `bad…` is unknown (401), `scoped…` may not call this (403). Not emulated: ETags, users.
"""

from dataclasses import dataclass
from functools import lru_cache
from time import time

from app.sandbox.calls import Calls
from app.sandbox.checks import count, one_of, optional
from app.sandbox.companies import Companies, clean_domain, keep
from app.sandbox.emulator import ANSWERS_KEPT, HTML, TEXT, Answer, Request, bearer, encode, http_answer
from app.sandbox.faults import FaultMode
from app.sandbox.options import Options, option
from app.sandbox.windows import Usage, Windows

HOUR = 3600.0
# What the headers say where no limit is set: that of a token.
HOURLY = 5000
RETRY_S = 7
DOCUMENTATION = "https://docs.github.com/rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class GithubOptions(Options):
    """The limit is by token, and of all callers without one together."""

    hit_rate: float = 0.4
    requests_per_hour: int | None = option(None, optional(count))
    limit_status: int = option(403, one_of(403, 429))


class Github:
    """The emulator of GitHub."""

    def __init__(self, companies: Companies, calls: Calls, options: GithubOptions) -> None:  # noqa: ARG002
        self._companies = companies
        self._windows = Windows()
        self._prepared = lru_cache(ANSWERS_KEPT)(self._prepare)
        self.configure(options)

    def configure(self, options: GithubOptions) -> None:
        """Take other options."""
        self.options = options
        self._windows.clear()
        self._prepared.cache_clear()

    def answer(self, request: Request) -> Answer:
        """What GitHub says."""
        answer = self._prepared(request.method, request.target.partition("?")[0])
        if not request.headers.get(b"user-agent"):
            return _NO_USER_AGENT._replace(keys=answer.keys)
        token = bearer(request.headers)
        if token.startswith("bad"):
            return _BAD_CREDENTIALS._replace(keys=answer.keys)
        if token.startswith("scoped"):
            answer = _FORBIDDEN._replace(keys=answer.keys)
        limit = self.options.requests_per_hour
        if limit is None or not answer.keys:
            return _limited(answer, Usage(HOURLY, 1, HOUR))
        usage = self._windows.take(token, limit, HOUR)
        return self._exceeded(usage)._replace(keys=answer.keys) if usage.exceeded else _limited(answer, usage)

    def failure(self, mode: FaultMode, turn: int, request: Request, answer: Answer) -> Answer:  # noqa: ARG002
        """How GitHub fails. There is no quota to be bought: a spent one is the limit of the hour."""
        if mode is FaultMode.QUOTA_EXHAUSTED:
            return self._exceeded(Usage(HOURLY, HOURLY + 1, HOUR / 2))
        if mode is FaultMode.RATE_LIMITED:
            forms: tuple[Answer, ...] = (self._secondary(), self._exceeded(Usage(HOURLY, HOURLY + 1, RETRY_S)))
        else:
            forms = _FAILURES.get(mode) or (
                http_answer(200, _UNICORN, HTML),
                http_answer(200, answer.body[: len(answer.body) // 2]),
                http_answer(200, b'["login","acme"]'),
            )
        return forms[turn % len(forms)]

    def _exceeded(self, usage: Usage) -> Answer:
        said = _error("API rate limit exceeded for 127.0.0.1.", self.options.limit_status)
        return _limited(said, usage)

    def _secondary(self) -> Answer:
        said = _error("You have exceeded a secondary rate limit.", self.options.limit_status, RETRY_S)
        return _limited(said, Usage(HOURLY, 100, HOUR))

    def _prepare(self, method: str, path: str) -> Answer:
        if method not in ("GET", "HEAD"):
            return _NOT_FOUND
        match path.split("/")[1:]:
            case ["orgs", login]:
                return self._organization(login.lower())._replace(keys=(login.lower(),))
        return _NOT_FOUND

    def _organization(self, login: str) -> Answer:
        domain = clean_domain(f"{login}.com")
        if not domain or not self._companies.knows("github", domain, self.options.hit_rate):
            return _NOT_FOUND
        company = self._companies.company(domain)
        draws = self._companies.draws("github", domain)
        blogs = (f"https://www.{domain}", f"https://{domain}/", domain, f"http://{domain}")
        return http_answer(
            200,
            encode(
                {
                    "login": login,
                    "id": draws[0] * 1000 + draws[1] % 1000,
                    "name": company.name,
                    "description": keep(draws[2], 0.8, company.description),
                    "company": None,
                    "blog": blogs[draws[3] % len(blogs)],
                    "location": keep(draws[4], 0.7, f"{company.place.city}, {company.place.country}"),
                    "email": keep(draws[5], 0.5, f"opensource@{domain}"),
                    "twitter_username": keep(draws[6], 0.5, company.handle.replace("-", "")[:15]),
                    "is_verified": draws[7] & 1 == 0,
                    "public_repos": draws[8] % 300,
                    "followers": draws[9] % 5000,
                    "created_at": f"{max(2008, company.founded_year)}-03-01T12:00:00Z",
                    "avatar_url": f"https://avatars.githubusercontent.com/u/{draws[0]}?v=4",
                    "html_url": f"https://github.com/{login}",
                    "type": "Organization",
                }
            ),
        )


def _error(message: str, status: int, retry_after: int | None = None) -> Answer:
    headers = "" if retry_after is None else f"retry-after: {retry_after}\r\n"
    body = {"message": message, "documentation_url": DOCUMENTATION, "status": str(status)}
    return http_answer(status, encode(body), headers=headers)


def _limited(answer: Answer, usage: Usage) -> Answer:
    headers = (
        f"x-ratelimit-limit: {usage.limit}\r\nx-ratelimit-remaining: {usage.left}\r\n"
        f"x-ratelimit-used: {min(usage.used, usage.limit)}\r\nx-ratelimit-reset: {int(time() + usage.resets_in)}\r\n"
        "x-ratelimit-resource: core\r\n"
    )
    return answer._replace(head=answer.head + headers.encode())


_NOT_FOUND = _error("Not Found", 404)
_BAD_CREDENTIALS = _error("Bad credentials", 401)
_FORBIDDEN = _error("Resource not accessible by personal access token", 403)
_NO_USER_AGENT = http_answer(403, b"Request forbidden by administrative rules.", TEXT)
_UNICORN = b"<!DOCTYPE html><html><head><title>Unicorn! GitHub</title></head><body></body></html>"
_FAILURES = {
    FaultMode.AUTH: (_BAD_CREDENTIALS,),
    FaultMode.FLAKY: (http_answer(502, _UNICORN, HTML), _error("Server Error", 500)),
    FaultMode.OUTAGE: (http_answer(503, _UNICORN, HTML), _error("Service unavailable", 503)),
}
