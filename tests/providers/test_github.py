"""GitHub: whose organisation it is, and what its 403 means."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from app.provider_settings import GithubSettings, QuotaWindow
from app.providers.adapters.github import Github
from app.providers.errors import CredentialRejected, InvalidQuery, Malformed, Outage, RateLimited, Transient
from app.providers.gate import GatedSource
from app.providers.ports import Answer, Found, Missed, Query, RateInfo
from app.sandbox.server import Sandbox
from tests.providers.conftest import Control
from tests.providers.stubs import Server, answer, company, serving

ORGANIZATION: dict[str, Any] = {
    "login": "acme",
    "id": 9919,
    "name": "Acme",
    "description": "Acme plans rooftops.",
    "company": None,
    "blog": "acme.com",
    "location": "Berlin, Germany",
    "email": "opensource@acme.com",
    "twitter_username": "acmehq",
    "is_verified": True,
    "public_repos": 12,
    "created_at": "2008-03-01T12:00:00Z",
    "avatar_url": "https://avatars.githubusercontent.com/u/9919?v=4",
    "html_url": "https://github.com/acme",
    "type": "Organization",
}
ACME = company("acme.com")
MINE = SecretStr("my-own-token")


def named(name: str) -> Query:
    return Query("company", f"name:{name}", {"name": name})


def organization(*headers: str, **changes: Any) -> bytes:
    return answer(200, json.dumps(ORGANIZATION | changes).encode(), "application/json", *headers)


def refusal(status: int, message: str = "No", *headers: str) -> bytes:
    return answer(
        status, json.dumps({"message": message, "status": str(status)}).encode(), "application/json", *headers
    )


@asynccontextmanager
async def github_hearing(*said: bytes) -> AsyncIterator[tuple[Github, Server]]:
    async with serving(*said) as server:
        github = Github(GithubSettings(base_url=server.url, api_key=SecretStr("token")))
        try:
            yield github, server
        finally:
            await github.close()


async def ask(said: bytes, query: Query = ACME) -> tuple[Answer, str]:
    """The answer, and the head of the request; empty where there was none."""
    async with github_hearing(said) as (github, server):
        answered = await github.look_up(query)
    return answered, server.requests[0] if server.requests else ""


async def test_an_organization_is_read_into_canonical_fields():
    said, _ = await ask(organization())
    assert isinstance(said, Found)
    assert said.values == {
        "name": "Acme",
        "website": "https://acme.com",
        "description": "Acme plans rooftops.",
        "emails": ["opensource@acme.com"],
        "city": "Berlin",
        "country": "Germany",
        "country_code": "DE",
        "twitter_handle": "acmehq",
        "github_org": "acme",
        "logo_url": "https://avatars.githubusercontent.com/u/9919?v=4",
    }
    assert said.confidence == 1
    assert said.confidences == {"city": 0.5, "country": 0.5, "country_code": 0.5}
    assert json.loads(said.raw or b"") == ORGANIZATION


async def test_the_request_is_what_its_documents_want():
    _, head = await ask(organization())
    assert head.startswith("GET /orgs/acme HTTP")
    for line in (
        "Accept: application/vnd.github+json",
        "X-GitHub-Api-Version: 2022-11-28",
        "Authorization: Bearer token",
        "User-Agent: Holdfast/",
    ):
        assert line in head


async def test_a_workspaces_own_token_is_used_for_its_call():
    _, head = await ask(organization(), Query("company", "k", {"domain": "acme.com"}, api_key=MINE))
    assert "Authorization: Bearer my-own-token" in head
    assert "Bearer token" not in head


async def test_without_a_token_there_is_none_in_the_request():
    async with serving(organization()) as server:
        github = Github(GithubSettings(base_url=server.url))
        await github.look_up(ACME)
        await github.close()
    assert "Authorization" not in server.requests[0]


@pytest.mark.parametrize(
    ("changes", "confidence"),
    [
        ({}, 1.0),
        ({"is_verified": False}, 0.9),
        ({"is_verified": None, "blog": "http://www.acme.com/about"}, 0.9),
        ({"blog": "", "is_verified": False}, 0.9),  # its address says so
        ({"blog": "https://acme.io"}, None),
        ({"blog": "", "email": None}, None),
        ({"blog": None, "email": "acme@gmail.com"}, None),
        ({"blog": 7, "email": []}, None),
    ],
)
async def test_an_organization_is_the_domains_where_it_says_so(changes: dict[str, Any], confidence: float | None):
    said, _ = await ask(organization(**changes))
    assert (said.confidence if isinstance(said, Found) else None) == confidence


@pytest.mark.parametrize(
    ("name", "path"),
    [("Acme Widgets Inc.", "/orgs/acme-widgets "), ("ACME", "/orgs/acme "), ("Ácme & Sons", "/orgs/acme-and-sons ")],
)
async def test_a_name_is_looked_for_as_it_would_be_written_there(name: str, path: str):
    said, head = await ask(organization(name=name.removesuffix(" Inc.")), named(name))
    assert path in head
    assert isinstance(said, Found)
    assert said.confidence == 0.6


async def test_another_name_is_another_company():
    assert (await ask(organization(name="Acme Rockets"), named("Acme")))[0] == Missed()


@pytest.mark.parametrize("query", [company("co.uk"), company("a_b.com"), company(f"{'x' * 60}.com"), named("株式会社")])
async def test_what_no_organization_can_be_called_is_asked_of_nobody(query: Query):
    assert await ask(organization(), query) == (Missed(), "")


async def test_a_domain_is_asked_for_by_what_was_registered():
    said, head = await ask(organization(blog="https://acme.co.uk"), company("shop.acme.co.uk"))
    assert head.startswith("GET /orgs/acme ")
    assert isinstance(said, Found)


@pytest.mark.parametrize(
    ("location", "city", "country_code"),
    [
        ("San Francisco, CA", "San Francisco", None),
        ("Austin, Texas, United States", "Austin", "US"),
        ("France", None, "FR"),
        ("Worldwide", None, None),
        (", ", None, None),
        ("", None, None),
        (["Berlin"], None, None),
    ],
)
async def test_a_place_is_read_where_it_looks_like_one(location: object, city: str | None, country_code: str | None):
    said, _ = await ask(organization(location=location))
    assert isinstance(said, Found)
    assert (said.values.get("city"), said.values.get("country_code")) == (city, country_code)


async def test_only_what_is_asked_for_is_read():
    said, _ = await ask(organization(), Query("company", "k", {"domain": "acme.com"}, fields={"github_org"}))
    assert isinstance(said, Found)
    assert said.values == {"github_org": "acme"}


async def test_no_organization_is_a_miss():
    assert (await ask(refusal(404, "Not Found")))[0] == Missed()
    assert (await ask(refusal(451, "Repository access blocked")))[0] == Missed("legal")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (refusal(401, "Bad credentials"), CredentialRejected),
        (refusal(403, "Forbidden", "x-ratelimit-remaining: 4999"), CredentialRejected),
        (answer(403, b"Request forbidden by administrative rules.", "text/plain"), CredentialRejected),
        (refusal(422), InvalidQuery),
        (refusal(500), Transient),
        (refusal(503), Outage),
        (answer(502, b"<html></html>", "text/html"), Transient),
        (answer(404, b"<html></html>", "text/html"), Malformed),
        (answer(200, b"<html></html>", "text/html"), Malformed),
        (answer(200, b"[]"), Malformed),
        (refusal(301), Malformed),
    ],
)
async def test_a_refusal_has_its_meaning(said: bytes, kind: type[Exception]):
    with pytest.raises(kind):
        await ask(said)


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["x-ratelimit-remaining: 0", "x-ratelimit-reset: {in_90}"], 90),
        (["x-ratelimit-remaining: 0", "x-ratelimit-reset: 1000000000"], 1),
        (["x-ratelimit-remaining: 0", "x-ratelimit-reset: 4102444800"], 7200),
        (["x-ratelimit-remaining: 0", "x-ratelimit-reset: soon"], 60),
        (["x-ratelimit-remaining: 0"], 60),
        (["retry-after: 30", "x-ratelimit-remaining: 4000"], 30),
    ],
    ids=["until its reset", "a reset that is over", "a clock that is wrong", "no moment", "no reset", "secondary"],
)
async def test_a_limit_says_how_long_to_wait(status: int, headers: list[str], seconds: float):
    written = [header.format(in_90=int(time.time()) + 90) for header in headers]
    with pytest.raises(RateLimited) as limited:
        await ask(refusal(status, "Wait", *written))
    assert limited.value.retry_after == pytest.approx(seconds, abs=2)


async def test_a_limit_without_any_header_is_known_by_its_text():
    with pytest.raises(RateLimited) as limited:
        await ask(refusal(403, "You have exceeded a secondary rate limit."))
    assert limited.value.retry_after == 60


async def test_what_is_left_of_the_hour_is_announced():
    said: list[tuple[str, list[RateInfo]]] = []
    async with serving(
        organization("x-ratelimit-remaining: 59"),
        refusal(404, "Not Found", "x-ratelimit-remaining: 58"),
        refusal(404, "Not Found", "x-ratelimit-remaining: many"),
    ) as server:
        hourly = GithubSettings(base_url=server.url, quotas=(QuotaWindow(calls=60, seconds=3600),))
        github = Github(hourly)
        github.announce = lambda query, rates: said.append((query.key, list(rates)))
        for _ in range(3):
            await github.look_up(ACME)
        await github.close()
    assert said == [("domain:acme.com", [RateInfo(3600, left)]) for left in (59, 58)]


class TestInTheSandbox:
    @pytest.mark.parametrize("status", [403, 429])
    async def test_a_spent_hour_says_when_it_is_over_with_either_status(
        self, sources: dict[str, GatedSource], control: Control, status: int
    ):
        await control("PUT", "/_options/github", requests_per_hour=1, limit_status=status)
        await sources["github"].look_up(company("company-1.com"))
        with pytest.raises(RateLimited) as limited:
            await sources["github"].look_up(company("company-2.com"))
        assert 3590 < (limited.value.retry_after or 0) <= 3601

    async def test_both_limits_are_understood_and_without_a_hint_too(self, sandbox: Sandbox, control: Control):
        github = Github(GithubSettings(base_url=f"{sandbox.url}/github"))
        for mode, seconds in (("rate_limited", 7), ("rate_limited_unannounced", 60)):
            await control("PUT", "/_faults/github", mode=mode)
            for _ in range(2):  # the secondary limit and that of the hour, in turn
                with pytest.raises(RateLimited) as limited:
                    await github.look_up(ACME)
                assert limited.value.retry_after == pytest.approx(seconds, abs=2)
        await github.close()

    @pytest.mark.parametrize("token", ["scoped-token", "bad-token"])
    async def test_a_token_that_may_not_is_refused(self, sources: dict[str, GatedSource], token: str):
        query = Query("company", "k", {"domain": "company-1.com"}, api_key=SecretStr(token))
        with pytest.raises(CredentialRejected):
            await sources["github"].look_up(query)

    async def test_who_does_not_say_who_they_are_is_refused(self, sandbox: Sandbox):
        async with (
            aiohttp.ClientSession(skip_auto_headers=["User-Agent"]) as session,
            session.get(f"{sandbox.url}/github/orgs/company-1") as said,
        ):
            assert said.status == 403
