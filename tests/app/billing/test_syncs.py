"""Comparisons that somebody asks for: the API, and what a look records under them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.auth.service import create_api_key
from app.db import new_id
from tests.api import Tenant, running_api
from tests.app.billing.syncing import Syncing, invoice, subscription, syncing
from tests.servers import Database

KEY = {"providers": {"stripe": {"api_key": "sk_test_planted"}}}


@dataclass(frozen=True)
class Scene:
    syncing: Syncing
    client: httpx.AsyncClient
    tenant: Tenant

    @property
    def path(self) -> str:
        return f"{self.tenant.path}/billing/syncs"

    async def get(self, path: str = "") -> Any:
        answer = await self.client.get(f"{self.path}{path}", headers=self.tenant.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def start(self, **headers: str) -> httpx.Response:
        answer = await self.client.post(self.path, headers={**self.tenant.headers, **headers})
        assert answer.status_code == 202, answer.text
        return answer


async def tenant_of(scene: Syncing) -> Tenant:
    async with scene.owner.unscoped() as session:
        key_id, secret = await create_api_key(session, scene.workspace_id, "Tests", ["billing:read", "billing:write"])
    return Tenant(scene.workspace_id, key_id, secret)


@pytest.fixture
async def scene(shared_database: Database) -> AsyncIterator[Scene]:
    async with syncing(shared_database) as scene, running_api(shared_database, **KEY) as client:
        yield Scene(scene, client, await tenant_of(scene))


async def test_whoever_asks_learns_what_differed(scene: Scene):
    payments, customer_id = scene.syncing.payments, scene.syncing.customer_id
    payments.put(subscription(customer_id), invoice(customer_id))
    started = await scene.start()
    sync = started.json()["data"]
    assert (sync["status"], sync["differences"], sync["reconciliation_id"]) == ("running", 0, None)
    assert started.headers["location"] == f"{scene.path}/{sync['id']}"

    await scene.syncing.sync()
    ended = await scene.get(f"/{sync['id']}")
    assert (ended["status"], ended["differences"]) == ("completed", 3)
    drift = await scene.get(f"/{sync['id']}/drift")
    assert {(each["what"], each["reference"], each["action"]) for each in drift} == {
        ("subscription", "sub_1", "added"),
        ("invoice", "in_1", "added"),
        ("credits", "in_1", "granted"),
    }
    [granted] = [each for each in drift if each["what"] == "credits"]
    assert (granted["ours"], granted["theirs"]) == ({"granted": 0}, {"granted": 5000})


async def test_where_nothing_differs_nothing_is_recorded(scene: Scene):
    scene.syncing.payments.put(subscription(scene.syncing.customer_id))
    await scene.start()
    await scene.syncing.sync()
    again = (await scene.start()).json()["data"]
    await scene.syncing.sync()
    assert (await scene.get(f"/{again['id']}"))["differences"] == 0
    assert await scene.get(f"/{again['id']}/drift") == []


async def test_one_that_runs_is_answered_again(scene: Scene):
    first, second = await scene.start(), await scene.start()
    assert first.json()["data"] == second.json()["data"]
    await scene.syncing.sync()
    third = await scene.start()
    assert third.json()["data"]["id"] != first.json()["data"]["id"]
    assert [each["id"] for each in await scene.get()] == [
        third.json()["data"]["id"],
        first.json()["data"]["id"],
    ]


async def test_what_was_asked_for_during_a_look_is_another_look(scene: Scene):
    payments, customer_id = scene.syncing.payments, scene.syncing.customer_id
    first = (await scene.start()).json()["data"]
    asked = []

    class Meanwhile(type(payments)):  # type: ignore[misc]
        async def payments(self, *which: object, **more: object) -> Any:
            page = await payments.payments(*which, **more)  # type: ignore[arg-type]
            if not asked:
                asked.append((await scene.start()).json()["data"])
                payments.put(subscription(customer_id))
            return page

    slow = Meanwhile()
    slow.put(*payments.by_id.values())
    assert (await scene.syncing.sync(slow)).is_due
    assert asked == [first]
    assert (await scene.get(f"/{first['id']}"))["status"] == "running"
    await scene.syncing.sync()
    ended = await scene.get(f"/{first['id']}")
    assert (ended["status"], ended["differences"]) == ("completed", 1)


async def test_a_workspace_that_never_bought_anything_is_compared_at_once(scene: Scene):
    await scene.syncing.execute("DELETE FROM billing_customers WHERE workspace_id = :workspace_id")
    sync = (await scene.start()).json()["data"]
    assert (sync["status"], sync["differences"]) == ("completed", 0)
    assert sync["finished_at"] is not None


async def test_the_same_request_twice_is_one_and_is_in_the_audit_log_once(scene: Scene):
    key = {"Idempotency-Key": "once"}
    first, second = await scene.start(**key), await scene.start(**key)
    assert first.json()["data"] == second.json()["data"]
    assert second.headers["idempotent-replayed"] == "true"
    entries = await scene.syncing.rows("SELECT action, target_id FROM audit_entries")
    assert entries == [{"action": "billing_sync.start", "target_id": first.json()["data"]["id"]}]


async def test_both_lists_come_in_pages(scene: Scene):
    payments, customer_id = scene.syncing.payments, scene.syncing.customer_id
    payments.put(*(subscription(customer_id, number) for number in range(1, 4)))
    sync_id = (await scene.start()).json()["data"]["id"]
    await scene.syncing.sync()
    await scene.start()

    for path, count in (("", 2), (f"/{sync_id}/drift", 3)):
        seen: list[str] = []
        cursor = {}
        while True:
            answer = (
                await scene.client.get(
                    f"{scene.path}{path}", headers=scene.tenant.headers, params={"limit": 1, **cursor}
                )
            ).json()
            seen += [each["id"] for each in answer["data"]]
            if answer["meta"]["next_cursor"] is None:
                break
            cursor = {"cursor": answer["meta"]["next_cursor"]}
        assert len(seen) == count
        assert seen == sorted(seen, reverse=True)


async def test_nobody_sees_a_comparison_that_is_not_there(scene: Scene):
    for path in (f"/{new_id()}", f"/{new_id()}/drift"):
        answer = await scene.client.get(f"{scene.path}{path}", headers=scene.tenant.headers)
        assert answer.status_code == 404


async def test_without_a_key_to_stripe_nothing_is_compared(scene: Scene, shared_database: Database):
    async with running_api(shared_database) as client:
        stranger = replace(scene, client=client)
        for method, path in (("POST", ""), ("GET", ""), ("GET", f"/{new_id()}"), ("GET", f"/{new_id()}/drift")):
            answer = await client.request(method, f"{stranger.path}{path}", headers=scene.tenant.headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "billing_not_configured")
    async with scene.syncing.owner.unscoped() as session:
        query = text("SELECT count(*) FROM billing_syncs WHERE workspace_id = :id")
        assert (await session.execute(query, {"id": scene.syncing.workspace_id})).scalar_one() == 0
