"""A worker in the test's own process: real PostgreSQL, real Temporal, fake providers at the port."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from pydantic import SecretStr
from sqlalchemy import text
from temporalio.client import Client, WorkflowHandle

from app.background import loops
from app.db import Sessions, create_engine
from app.mail.mailers import mailer_of
from app.metrics import new_registry
from app.outbox import service as outbox
from app.outbox.relay import Relay
from app.providers.adapters.webhooks import HttpDeliverer
from app.providers.circuits import SharedCircuits
from app.providers.payments import PaymentsApi
from app.providers.quotas import SharedQuotas
from app.resources import WorkerResources
from app.settings import (
    BillingSettings,
    CredentialSettings,
    EnrichmentSettings,
    MailSettings,
    OutboxSettings,
    Settings,
    TemporalSettings,
    WebhookSettings,
)
from app.temporal import bootstrap, connect
from tests.builders import job_row, make_workspace, wish
from tests.fakes import FakeSource
from tests.servers import Database
from worker import build_workers
from workflows import ids

ENRICHMENT = EnrichmentSettings(calls_per_lookup=10, flush_answers=20, flush_seconds=0.05)
OUTBOX = OutboxSettings(poll_seconds=0.2, reconcile_every_seconds=0.2, stale_after_seconds=1)


@dataclass(frozen=True)
class Stack:
    """One workspace, and what it takes to run its jobs."""

    resources: WorkerResources
    owner: Sessions
    workspace_id: UUID

    @property
    def sessions(self) -> Sessions:
        return self.resources.sessions

    @property
    def client(self) -> Client:
        return self.resources.temporal

    def workflow(self, job_id: UUID) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(ids.enrichment_job(str(job_id)))

    @asynccontextmanager
    async def worker(self, *sources: FakeSource) -> AsyncIterator[None]:
        """Run workers, relay and reconciler for as long as the block lasts; with other `sources` where given."""
        resources = replace(self.resources, metrics=new_registry())
        if sources:
            resources = replace(resources, sources={source.name: source for source in sources})
        workers = build_workers(resources)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each.run()) for each in workers]
            background = [tasks.create_task(loop) for loop in loops(resources)]
            try:
                yield
            finally:
                await asyncio.gather(*(each.shutdown() for each in workers))
                for task in (*running, *background):
                    task.cancel()

    async def relayed(self) -> int:
        """Send what the outbox has, as a worker would that does nothing else; how much that was."""
        relay = Relay(
            self.resources.platform_sessions,
            self.resources.platform_engine,
            self.client,
            self.resources.settings.outbox,
            self.resources.settings.temporal,
            new_registry(),
        )
        return await relay.deliver_due()

    async def job(self, job_id: UUID) -> dict[str, Any]:
        return await job_row(self.sessions, self.workspace_id, job_id)

    async def wake(self, job_id: UUID, state: str) -> None:
        """Pause, resume or cancel the job as the API does."""
        await wish(self.sessions, self.workspace_id, job_id, state)
        async with self.sessions.for_workspace(self.workspace_id) as session:
            await outbox.wake(session, self.workspace_id, ids.enrichment_job(str(job_id)))

    async def until(self, job_id: UUID, reached: Callable[[dict[str, Any]], bool], *, seconds: float = 60) -> Any:
        """Look at the job's row until it is as wanted."""
        async with asyncio.timeout(seconds):
            while not reached(job := await self.job(job_id)):
                await asyncio.sleep(0.02)
            return job

    async def until_waiting(self, job_id: UUID, *, seconds: float = 60) -> None:
        """Wait until the job waits for a provider."""
        query = text("SELECT count(*) FROM enrichment_job_providers WHERE job_id = :id AND waiting_until IS NOT NULL")
        async with asyncio.timeout(seconds):
            while True:
                async with self.sessions.for_workspace(self.workspace_id) as session:
                    if (await session.execute(query, {"id": job_id})).scalar_one():
                        return
                await asyncio.sleep(0.02)

    async def until_finished(self, job_id: UUID, *, seconds: float = 60) -> dict[str, Any]:
        job = await self.until(job_id, lambda row: row["finished_at"] is not None, seconds=seconds)
        return dict(job)


@asynccontextmanager
async def open_stack(
    database: Database,
    temporal_address: str,
    sources: Sequence[FakeSource],
    *,
    enrichment: EnrichmentSettings = ENRICHMENT,
    outbox_settings: OutboxSettings = OUTBOX,
    client: Client | None = None,
    credentials: CredentialSettings | None = None,
    webhooks: WebhookSettings | None = None,
    mail: MailSettings | None = None,
    payments: PaymentsApi | None = None,
    billing: BillingSettings | None = None,
) -> AsyncIterator[Stack]:
    settings = Settings(
        database_url=SecretStr(database.app_url),
        platform_database_url=SecretStr(database.platform_url),
        temporal=TemporalSettings(address=temporal_address, task_queue_prefix=f"{uuid4().hex[:8]}-"),
        enrichment=enrichment,
        outbox=outbox_settings,
        credentials=credentials or CredentialSettings(),
        webhooks=webhooks or WebhookSettings(allow_private=True),
        mail=mail or MailSettings(),
        billing=billing or BillingSettings(),
    )
    engines = [
        create_engine(SecretStr(url), settings.database, application="test")
        for url in (database.app_url, database.platform_url, database.owner_url)
    ]
    app, platform, owner = engines
    deliverer = HttpDeliverer(settings.webhooks)
    try:
        if client is None:
            client = await connect(settings.temporal, lazy=False)
        await bootstrap(client)
        resources = WorkerResources(
            settings,
            Sessions(app),
            Sessions(platform),
            platform,
            client,
            {source.name: source for source in sources},
            new_registry(),
            _no_reports,
            SharedCircuits(Sessions(platform), platform),
            SharedQuotas(Sessions(app), app),
            deliverer,
            mailer_of(settings.mail),
            {},
            payments,
        )
        owner_sessions = Sessions(owner)
        yield Stack(resources, owner_sessions, await make_workspace(owner_sessions))
    finally:
        await deliverer.close()
        for engine in engines:
            await engine.dispose()


async def _no_reports() -> None:
    """Fake sources have no circuit to report."""
