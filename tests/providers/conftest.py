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
    """Every provider in the sandbox, with time limits that a test can wait for."""
    key = SecretStr(API_KEY)
    quick: Mapping[str, Any] = {"timeout_seconds": 0.3}
    return ProvidersSettings(
        website=WebsiteSettings(base_url=f"{sandbox.url}/website", **quick),
        dns=DnsSettings(resolver=f"127.0.0.1:{sandbox.dns_port}", timeout_seconds=0.2),
        gleif=GleifSettings(base_url=f"{sandbox.url}/gleif/api/v1", **quick),
        wikidata=WikidataSettings(base_url=f"{sandbox.url}/wikidata", **quick),
        edgar=EdgarSettings(base_url=f"{sandbox.url}/edgar", **quick),
        github=GithubSettings(base_url=f"{sandbox.url}/github", api_key=key, **quick),
        rdap=RdapSettings(base_url=f"{sandbox.url}/rdap", **quick),
        hunter=HunterSettings(base_url=f"{sandbox.url}/hunter/v2", api_key=key, **quick),
        hunter_verifier=HunterVerifierSettings(base_url=f"{sandbox.url}/hunter/v2", api_key=key, **quick),
        apollo=ApolloSettings(base_url=f"{sandbox.url}/apollo/api/v1", api_key=key, **quick),
        clearbit=ClearbitSettings(base_url=f"{sandbox.url}/clearbit", api_key=key, **quick),
        peopledatalabs=PeopleDataLabsSettings(base_url=f"{sandbox.url}/peopledatalabs/v5", api_key=key, **quick),
    )


@pytest.fixture
async def sources(provider_settings: ProvidersSettings) -> AsyncIterator[Mapping[str, GatedSource]]:
    async with open_sources(provider_settings) as opened:
        yield opened


@pytest.fixture
async def patient_sources(provider_settings: ProvidersSettings) -> AsyncIterator[Mapping[str, GatedSource]]:
    """With time limits that hundreds of calls at once do not reach on a busy machine."""
    sections = {name: getattr(provider_settings, name) for name in ("website", "dns", "rdap")}
    patient = {name: section.model_copy(update={"timeout_seconds": 20}) for name, section in sections.items()}
    async with open_sources(provider_settings.model_copy(update=patient)) as opened:
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
