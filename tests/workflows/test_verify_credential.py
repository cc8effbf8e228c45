"""VerifyCredential, from the row to the verdict: real PostgreSQL, real Temporal, a fake provider at the port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.auth.permissions import ROLE_PERMISSIONS, Caller
from app.credentials import service
from app.credentials.repository import Credential
from app.db import new_id
from app.idempotency.answers import Remembered
from app.providers.errors import CredentialRejected, InvalidQuery, PaymentRequired, ProviderError, Transient
from tests.app.credentials.sealed import KEYS, store, stored
from tests.fakes import FakeSource
from tests.servers import Database
from tests.stack import Stack, open_stack
from tests.time_skipping import skipping_time

SECRET = "planted-secret-verify"


@dataclass(frozen=True)
class Scene:
    """A workspace with a credential for the provider `hunter`, which the test stands in for."""

    stack: Stack
    hunter: FakeSource

    async def verify(self, *, wait_seconds: float = 20) -> Credential:
        """What the caller of the operation is told of."""
        told: list[Credential] = []

        def answer(credential: Credential) -> Remembered:
            told.append(credential)
            return Remembered(200, {}, None)

        await service.verify_credential(
            self.stack.sessions, self._admin(), "hunter", answer, once=None, wait_seconds=wait_seconds
        )
        return told[0]

    async def put(self, secret: str) -> None:
        async with self.stack.sessions.for_workspace(self.stack.workspace_id) as session:
            await store(session, self.stack.workspace_id, "hunter", secret)

    async def row(self) -> dict[str, Any]:
        return await stored(self.stack.owner, self.stack.workspace_id, "hunter")

    async def actions(self) -> list[str]:
        query = text("SELECT actor_type || ' ' || action FROM audit_entries ORDER BY id")
        async with self.stack.owner.unscoped() as session:
            return list((await session.execute(query)).scalars())

    def _admin(self) -> Caller:
        return Caller(self.stack.workspace_id, ROLE_PERMISSIONS["admin"], "admin", user_id=new_id())


@asynccontextmanager
async def open_scene(database: Database, temporal: str, **more: Any) -> AsyncIterator[Scene]:
    hunter = FakeSource("hunter")
    async with open_stack(database, temporal, [hunter], credentials=KEYS, **more) as stack:
        scene = Scene(stack, hunter)
        await scene.put(SECRET)
        yield scene


@pytest.fixture
async def scene(database: Database, temporal_server: str) -> AsyncIterator[Scene]:
    async with open_scene(database, temporal_server) as opened:
        yield opened


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_a_key_that_the_provider_takes_is_valid(scene: Scene) -> None:
    async with scene.stack.worker():
        told = await scene.verify()
    assert (told.status, told.status_reason) == ("valid", None)
    assert told.checked_at is not None
    assert scene.hunter.keys == [SECRET]


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (CredentialRejected("hunter", "refuses the API key"), "credential_rejected"),
        (PaymentRequired("hunter", "the credits are used up"), "payment_required"),
    ],
    ids=["rejected", "spent"],
)
async def test_a_key_that_it_refuses_is_rejected_with_the_reason(
    scene: Scene, verdict: ProviderError, reason: str
) -> None:
    scene.hunter.verdict = verdict
    async with scene.stack.worker():
        told = await scene.verify()
    assert (told.status, told.status_reason) == ("rejected", reason)
    assert await scene.actions() == ["user credential.verify", "system credential.reject"]


async def test_a_rejected_key_that_is_taken_again_is_valid(scene: Scene) -> None:
    async with scene.stack.worker():
        scene.hunter.verdict = PaymentRequired("hunter", "the credits are used up")
        await scene.verify()
        scene.hunter.verdict = None
        assert (await scene.verify()).status == "valid"


async def test_a_failed_call_is_tried_again(scene: Scene) -> None:
    scene.hunter.verdict = Transient("hunter", "status 500")
    async with scene.stack.worker():
        waiting = asyncio.create_task(scene.verify())

        async def asked_twice() -> bool:
            return len(scene.hunter.keys) == 2

        await until(asked_twice)
        scene.hunter.verdict = None
        assert (await waiting).status == "valid"


async def test_a_provider_that_stays_away_leaves_the_status_as_it_was(database: Database) -> None:
    async with skipping_time() as client, open_scene(database, "", client=client) as scene:
        scene.hunter.verdict = Transient("hunter", "status 500")
        async with scene.stack.worker():
            told = await scene.verify()
        assert (told.status, told.status_reason, told.checked_at) == ("unverified", "provider_unavailable", None)
        assert told.verification_id is None


async def test_an_answer_that_says_nothing_about_the_key_leaves_the_status_as_it_was(scene: Scene) -> None:
    scene.hunter.verdict = InvalidQuery("hunter", "refuses the query")
    async with scene.stack.worker():
        told = await scene.verify()
    assert (told.status, told.status_reason) == ("unverified", "provider_unavailable")
    assert len(scene.hunter.keys) == 1


async def test_a_secret_that_was_replaced_meanwhile_gets_no_verdict(scene: Scene) -> None:
    # Nobody works yet: the check begins with the secret of now and is asked about the next.
    assert (await scene.verify(wait_seconds=0)).verification_id is not None
    await scene.put("a-newer-secret")
    async with scene.stack.worker():
        told = await scene.verify()
    assert told.status == "valid"
    assert scene.hunter.keys == ["a-newer-secret"]


async def test_a_row_that_does_not_open_is_rejected_without_a_call(scene: Scene) -> None:
    async with scene.stack.owner.unscoped() as session:
        await session.execute(text("UPDATE provider_credentials SET ciphertext = wrapped_key"))
    async with scene.stack.worker():
        told = await scene.verify()
    assert (told.status, told.status_reason) == ("rejected", "unreadable")
    assert scene.hunter.keys == []


async def test_the_history_holds_ids_and_no_secret(scene: Scene) -> None:
    async with scene.stack.worker():
        verification_id: UUID | None = (await scene.verify(wait_seconds=0)).verification_id
        await scene.verify()
        handle = scene.stack.client.get_workflow_handle(f"credential-verification/{verification_id}")
        result = await handle.result()
    assert result == {"status": "valid"}
    history = (await handle.fetch_history()).to_json()
    assert SECRET not in history
