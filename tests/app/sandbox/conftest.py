"""A real sandbox on loopback for each test, and a client that speaks to it by HTTP."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from app.sandbox.server import Sandbox, SandboxOptions, serve
from tests.app.sandbox.client import Client
from tests.stripe_sandbox import StripeSandbox, open_stripe


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    running = await serve(SandboxOptions())
    yield running
    await running.close()


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(sandbox.url, timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield Client(session)


@pytest.fixture
async def emulated(sandbox: Sandbox) -> AsyncIterator[StripeSandbox]:
    """Its Stripe."""
    async with open_stripe(sandbox.url) as opened:
        yield opened
