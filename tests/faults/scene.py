"""A workspace on an installation of real processes, and a sandbox in the test's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
from pydantic import SecretStr
from sqlalchemy import text

from app.db import Sessions, create_engine
from app.sandbox.server import Sandbox, SandboxOptions, serve
from app.settings import DatabaseSettings
from tests.builders import job_row, make_workspace, violations
from tests.processes import Installation
from tests.servers import Database


class Scene:
    """An installation, one workspace in it, and what the sandbox saw."""

    def __init__(self, installation: Installation, sandbox: Sandbox, sessions: Sessions, workspace_id: UUID) -> None:
        self.installation = installation
        self.sandbox = sandbox
        self.sessions = sessions
        self.workspace_id = workspace_id

    async def job(self, job_id: UUID) -> dict[str, Any]:
        return await job_row(self.sessions, self.workspace_id, job_id)

    async def calls(self) -> dict[str, int]:
        """Calls that the emulated Hunter received, by domain."""
        async with aiohttp.ClientSession() as client, client.get(f"{self.sandbox.url}/_calls") as answer:
            by_key: dict[str, int] = (await answer.json())["hunter"]["by_key"]
            return by_key

    async def log(self) -> list[tuple[float, int]]:
        """When each call came, by this machine's monotonic clock, and the status of its answer, 0 without one."""
        async with aiohttp.ClientSession() as client, client.get(f"{self.sandbox.url}/_log/hunter") as answer:
            return [(at, status) for at, status in (await answer.json())["calls"]]

    async def mend(self) -> None:
        async with aiohttp.ClientSession() as client, client.delete(f"{self.sandbox.url}/_faults") as answer:
            assert answer.status == 204, await answer.text()

    async def set(self, kind: str, **body: Any) -> None:
        async with (
            aiohttp.ClientSession() as client,
            client.put(f"{self.sandbox.url}/_{kind}/hunter", json=body) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def until_called(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(await self.calls()) < count:
                await asyncio.sleep(0.02)

    async def until_finished(self, job_id: UUID) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while not (job := await self.job(job_id))["finished_at"]:
                await asyncio.sleep(0.05)
            return job

    async def ledger(self) -> list[tuple[Any, ...]]:
        async with self.sessions.for_workspace(self.workspace_id) as session:
            rows = await session.execute(text("SELECT id, amount, held_amount FROM credit_entries ORDER BY seq"))
            return [tuple(row) for row in rows]


@asynccontextmanager
async def opened(database: Database, temporal: str, logs: Path, **settings: str) -> AsyncIterator[Scene]:
    engines = [
        create_engine(SecretStr(url), DatabaseSettings(), application="test")
        for url in (database.app_url, database.owner_url)
    ]
    app, owner = map(Sessions, engines)
    sandbox = await serve(SandboxOptions(http_port=0, dns_port=0))
    try:
        installation = Installation(database, temporal, sandbox.url, logs, settings)
        scene = Scene(installation, sandbox, app, await make_workspace(owner))
        yield scene
        assert await violations(app, scene.workspace_id) == []
    finally:
        await sandbox.close()
        for engine in engines:
            await engine.dispose()
