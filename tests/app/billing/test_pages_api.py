"""Checkout and portal sessions over HTTP, without anybody who opens them: what is asked for, told and kept."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.billing import pages
from app.db import Sessions, create_engine
from app.settings import DatabaseSettings
from tests.api import Tenant, new_tenant, owner_sessions, running_api
from tests.app.billing.stripe_events import add_customer
from tests.people import new_member
from tests.servers import Database, PostgresServer

SELLING = {
    "providers": {"stripe": {"api_key": "sk_test_holdfast"}},
    "billing": {"return_url": "https://app.example.com/home", "return_origins": ["https://other.example.com:8443"]},
}
STARTER = {"plan": "starter", "interval": "month"}
URL = "https://checkout.stripe.test/c/pay/planted-page-address"


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes a workspace of its own."""
    with postgres_server.migrated_database() as database:
        yield database


@dataclass(frozen=True)
class Billing:
    """A workspace and a key of it, at the API."""

    client: httpx.AsyncClient
    tenant: Tenant
    owner: Sessions
    database: Database

    @property
    def workspace_id(self) -> UUID:
        return self.tenant.workspace_id

    async def send(self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any) -> Any:
        url = f"{self.tenant.path}/billing{path}"
        return await self.client.request(method, url, headers=self.tenant.headers | (headers or {}), **more)

    async def checkout(self, *, wait_seconds: float = 0, key: str | None = None, **body: Any) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        path = f"/checkout-sessions?wait_seconds={wait_seconds}"
        return await self.send("POST", path, json=STARTER | body, headers=headers)

    async def portal(self, **body: Any) -> Any:
        return await self.send("POST", "/portal-sessions?wait_seconds=0", json=body)

    async def execute(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """In this workspace, as the owner of the tables."""
        async with self.owner.unscoped() as session:
            found = await session.execute(text(query), {"workspace_id": self.workspace_id, **values})
            return [tuple(row) for row in found] if found.returns_rows else []

    async def open(self, page_id: str) -> None:
        """Do what OpenBillingPage does."""
        await self.execute("UPDATE billing_pages SET status = 'open', url = :url WHERE id = :id", url=URL, id=page_id)

    async def become_customer(self) -> None:
        async with self.owner.unscoped() as session:
            await add_customer(session, self.workspace_id, f"cus_{uuid4().hex}")

    async def subscribe(self, status: str) -> None:
        await self.become_customer()
        await self.execute(
            """
            INSERT INTO billing_subscriptions (workspace_id, id, status, price_id, quantity, period_start, period_end,
                cancel_at_period_end, created_at)
            VALUES (:workspace_id, 'sub_1', :status, 'price_starter_monthly', 1, now(), now(), false, now())
            """,
            status=status,
        )


@pytest.fixture
async def billing(database: Database) -> AsyncIterator[Billing]:
    tenant = await new_tenant(database)
    async with owner_sessions(database) as owner, running_api(database, **SELLING) as client:
        yield Billing(client, tenant, owner, database)


def fields(answer: Any) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [each["field"] for each in answer.json()["error"]["details"]]


async def test_a_page_that_is_not_open_yet_is_a_resource_already(billing: Billing):
    answer = await billing.checkout()
    assert answer.status_code == 202, answer.text
    shown = answer.json()["data"]
    assert (shown["plan"], shown["status"], shown["url"], shown["error"]) == ("starter", "pending", None, None)
    got = await billing.client.get(answer.headers["Location"], headers=billing.tenant.headers)
    assert got.json()["data"] == shown


async def test_a_page_that_opens_while_its_caller_waits_is_answered_with_its_address(billing: Billing):
    waiting = asyncio.create_task(billing.checkout(wait_seconds=20))
    async with asyncio.timeout(30):
        query = "SELECT id FROM billing_pages WHERE workspace_id = :workspace_id"
        while not (found := await billing.execute(query)):
            await asyncio.sleep(0.01)
    await billing.open(str(found[0][0]))
    answer = await waiting
    assert answer.status_code == 201, answer.text
    assert (answer.json()["data"]["status"], answer.json()["data"]["url"]) == ("open", URL)


async def test_what_is_to_be_opened_is_handed_to_one_workflow_and_written_into_the_audit_log(billing: Billing):
    page = (await billing.checkout(success_url="https://app.example.com/thanks?id={CHECKOUT_SESSION_ID}")).json()[
        "data"
    ]
    [(workflow_id, body)] = await billing.execute(
        "SELECT workflow_id, body FROM outbox_commands WHERE workspace_id = :workspace_id"
    )
    assert workflow_id == f"billing-page/{page['id']}"
    assert (body["workflow"], body["process"]) == ("OpenBillingPage", "billing")
    assert body["argument"] == {"workspace_id": str(billing.workspace_id), "page_id": page["id"]}
    stored = "SELECT price_id, success_url, return_url FROM billing_pages WHERE workspace_id = :workspace_id"
    assert await billing.execute(stored) == [
        (
            "price_starter_monthly",
            "https://app.example.com/thanks?id={CHECKOUT_SESSION_ID}",
            "https://app.example.com/home",
        )
    ]
    audited = "SELECT action, target_type, target_id, after FROM audit_entries WHERE workspace_id = :workspace_id"
    assert await billing.execute(audited) == [
        (
            "billing_checkout.open",
            "checkout_session",
            page["id"],
            {"plan": "starter", "price_id": "price_starter_monthly"},
        )
    ]


async def test_the_same_request_gets_the_same_page_and_its_address_is_not_remembered(billing: Billing):
    first = await billing.checkout(key="once")
    await billing.open(first.json()["data"]["id"])
    again = await billing.checkout(key="once")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json()["data"]["id"] == first.json()["data"]["id"]
    assert again.json()["data"]["url"] == URL
    remembered = await billing.execute("SELECT data::text FROM idempotency_keys WHERE workspace_id = :workspace_id")
    assert len(remembered) == 1
    assert "planted" not in remembered[0][0]
    other = await billing.checkout(key="once", interval="year")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")


async def test_a_page_that_has_expired_shows_its_address_no_more(billing: Billing):
    page_id = (await billing.checkout()).json()["data"]["id"]
    await billing.open(page_id)
    await billing.execute("UPDATE billing_pages SET expires_at = now() - interval '1 s' WHERE id = :id", id=page_id)
    shown = (await billing.send("GET", f"/checkout-sessions/{page_id}")).json()["data"]
    assert (shown["status"], shown["url"]) == ("expired", None)


async def test_the_address_of_a_portal_is_shown_for_a_day(billing: Billing):
    await billing.become_customer()
    page_id = (await billing.portal()).json()["data"]["id"]
    await billing.open(page_id)
    for age, status in (("23 hours", "open"), ("24 hours", "expired")):
        await billing.execute(
            "UPDATE billing_pages SET created_at = now() - CAST(:age AS interval) WHERE id = :id", age=age, id=page_id
        )
        assert (await billing.send("GET", f"/portal-sessions/{page_id}")).json()["data"]["status"] == status


async def test_a_page_that_failed_says_why(billing: Billing):
    page_id = (await billing.checkout(key="failed")).json()["data"]["id"]
    await billing.execute(
        "UPDATE billing_pages SET status = 'failed', error = 'credential_rejected' WHERE id = :id", id=page_id
    )
    answer = await billing.checkout(key="failed")
    assert answer.status_code == 201
    assert (answer.json()["data"]["status"], answer.json()["data"]["error"]) == ("failed", "credential_rejected")


async def test_a_page_whose_workflow_was_terminated_is_pending_for_an_hour(billing: Billing):
    page = (await billing.checkout()).json()["data"]

    async def shown(age: str) -> tuple[str, str | None]:
        await billing.execute(f"UPDATE billing_pages SET created_at = now() - interval '{age}'")
        found = (await billing.send("GET", f"/checkout-sessions/{page['id']}")).json()["data"]
        return found["status"], found["error"]

    assert await shown("59 min") == ("pending", None)
    assert await shown("61 min") == ("failed", "provider_unavailable")


@pytest.mark.parametrize("status", ["active", "trialing", "past_due", "unpaid", "paused"])
async def test_who_has_a_plan_changes_it_and_buys_no_second_one(billing: Billing, status: str):
    await billing.subscribe(status)
    answer = await billing.checkout()
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "already_subscribed")
    assert (await billing.portal()).status_code == 202


