"""The API for tests: in this process through ASGI, with its lifespan, and a workspace with a key of all scopes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import httpx
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi import FastAPI
from pydantic import SecretStr

from app.auth.permissions import KEY_SCOPES, Permission
from app.auth.service import create_api_key
from app.credits.service import grant
from app.db import Sessions, create_engine
from app.local.ports import LOOPBACK
from app.main import create_app
from app.settings import DatabaseSettings, Settings
from app.workspaces.service import create_workspace
from tests.servers import Database

# What access tokens are signed with in tests: the same in all of them, and nowhere else.
SIGNING_KEYS = {
    "test": SecretStr(
        Ed25519PrivateKey.from_private_bytes(bytes(32))
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode()
    )
}


@dataclass(frozen=True, slots=True)
class Tenant:
    """A workspace and the secret of one of its keys."""

    workspace_id: UUID
    api_key_id: UUID
    api_key: str

    @property
    def path(self) -> str:
        return f"/api/v1/workspaces/{self.workspace_id}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}


def settings_for(database: Database, /, **overrides: object) -> Settings:
    """Settings of a process that uses this database, and a Temporal that is not there."""
    values: dict[str, object] = {
        "environment": "local",
        "database_url": SecretStr(database.app_url),
        "platform_database_url": SecretStr(database.platform_url),
        "owner_database_url": SecretStr(database.owner_url),
        "temporal": {"address": "127.0.0.1:1"},
        "auth": {"signing_keys": SIGNING_KEYS},
        # There, and out of the way of tests that are about something else.
        "rate_limits": {"auth": 1_000_000, "api": 1_000_000, "upload": 1_000_000},
    }
    return Settings.model_validate(values | overrides)


@asynccontextmanager
async def owner_sessions(database: Database) -> AsyncIterator[Sessions]:
    """Transactions of the owner of the tables, who sees every workspace."""
    engine = create_engine(SecretStr(database.owner_url), DatabaseSettings(pool_size=2), application="tests")
    try:
        yield Sessions(engine)
    finally:
        await engine.dispose()


async def new_tenant(
    database: Database, *, scopes: Collection[Permission] = KEY_SCOPES, credit: int = 1000, name: str = "Tests"
) -> Tenant:
    """A workspace with `credit` credits and a key of `scopes`."""
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        workspace_id = await create_workspace(session, name)
        api_key_id, secret = await create_api_key(session, workspace_id, "Tests", scopes)
        if credit:
            await grant(session, workspace_id, credit, key="tests", reason="Credits for a test")
    return Tenant(workspace_id, api_key_id, secret)


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `app` in this process, between its start-up and its shutdown."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://holdfast.test") as client,
    ):
        yield client


@asynccontextmanager
async def running_api(database: Database, /, **overrides: object) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole API on this database."""
    async with client_of(create_app(settings_for(database, **overrides))) as client:
        yield client


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[int]:
    """`app` behind a real uvicorn on loopback; yields its port."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, http="httptools", proxy_headers=False))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            # Who connects before the server has started waits in the backlog of the socket.
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await task
