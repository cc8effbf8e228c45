"""The floors of the API: FastAPI with nothing of ours between the request and the server behind it.

Run by benchmarks/api.py: ``uvicorn benchmarks.api_floor:create_app --factory``.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
from fastapi import FastAPI
from psycopg.rows import dict_row
from temporalio.client import Client

from app.settings import DatabaseSettings
from workflows.contracts.enrichment import JobRef
from workflows.enrichment import EnrichRecords

_SELECT = """
    SELECT id, status, entity, fields, total, matched, partial, not_found, failed, cancelled, held, charged, created_at,
           started_at, finished_at
    FROM enrichment_jobs WHERE id = %s
"""


def create_app() -> FastAPI:
    pool: asyncio.LifoQueue[psycopg.AsyncConnection[dict[str, Any]]] = asyncio.LifoQueue()
    opened: dict[str, Client] = {}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # As many as the API has, of a role that reads every row: no workspace is set, and nothing else is asked.
        for _ in range(DatabaseSettings().pool_size):
            pool.put_nowait(
                await psycopg.AsyncConnection.connect(
                    os.environ["FLOOR_DATABASE_URL"], autocommit=True, row_factory=dict_row
                )
            )
        opened["temporal"] = await Client.connect(os.environ["FLOOR_TEMPORAL"])
        yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/jobs/{job_id}")
    async def get_job(job_id: UUID) -> dict[str, Any] | None:
        connection = await pool.get()
        try:
            return await (await connection.execute(_SELECT, (job_id,))).fetchone()
        finally:
            pool.put_nowait(connection)

    @app.post("/jobs", status_code=202)
    async def start_job(body: dict[str, Any]) -> dict[str, Any]:
        job_id = str(uuid4())
        # A queue that nobody polls: what is measured is the start.
        await opened["temporal"].start_workflow(
            EnrichRecords.run, JobRef(str(body["workspace_id"]), job_id), id=job_id, task_queue="floor"
        )
        return {"id": job_id}

    return app