@pytest.mark.parametrize("status", ["canceled", "incomplete", "incomplete_expired"])
async def test_whose_plan_has_ended_or_never_began_can_buy_one(billing: Billing, status: str):
    await billing.subscribe(status)
    assert (await billing.checkout()).status_code == 202


async def test_who_never_bought_anything_has_nothing_to_manage(billing: Billing):
    answer = await billing.portal()
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_subscription")


async def test_people_are_sent_to_allowed_origins_only(billing: Billing):
    for url in (
        "https://app.example.com/thanks",
        "https://app.example.com",
        "https://other.example.com:8443/a?b=c#d",
    ):
        assert (await billing.checkout(success_url=url, cancel_url=url)).status_code == 202
    for url in (
        "https://evil.example.com/thanks",
        "http://app.example.com/thanks",
        "https://app.example.com:444/",
        "https://app.example.com.evil.com/",
        "https://app.example.com@evil.com/",
        "https://other.example.com/",
        "https://app.example.com\\@evil.com/",
        "javascript:alert(1)",
        "//app.example.com/",
        "https://[",
        "https://app.example.com/ a",
        f"https://app.example.com/{'a' * 2048}",
        "",
    ):
        assert fields(await billing.checkout(success_url=url)) == ["success_url"], url
        assert fields(await billing.checkout(cancel_url=url)) == ["cancel_url"], url
        assert fields(await billing.portal(return_url=url)) == ["return_url"], url


