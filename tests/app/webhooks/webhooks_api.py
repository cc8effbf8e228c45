"""Webhooks at the API, for tests: a workspace, its key, and what stands in its tables."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text

from app.credentials.opening import Opener
from app.db import Sessions
from app.settings import CredentialSettings
from app.webhooks.service import publish
from app.webhooks.target import Target, open_target
from tests.api import Tenant
from tests.app.credentials.sealed import KEYS

BODY = {"url": "https://example.com/hook", "event_types": ["enrichment.job.completed"]}
SETTINGS = {"credentials": {"keys": {"first": b64encode(bytes([1] * 32)).decode()}}}


@dataclass(frozen=True)
class Webhooks:
    """A workspace and its key of all scopes at the API. `owner` sees every table."""

    client: httpx.AsyncClient
    tenant: Tenant
    owner: Sessions

    async def send(self, method: str, path: str = "", *, headers: dict[str, str] | None = None, **more: Any) -> Any:
        return await self.client.request(
            method, f"{self.tenant.path}/webhooks{path}", headers=self.tenant.headers | (headers or {}), **more
        )

    async def create(self, **changes: Any) -> dict[str, Any]:
        """What the answer says of a new webhook, its secret among it."""
        answer = await self.send("POST", json=BODY | changes)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()["data"]
        return created

    async def get(self, webhook_id: str) -> dict[str, Any]:
        answer = await self.send("GET", f"/{webhook_id}")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()["data"]
        return shown

    async def publish(self, count: int = 1, type: Any = "enrichment.job.completed") -> None:
        async with self.owner.for_workspace(self.tenant.workspace_id) as session:
            for number in range(count):
                await publish(session, self.tenant.workspace_id, type, {"number": number})

    async def deliveries(self, webhook_id: str, query: str = "") -> list[dict[str, Any]]:
        answer = await self.send("GET", f"/{webhook_id}/deliveries{query}")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    async def execute(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """As the owner of the tables."""
        async with self.owner.unscoped() as session:
            result = await session.execute(text(statement), values)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    async def end(self, webhook_id: str, error: str | None = None) -> None:
        """Have everything that waits end: delivered, or failed with this error."""
        await self.execute(
            "UPDATE webhook_deliveries SET state = :state, error = :error, next_attempt_at = NULL, ended_at = now()"
            " WHERE endpoint_id = CAST(:id AS uuid) AND state = 'pending'",
            state="delivered" if error is None else "failed",
            error=error,
            id=webhook_id,
        )

    async def target(self, webhook_id: str, settings: CredentialSettings = KEYS) -> Target:
        """What is signed with and sent along, as a worker opens it."""
        async with self.owner.unscoped() as session:
            found = await open_target(session, Opener.of(settings), self.tenant.workspace_id, UUID(webhook_id))
        assert found is not None
        return found

    async def audit_log(self) -> list[tuple[str, Any, Any]]:
        rows = await self.execute(
            "SELECT action, before, after FROM audit_entries WHERE workspace_id = :id ORDER BY id",
            id=self.tenant.workspace_id,
        )
        return [(row["action"], row["before"], row["after"]) for row in rows]
