"""The embedded stack as a benchmark uses it, and a client for its API."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import SecretStr

from app.auth.permissions import KEY_SCOPES
from app.auth.service import create_api_key
from app.credits.service import grant
from app.db import Sessions, create_engine
from app.local.stack import RunningStack, StackOptions, up
from app.local.state import LocalState
from app.settings import DatabaseSettings
from app.workspaces.service import create_workspace

PROVIDERS = ("hunter", "apollo", "website")
# A miss of hunter is a 404.
ANSWERED = (200, 404)


class Rig:
    """One running stack, and one workspace's key to it."""

    def __init__(
        self, stack: RunningStack, session: aiohttp.ClientSession, data_dir: Path, workspace_id: str, api_key: str
    ) -> None:
        self._stack = stack
        self._session = session
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self.data_dir = data_dir
        self.workspace_id = workspace_id

    @property
    def state(self) -> LocalState:
        return self._stack.state

    @property
    def jobs_url(self) -> str:
        return f"{self.state.api_url}/api/v1/workspaces/{self.workspace_id}/enrichment/jobs"

    @property
    def owner_url(self) -> str:
        """The database as the owner of the tables sees it: the password is in the stack's private state."""
        passwords = json.loads((self.data_dir / "state.json").read_text())["passwords"]
        address = self.state.database_url.split("@", 1)[1]
        return f"postgresql+psycopg://holdfast_owner:{passwords['holdfast_owner']}@{address}"

    async def tenant(self, name: str, *, credit: int = 10_000_000) -> "Rig":
        """The same stack for a new workspace with `credit` credits."""
        engine = create_engine(SecretStr(self.owner_url), DatabaseSettings(pool_size=1), application="benchmark")
        try:
            async with Sessions(engine).unscoped() as session:
                workspace_id = await create_workspace(session, name)
                _, secret = await create_api_key(session, workspace_id, name, KEY_SCOPES)
                await grant(session, workspace_id, credit, key="benchmark", reason="Credits for a benchmark")
        finally:
            await engine.dispose()
        return Rig(self._stack, self._session, self.data_dir, str(workspace_id), secret)

    async def sandbox(self, method: str, path: str, **body: Any) -> Any:
        async with self._session.request(method, f"{self.state.sandbox_url}{path}", json=body or None) as answer:
            answer.raise_for_status()
            return await answer.json() if answer.status != 204 else None

    async def shape_providers(self, *, latency_ms: float, hit_rate: float) -> None:
        """Every emulated provider answers after so long and knows this share of the domains."""
        for provider in PROVIDERS:
            await self.sandbox("PUT", f"/_options/{provider}", latency_ms=latency_ms, hit_rate=hit_rate)
        await self.sandbox("PUT", "/_options/website", slow_ms=0)

    async def fault(self, provider: str, mode: str, **more: Any) -> None:
        """From now on the provider fails in this way; see app/sandbox/faults.py."""
        await self.sandbox("PUT", f"/_faults/{provider}", mode=mode, **more)

    async def mend(self) -> float:
        """End all faults; the moment, by the sandbox's clock."""
        await self.sandbox("DELETE", "/_faults")
        now: float = (await self.sandbox("GET", "/_log/hunter"))["now"]
        return now

    async def log(self, provider: str) -> list[tuple[float, int]]:
        """The provider's calls since they were forgotten: when each came, by the sandbox's clock, which is this
        machine's monotonic one, and its status, 0 without an answer."""
        return [(at, status) for at, status in (await self.sandbox("GET", f"/_log/{provider}"))["calls"]]

    async def billed(self) -> dict[str, dict[str, int]]:
        """What the sandbox charged since calls were forgotten, by provider and key."""
        received = await self.sandbox("GET", "/_calls")
        return {provider: calls["charged_by_key"] for provider, calls in received.items()}

    async def forget_calls(self) -> None:
        """Bills, counters and logs of the sandbox begin anew."""
        await self.sandbox("DELETE", "/_calls")

    async def submit(self, domains: list[str], **options: Any) -> dict[str, Any]:
        """Upload the domains as a CSV and start the job."""
        form = aiohttp.FormData()
        form.add_field("options", json.dumps({"entity": "company", **options}), content_type="application/json")
        form.add_field("file", "domain\n" + "\n".join(domains) + "\n", filename="domains.csv", content_type="text/csv")
        async with self._session.post(self.jobs_url, data=form, headers=self._headers) as answer:
            body = await answer.json()
            if answer.status != 202:
                raise RuntimeError(f"the job was refused: {body['error']}")
            job: dict[str, Any] = body["data"]
            return job

    async def look_up(self, record: dict[str, str], **options: Any) -> dict[str, Any]:
        """Look one record up, and wait for what comes of it."""
        url = f"{self.jobs_url.removesuffix('jobs')}lookups"
        async with self._session.post(url, json={"record": record, **options}, headers=self._headers) as answer:
            body = await answer.json()
            if answer.status != 200:
                raise RuntimeError(f"the lookup was not answered: {answer.status} {body['error']}")
            found: dict[str, Any] = body["data"]
            return found

    async def job(self, job_id: str) -> dict[str, Any]:
        async with self._session.get(f"{self.jobs_url}/{job_id}", headers=self._headers) as answer:
            job: dict[str, Any] = (await answer.json())["data"]
            return job

    async def until_finished(self, job_id: str, *, seconds: float, every: float = 1.0) -> dict[str, Any]:
        """The job when it has ended, looked at `every` so many seconds. Raises TimeoutError when it has not."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = await self.job(job_id)
            if job["finished_at"]:
                return job
            await asyncio.sleep(every)
        raise TimeoutError(f"job {job_id} is not finished after {seconds} s: {job['counts']}")


@asynccontextmanager
async def running_rig(data_dir: Path, *, workers: int = 1, **environment: str) -> AsyncIterator[Rig]:
    """A stack in `data_dir` with these settings; stopped at the end."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        stack = await up(StackOptions(data_dir=data_dir, workers=workers), say=lambda line: print(f"  {line}"))
    finally:
        os.environ.clear()
        os.environ.update(before)
    try:
        # No connection is kept: the API closes those that idle while a floor is measured.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            assert stack.state.api_key is not None
            yield Rig(stack, session, data_dir, stack.state.workspace_id, stack.state.api_key)
    finally:
        await stack.stop()


def domains(count: int, *, salt: str = "bench") -> list[str]:
    return [f"{salt}-{number}.com" for number in range(count)]