async def test_only_what_is_sold_can_be_bought(billing: Billing):
    assert fields(await billing.checkout(plan="platinum")) == ["plan"]
    assert fields(await billing.checkout(plan="free")) == ["plan"]
    assert fields(await billing.checkout(plan="scale", interval="year")) == ["interval"]
    assert fields(await billing.checkout(interval="week")) == ["interval"]
    assert fields(await billing.checkout(price="price_starter_monthly")) == ["price"]


async def test_a_page_is_found_by_its_kind_and_in_its_workspace_alone(billing: Billing):
    page_id = (await billing.checkout()).json()["data"]["id"]
    other = await new_tenant(billing.database)
    assert (await billing.send("GET", f"/portal-sessions/{page_id}")).status_code == 404
    assert (await billing.send("GET", f"/checkout-sessions/{uuid4()}")).status_code == 404
    path = f"/billing/checkout-sessions/{page_id}"
    for url, key in ((other.path + path, other), (billing.tenant.path + path, other)):
        assert (await billing.client.get(url, headers=key.headers)).status_code == 404


async def test_only_who_may_buy_sees_a_page(billing: Billing):
    page_id = (await billing.checkout()).json()["data"]["id"]
    admin = await new_member(billing.database, billing.workspace_id, "admin")
    owner = await new_member(billing.database, billing.workspace_id, "owner")
    path = f"/checkout-sessions/{page_id}"
    assert (await billing.send("GET", path, headers=admin.headers)).status_code == 403
    assert (await billing.send("GET", path, headers=owner.headers)).status_code == 200


async def test_without_a_key_to_stripe_nothing_is_sold(billing: Billing):
    async with running_api(billing.database) as client:
        for method, path, body in (
            ("POST", "/checkout-sessions", STARTER),
            ("POST", "/portal-sessions", {}),
            ("GET", f"/checkout-sessions/{uuid4()}", None),
            ("GET", f"/portal-sessions/{uuid4()}", None),
        ):
            url = f"{billing.tenant.path}/billing{path}"
            answer = await client.request(method, url, headers=billing.tenant.headers, json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "billing_not_configured")


async def test_pages_are_swept_after_their_answers_are_forgotten(billing: Billing):
    kept, gone = [(await billing.checkout()).json()["data"]["id"] for _ in range(2)]
    for page_id, age in ((kept, "7 days 23 hours"), (gone, "8 days 1 hour")):
        await billing.execute(
            "UPDATE billing_pages SET created_at = now() - CAST(:age AS interval) WHERE id = :id", age=age, id=page_id
        )
    engine = create_engine(SecretStr(billing.database.platform_url), DatabaseSettings(pool_size=1), application="tests")
    try:
        assert await pages.sweep(Sessions(engine)) == 1
    finally:
        await engine.dispose()
    assert (await billing.send("GET", f"/checkout-sessions/{kept}")).status_code == 200
    assert (await billing.send("GET", f"/checkout-sessions/{gone}")).status_code == 404
