"""Plans, a workspace's billing and its invoices, over HTTP."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api import Tenant, new_tenant, running_api
from tests.app.billing.applying import GRACE, Applying, Stripe
from tests.app.billing.syncing import NOW, PERIOD, invoice, subscription, syncing
from tests.people import new_member, new_person
from tests.servers import Database, PostgresServer

SELLING = {"providers": {"stripe": {"api_key": "sk_test_holdfast"}}}


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(database, **SELLING) as client:
        yield client


@pytest.fixture
async def billing(database: Database) -> AsyncIterator[Applying]:
    async with syncing(database) as scene:
        yield Applying(scene, Stripe(scene.customer_id))


async def get(client: httpx.AsyncClient, database: Database, billing: Applying, path: str = "", **query: Any) -> Any:
    """What an admin of the workspace is told."""
    admin = await new_member(database, billing.scene.workspace_id, "admin")
    url = f"/api/v1/workspaces/{billing.scene.workspace_id}/billing{path}"
    answer = await client.get(url, headers=admin.headers, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_whoever_is_signed_in_sees_the_plans(database: Database, client: httpx.AsyncClient):
    person, tenant = await new_person(database), await new_tenant(database)
    for headers in (person.headers, tenant.headers):
        answer = await client.get("/api/v1/billing/plans", headers=headers)
        assert answer.status_code == 200
        plans = answer.json()["data"]
        assert [plan["name"] for plan in plans] == ["free", "starter", "growth", "scale"]
        assert plans[1]["prices"][0] == {"id": "price_starter_monthly", "interval": "month", "credits": 5000}
        assert plans[3]["limits"]["members"] is None
    assert (await client.get("/api/v1/billing/plans")).status_code == 401


async def test_a_workspace_that_never_paid_has_the_free_plan(database: Database, client: httpx.AsyncClient):
    tenant = await new_tenant(database)
    answer = await client.get(f"{tenant.path}/billing", headers=tenant.headers)
    told = answer.json()["data"]
    assert (told["plan"], told["status"], told["subscription"], told["last_synced_at"]) == ("free", "none", None, None)
    assert told["limits"]["requests_per_minute"] == 1200
    assert (await client.get(f"{tenant.path}/billing/invoices", headers=tenant.headers)).json()["data"] == []


async def test_a_paying_workspace_sees_its_plan_and_its_subscription(
    database: Database, client: httpx.AsyncClient, billing: Applying
):
    billing.stripe.put(subscription(billing.stripe.customer_id), invoice(billing.stripe.customer_id))
    await billing.apply()
    told = (await get(client, database, billing))["data"]
    assert (told["plan"], told["status"]) == ("starter", "active")
    assert told["limits"]["members"] == 25
    assert told["subscription"] == {
        "id": "sub_1",
        "status": "active",
        "price": "price_starter_monthly",
        "interval": "month",
        "quantity": 1,
        "current_period_start": _shown(NOW),
        "current_period_end": _shown(NOW + PERIOD),
        "cancel_at_period_end": False,
        "grace_until": None,
    }


@pytest.mark.parametrize(
    ("status", "told", "plan"),
    [
        ("incomplete", "none", "free"),
        ("incomplete_expired", "none", "free"),
        ("trialing", "trialing", "starter"),
        ("active", "active", "starter"),
        ("past_due", "past_due", "starter"),
        ("unpaid", "past_due", "free"),
        ("paused", "past_due", "free"),
        ("canceled", "canceled", "free"),
    ],
)
async def test_what_stripe_says_of_a_subscription_is_told_in_fewer_words(
    database: Database, client: httpx.AsyncClient, billing: Applying, status: str, told: str, plan: str
):
    billing.stripe.put(subscription(billing.stripe.customer_id, status=status))
    await billing.apply()
    found = (await get(client, database, billing))["data"]
    assert (found["status"], found["plan"]) == (told, plan)


async def test_who_owes_sees_how_long_the_plan_is_kept(
    database: Database, client: httpx.AsyncClient, billing: Applying
):
    billing.stripe.put(subscription(billing.stripe.customer_id, status="past_due"))
    billing.stripe.put(invoice(billing.stripe.customer_id, status="open", attempts=1, amount_paid=0, created_at=NOW))
    await billing.apply()
    told = (await get(client, database, billing))["data"]
    assert told["subscription"]["grace_until"] == _shown(NOW + GRACE)


async def test_invoices_come_newest_first_page_by_page(
    database: Database, client: httpx.AsyncClient, billing: Applying
):
    # Two of them in the same second.
    for number in range(1, 6):
        created_at = NOW + timedelta(seconds=number // 2)
        billing.stripe.put(invoice(billing.stripe.customer_id, number, created_at=created_at))
    billing.stripe.pay(5, refunded=4900)
    await billing.apply()
    seen: list[Any] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = await get(client, database, billing, "/invoices", **query)
        seen += page["data"]
        if page["meta"]["next_cursor"] is None:
            break
        query["cursor"] = page["meta"]["next_cursor"]
    assert [each["id"] for each in seen] == ["in_5", "in_4", "in_3", "in_2", "in_1"]
    assert (seen[0]["amount_paid"], seen[0]["amount_refunded"], seen[0]["currency"]) == (4900, 4900, "usd")
    assert (seen[0]["credits_granted"], seen[0]["credits_clawed_back"]) == (5000, 5000)
    assert (seen[1]["credits_granted"], seen[1]["credits_clawed_back"]) == (5000, 0)


@pytest.mark.parametrize("cursor", ["nonsense", "eyJjcmVhdGVkX2F0IjoiMjAyNi0xMS0wMSIsImlkIjoiaW5fMSJ9", "e30"])
async def test_a_cursor_of_another_list_is_refused(database: Database, client: httpx.AsyncClient, cursor: str):
    tenant = await new_tenant(database)
    answer = await client.get(f"{tenant.path}/billing/invoices?cursor={cursor}", headers=tenant.headers)
    assert answer.status_code == 422


async def test_without_a_key_to_stripe_there_is_no_billing_and_everything_else(database: Database):
    tenant = await new_tenant(database)
    async with running_api(database) as client:
        for path in ("/api/v1/billing/plans", f"{tenant.path}/billing", f"{tenant.path}/billing/invoices"):
            answer = await client.get(path, headers=tenant.headers)
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "billing_not_configured"
        assert (await client.get(f"{tenant.path}/credits", headers=tenant.headers)).status_code == 200


@pytest.mark.parametrize("path", ["", "/invoices"])
async def test_nobody_else_sees_what_a_workspace_bought(
    database: Database, client: httpx.AsyncClient, billing: Applying, path: str
):
    other: Tenant = await new_tenant(database)
    viewer = await new_member(database, billing.scene.workspace_id, "viewer")
    url = f"/api/v1/workspaces/{billing.scene.workspace_id}/billing{path}"
    assert (await client.get(url, headers=other.headers)).status_code == 404
    assert (await client.get(url, headers=viewer.headers)).status_code == 403


def _shown(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
