"""What every answer carries for browsers, which pages may read it, and that no cookie means anything."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.types import Receive, Scope, Send

from app.local.ports import LOOPBACK
from app.main import create_app
from tests.api import Tenant, client_of, new_tenant, running_api, serving, settings_for
from tests.people import new_member
from tests.servers import Database, PostgresServer

PAGE = "https://app.example.com"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

router = APIRouter()


@router.get("/boom")
async def boom() -> None:
    raise RuntimeError("boom")


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    return await new_tenant(database)


def new_app(database: Database, **overrides: Any) -> FastAPI:
    app = create_app(settings_for(database, **overrides))
    app.include_router(router)
    return app


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(new_app(database, cors_origins=[PAGE], trusted_proxies=["127.0.0.1"])) as client:
        yield client


async def some_answers(client: httpx.AsyncClient, tenant: Tenant, **headers: str) -> list[httpx.Response]:
    """One of every kind: from routes, from errors of ours and of the framework, of nobody's."""
    known = f"{tenant.path}/credits"
    asked = [
        ("GET", known, tenant.headers, 200),
        ("GET", known, {}, 401),
        ("GET", f"{tenant.path}/enrichment/jobs?limit=0", tenant.headers, 422),
        ("GET", "/nothing", {}, 404),
        ("PUT", known, tenant.headers, 405),
        ("POST", f"{tenant.path}/enrichment/jobs", tenant.headers, 422),
        ("GET", "/boom", {}, 500),
        ("GET", "/health", {}, 200),
        ("GET", "/metrics", {}, 200),
        ("GET", "/api/v1/openapi.json", {}, 200),
        ("GET", "/docs", {}, 200),
        ("GET", "/docs/openapi-explorer.min.js", {}, 200),
    ]
    answers = []
    for method, path, own, status in asked:
        answer = await client.request(method, path, headers=own | headers)
        assert answer.status_code == status, (method, path, answer.text)
        answers.append(answer)
    return answers


async def test_every_answer_has_the_security_headers(client: httpx.AsyncClient, tenant: Tenant):
    for answer in await some_answers(client, tenant):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "camera=()" in answer.headers["Permissions-Policy"]
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "X-Powered-By" not in answer.headers
        if not answer.request.url.path.startswith("/docs"):
            assert answer.headers["Cache-Control"] == "no-store"
            assert policy == "default-src 'none'; frame-ancestors 'none'"


async def test_hsts_is_said_to_those_who_came_by_tls(client: httpx.AsyncClient, tenant: Tenant):
    for answer in await some_answers(client, tenant):
        assert "Strict-Transport-Security" not in answer.headers
    for answer in await some_answers(client, tenant, **{"X-Forwarded-Proto": "https"}):
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=63072000")


async def test_no_answer_sets_a_cookie_and_no_cookie_authenticates(
    client: httpx.AsyncClient, tenant: Tenant, database: Database
):
    person = await new_member(database, tenant.workspace_id, "owner")
    for answer in await some_answers(client, tenant, Cookie="session=1"):
        assert "Set-Cookie" not in answer.headers
    for secret in (tenant.api_key, person.access_token):
        for name in ("Authorization", "access_token", "token", "session", "sid", "Bearer"):
            for value in (secret, f"Bearer {secret}", f"Bearer%20{secret}"):
                answer = await client.get(f"{tenant.path}/credits", headers={"Cookie": f"{name}={value}"})
                assert answer.status_code == 401


async def test_pages_of_allowed_origins_alone_may_read_answers(client: httpx.AsyncClient, tenant: Tenant):
    for answer in await some_answers(client, tenant, Origin=PAGE):
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "RateLimit" in answer.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
    for origin in ("https://evil.example", "https://app.example.com.evil.example", "http://app.example.com", "null"):
        for answer in await some_answers(client, tenant, Origin=origin):
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_preflight_is_answered_for_allowed_origins_without_a_token(client: httpx.AsyncClient, tenant: Tenant):
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,content-type"}
    answer = await client.options(f"{tenant.path}/credits", headers={"Origin": PAGE} | asked)
    assert answer.status_code == 200
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    answer = await client.options(f"{tenant.path}/credits", headers={"Origin": "https://evil.example"} | asked)
    assert answer.status_code == 400
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_without_origins_there_are_no_cors_headers(database: Database, tenant: Tenant):
    async with client_of(new_app(database)) as client:
        for answer in await some_answers(client, tenant, Origin=PAGE):
            assert not [name for name in answer.headers if name.startswith("access-control-")]


class _References(HTMLParser):
    """What a page loads, and whether it has code of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        for name in ("src", "href", "spec-url"):
            if named.get(name):
                self.found.append(str(named[name]))
        if (tag == "script" and "src" not in named) or any(name.startswith("on") or name == "style" for name in named):
            self.inline.append(tag)


async def test_the_docs_are_files_that_we_serve_ourselves(database: Database):
    async with running_api(database) as client:
        page = await client.get("/docs")
        assert page.headers["Content-Type"].startswith("text/html")
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "//" not in policy
        assert "*" not in policy
        references = _References()
        references.feed(page.text)
        assert references.inline == []
        assert len(references.found) >= 3
        for reference in references.found:
            answer = await client.get(str(page.url.join(reference)))
            assert answer.status_code == 200, reference
            assert not re.match(r"[a-z]+:|//", reference)
        assert (await client.get("/docs/../main.py")).status_code == 404
        assert (await client.get("/docs/index.html")).status_code == 404


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
async def test_the_docs_show_the_api_in_a_browser_under_their_policy(database: Database, tmp_path: Path):
    paths: list[str] = []
    app = create_app(settings_for(database))

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            paths.append(scope["path"])
        await app(scope, receive, send)

    async with serving(watched) as port, asyncio.timeout(60):
        browser = await asyncio.create_subprocess_exec(
            str(CHROMIUM),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
            *("--enable-logging=stderr", f"--user-data-dir={tmp_path}", "--virtual-time-budget=5000", "--dump-dom"),
            f"http://{LOOPBACK}:{port}/docs",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        page, log = await browser.communicate()
    assert b"<openapi-explorer" in page
    # The script ran and asked for the document: nothing that the page needs was refused.
    assert "/api/v1/openapi.json" in paths
    assert [line for line in log.decode().splitlines() if "CONSOLE" in line] == []
