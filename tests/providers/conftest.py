"""The sandbox in the test's own process, and the sources that talk to it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from app.provider_settings import (
    ApolloSettings,
    ClearbitSettings,
    DnsSettings,
    EdgarSettings,
    GithubSettings,
    GleifSettings,
    HunterSettings,
    HunterVerifierSettings,
    PeopleDataLabsSettings,
    ProvidersSettings,
    RdapSettings,
    WebsiteSettings,
    WikidataSettings,
)
from app.providers.gate import GatedSource
from app.providers.registry import open_sources
from app.sandbox.server import Sandbox, SandboxOptions, serve

API_KEY = "planted-secret-5d1c"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    running = await serve(SandboxOptions())
    yield running
    await running.close()


@pytest.fixture
def provider_settings(sandbox: Sandbox) -> ProvidersSettings:
    """Every provider in the sandbox, with time limits that are not reached on a busy machine."""
    key = SecretStr(API_KEY)
    patient: Mapping[str, Any] = {"timeout_seconds": 20}
    return ProvidersSettings(
        website=WebsiteSettings(base_url=f"{sandbox.url}/website", **patient),
        dns=DnsSettings(resolver=f"127.0.0.1:{sandbox.dns_port}", **patient),
        gleif=GleifSettings(base_url=f"{sandbox.url}/gleif/api/v1", **patient),
        wikidata=WikidataSettings(base_url=f"{sandbox.url}/wikidata", **patient),
        edgar=EdgarSettings(base_url=f"{sandbox.url}/edgar", **patient),
        github=GithubSettings(base_url=f"{sandbox.url}/github", api_key=key, **patient),
        rdap=RdapSettings(base_url=f"{sandbox.url}/rdap", **patient),
        hunter=HunterSettings(base_url=f"{sandbox.url}/hunter/v2", api_key=key, **patient),
        hunter_verifier=HunterVerifierSettings(base_url=f"{sandbox.url}/hunter/v2", api_key=key, **patient),
        apollo=ApolloSettings(base_url=f"{sandbox.url}/apollo/api/v1", api_key=key, **patient),
        clearbit=ClearbitSettings(base_url=f"{sandbox.url}/clearbit", api_key=key, **patient),
        peopledatalabs=PeopleDataLabsSettings(base_url=f"{sandbox.url}/peopledatalabs/v5", api_key=key, **patient),
    )


@pytest.fixture
async def sources(provider_settings: ProvidersSettings) -> AsyncIterator[Mapping[str, GatedSource]]:
    async with open_sources(provider_settings) as opened:
        yield opened


@pytest.fixture
async def hasty_sources(provider_settings: ProvidersSettings) -> AsyncIterator[Mapping[str, GatedSource]]:
    """With time limits that a test can wait for."""
    hasty = {name: section.model_copy(update={"timeout_seconds": 0.3}) for name, section in provider_settings}
    async with open_sources(provider_settings.model_copy(update=hasty)) as opened:
        yield opened


Control = Callable[..., Awaitable[Any]]


@pytest.fixture
async def control(sandbox: Sandbox) -> AsyncIterator[Control]:
    """`await control("PUT", "/_faults/hunter", mode="outage")` speaks to the sandbox's own interface."""
    async with aiohttp.ClientSession(sandbox.url) as session:

        async def speak(method: str, path: str, **body: object) -> Any:
            async with session.request(method, path, json=body or None) as response:
                text = await response.text()
                assert response.status < 300, text
                return json.loads(text) if text else None

        yield speak
