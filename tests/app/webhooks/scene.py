"""A workspace with endpoints, and a stack that delivers to them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from temporalio.client import WorkflowHandle

from app.credentials.sealing import Sealer
from app.settings import MailSettings, WebhookSettings
from app.webhooks.endpoints import add_endpoint
from app.webhooks.service import EventType, publish
from tests.app.credentials.sealed import KEYS
from tests.servers import Database
from tests.stack import Stack, open_stack
from workflows import ids

DEVELOPMENT = WebhookSettings(allow_private=True, timeout_seconds=2)
SEALER = Sealer.of(KEYS)


@dataclass(frozen=True)
class Scene:
    """A stack, and what its workspace is told."""

    stack: Stack

    @property
    def workspace_id(self) -> UUID:
        return self.stack.workspace_id

    async def endpoint(
        self,
        url: str,
        *types: EventType,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[UUID, str]:
        """An endpoint for these types, ``credits.low`` where none is named; its id and secret."""
        async with self.stack.sessions.for_workspace(self.workspace_id) as session:
            return await add_endpoint(
                session,
                SEALER,
                self.workspace_id,
                url=url,
                event_types=types or ("credits.low",),
                headers=headers,
            )

    async def tell(self, *numbers: int, type: EventType = "credits.low", job: str | None = None) -> None:
        """Events that hold these numbers, in one transaction."""
        async with self.stack.sessions.for_workspace(self.workspace_id) as session:
            for number in numbers:
                data = {"number": number} | ({} if job is None else {"job_id": job})
                await publish(session, self.workspace_id, type, data)

    async def rows(self, query: str, **values: object) -> list[dict[str, Any]]:
        async with self.stack.sessions.for_workspace(self.workspace_id) as session:
            return [dict(row) for row in (await session.execute(text(query), values)).mappings()]

    async def execute(self, statement: str, **values: object) -> None:
        """As the owner of the tables: how time is moved."""
        async with self.stack.owner.for_workspace(self.workspace_id) as session:
            await session.execute(text(statement), values)

    async def deliveries(self) -> list[dict[str, Any]]:
        """In the order in which they were told."""
        return await self.rows(
            "SELECT d.*, e.data FROM webhook_deliveries AS d JOIN events AS e ON e.id = d.event_id"
            " ORDER BY d.created_at, d.id"
        )

    async def attempts(self) -> list[dict[str, Any]]:
        return await self.rows("SELECT * FROM webhook_attempts ORDER BY started_at, id")

    async def standing(self, endpoint_id: UUID) -> dict[str, Any]:
        (row,) = await self.rows("SELECT * FROM webhook_endpoints WHERE id = :id", id=endpoint_id)
        return row

    async def until(
        self, reached: Callable[[Sequence[dict[str, Any]]], bool], *, seconds: float = 60
    ) -> list[dict[str, Any]]:
        """The deliveries, once they are as wanted."""
        async with asyncio.timeout(seconds):
            while not reached(found := await self.deliveries()):
                await asyncio.sleep(0.02)
            return found

    async def until_ended(self, *, seconds: float = 60) -> list[dict[str, Any]]:
        return await self.until(lambda found: all(each["state"] != "pending" for each in found), seconds=seconds)

    async def until_attempted(self, count: int, *, seconds: float = 60) -> list[dict[str, Any]]:
        """The attempts, once so many are stored."""
        async with asyncio.timeout(seconds):
            while len(found := await self.attempts()) < count:
                await asyncio.sleep(0.02)
            return found

    async def make_due(self) -> None:
        """All that waits for its next attempt has waited long enough, and so has its endpoint."""
        await self.execute(
            "UPDATE webhook_endpoints SET paused_until = NULL, failing_since = failing_since - interval '1 day'"
        )
        await self.execute(
            "UPDATE webhook_deliveries SET next_attempt_at = now(), claimed_at = NULL WHERE state = 'pending'"
        )

    def workflow(self, endpoint_id: UUID) -> WorkflowHandle[Any, Any]:
        return self.stack.client.get_workflow_handle(ids.webhook_endpoint(str(endpoint_id)))


@asynccontextmanager
async def opened(
    database: Database, temporal: str, *, webhooks: WebhookSettings = DEVELOPMENT, mail: MailSettings | None = None
) -> AsyncIterator[Scene]:
    async with open_stack(database, temporal, [], credentials=KEYS, webhooks=webhooks, mail=mail) as stack:
        yield Scene(stack)
