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

from app.local.stack import RunningStack, StackOptions, up
from app.local.state import LocalState

PROVIDERS = ("hunter", "apollo", "website")


class Rig:
    """One running stack, and one workspace's key to it."""

    def __init__(self, stack: RunningStack, session: aiohttp.ClientSession, data_dir: Path) -> None:
        self._stack = stack
        self._session = session
        self.data_dir = data_dir

    @property
    def state(self) -> LocalState:
        return self._stack.state

    @property
    def jobs_url(self) -> str:
        return f"{self.state.api_url}/api/v1/workspaces/{self.state.workspace_id}/enrichment/jobs"

    async def sandbox(self, method: str, path: str, **body: Any) -> Any:
        async with self._session.request(method, f"{self.state.sandbox_url}{path}", json=body or None) as answer:
            answer.raise_for_status()
            return await answer.json() if answer.status != 204 else None

    async def shape_providers(self, *, latency_ms: float, hit_rate: float) -> None:
        """Every emulated provider answers after so long and knows this share of the domains."""
        for provider in PROVIDERS:
            await self.sandbox("PUT", f"/_options/{provider}", latency_ms=latency_ms, hit_rate=hit_rate)
        await self.sandbox("PUT", "/_options/website", slow_ms=0)

    async def submit(self, domains: list[str], **options: Any) -> dict[str, Any]:
        """Upload the domains as a CSV and start the job."""
        form = aiohttp.FormData()
        form.add_field("options", json.dumps({"entity": "company", **options}), content_type="application/json")
        form.add_field("file", "domain\n" + "\n".join(domains) + "\n", filename="domains.csv", content_type="text/csv")
        async with self._session.post(self.jobs_url, data=form) as answer:
            body = await answer.json()
            if answer.status != 202:
                raise RuntimeError(f"the job was refused: {body['error']}")
            job: dict[str, Any] = body["data"]
            return job

    async def job(self, job_id: str) -> dict[str, Any]:
        async with self._session.get(f"{self.jobs_url}/{job_id}") as answer:
            job: dict[str, Any] = (await answer.json())["data"]
            return job

    async def until_finished(self, job_id: str, *, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = await self.job(job_id)
            if job["finished_at"]:
                return job
            await asyncio.sleep(1.0)
        raise TimeoutError(f"job {job_id} is not finished after {seconds} s: {job['counts']}")


@asynccontextmanager
async def running_rig(data_dir: Path, *, workers: int = 1, **environment: str) -> AsyncIterator[Rig]:
    """A stack in `data_dir` with these settings; stopped at the end."""
    os.environ.update(environment)
    stack = await up(StackOptions(data_dir=data_dir, workers=workers), say=lambda line: print(f"  {line}"))
    try:
        headers = {"Authorization": f"Bearer {stack.state.api_key}"}
        # No connection is kept: the API closes those that idle while a floor is measured.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
            yield Rig(stack, session, data_dir)
    finally:
        await stack.stop()


def domains(count: int, *, salt: str = "bench") -> list[str]:
    return [f"{salt}-{number}.com" for number in range(count)]
