"""What a plan allows: refused beyond it where plans are sold, and nowhere else; what is there already stays."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text
from temporalio import activity

from app.billing.plans import load_plans
from app.providers.ports import Answer, Missed, Query
from app.settings import EnrichmentSettings
from tests.api import Tenant, new_tenant, owner_sessions, running_api
from tests.builders import make_job, make_workspace
from tests.fakes import FakeSource
from tests.people import new_member, new_person
from tests.servers import Database, PostgresServer
from tests.stack import open_stack

PLANS = """
[[plans]]
name = "free"
title = "Free"
[plans.limits]
records_per_job = 2
members = 3
requests_per_minute = 5
fairness_weight = 0.5

[[plans]]
name = "plus"
title = "Plus"
[plans.limits]
records_per_job = 3
fairness_weight = 4
"""


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture
def plans_file(tmp_path: Path) -> Path:
    file = tmp_path / "plans.toml"
    file.write_text(PLANS)
    return file


@asynccontextmanager
async def selling(database: Database, plans_file: Path, *, unlimited: str = "") -> AsyncIterator[httpx.AsyncClient]:
    """The API of an installation that sells PLANS; without the limit that is called `unlimited`."""
    kept = [line for line in PLANS.splitlines() if not unlimited or not line.startswith(unlimited)]
    plans_file.write_text("\n".join(kept))
    stripe = {"stripe": {"api_key": "sk_test_holdfast"}}
    async with running_api(database, providers=stripe, billing={"plans_file": plans_file}) as client:
        yield client


async def have_plan(database: Database, workspace_id: UUID, plan: str) -> None:
    async with owner_sessions(database) as owner, owner.for_workspace(workspace_id) as session:
        changed = await session.execute(
            text("UPDATE workspaces SET plan = :plan WHERE id = :id"), {"plan": plan, "id": workspace_id}
        )
        assert changed.rowcount == 1


async def submit(client: httpx.AsyncClient, tenant: Tenant, records: int, **more: Any) -> httpx.Response:
    body = {"entity": "company", "records": [{"domain": f"company-{n}.com"} for n in range(records)]}
    return await client.post(f"{tenant.path}/enrichment/jobs", json=body | more, headers=tenant.headers)


async def upload(client: httpx.AsyncClient, tenant: Tenant, records: int) -> httpx.Response:
    rows = "domain\n" + "".join(f"company-{n}.com\n" for n in range(records))
    form = {"files": {"file": ("rows.csv", rows, "text/csv")}, "data": {"options": '{"entity": "company"}'}}
    return await client.post(f"{tenant.path}/enrichment/jobs", headers=tenant.headers, **form)  # type: ignore[arg-type]


async def invite(client: httpx.AsyncClient, tenant: Tenant, who: dict[str, str], email: str) -> httpx.Response:
    return await client.post(f"{tenant.path}/invitations", json={"email": email, "role": "member"}, headers=who)


def assert_exceeded(answer: httpx.Response, *told: str) -> None:
    assert answer.status_code == 402, answer.text
    error = answer.json()["error"]
    assert error["code"] == "plan_limit_exceeded"
    assert all(each in error["message"] for each in told), error["message"]


@pytest.mark.parametrize("send", [submit, upload])
async def test_a_job_of_more_records_than_the_plan_allows_is_refused(database: Database, plans_file: Path, send: Any):
    tenant = await new_tenant(database)
    async with selling(database, plans_file) as client:
        assert_exceeded(await send(client, tenant, 3), "Free", "2 records", "this has 3")
        assert (await send(client, tenant, 2)).status_code == 202
        await have_plan(database, tenant.workspace_id, "plus")
        assert (await send(client, tenant, 3)).status_code == 202
        assert_exceeded(await send(client, tenant, 4), "Plus", "3 records")


async def test_a_job_that_was_refused_left_nothing_behind(database: Database, plans_file: Path):
    tenant = await new_tenant(database)
    async with selling(database, plans_file) as client:
        await submit(client, tenant, 3)
        jobs = await client.get(f"{tenant.path}/enrichment/jobs", headers=tenant.headers)
        balance = await client.get(f"{tenant.path}/credits", headers=tenant.headers)
    assert jobs.json()["data"] == []
    assert balance.json()["data"]["held"] == 0


async def test_open_invitations_count_as_members(database: Database, plans_file: Path):
    tenant = await new_tenant(database)
    admin = await new_member(database, tenant.workspace_id, "admin")
    async with selling(database, plans_file, unlimited="requests") as client:
        first = await invite(client, tenant, admin.headers, "one@example.com")
        assert first.status_code == 201
        assert (await invite(client, tenant, admin.headers, "two@example.com")).status_code == 201
        assert_exceeded(await invite(client, tenant, admin.headers, "three@example.com"), "Free", "3 members")
        again = await invite(client, tenant, admin.headers, "two@example.com")
        assert again.status_code == 201, "the open one of the same address ends"
        await client.delete(f"{tenant.path}/invitations/{first.json()['data']['id']}", headers=admin.headers)
        assert (await invite(client, tenant, admin.headers, "three@example.com")).status_code == 201


async def test_who_is_there_stays_when_the_plan_allows_fewer(database: Database, plans_file: Path):
    tenant = await new_tenant(database)
    await have_plan(database, tenant.workspace_id, "plus")
    members = [await new_member(database, tenant.workspace_id, "admin") for _ in range(4)]
    async with selling(database, plans_file, unlimited="requests") as client:
        assert (await invite(client, tenant, members[0].headers, "one@example.com")).status_code == 201
        await have_plan(database, tenant.workspace_id, "free")
        assert_exceeded(await invite(client, tenant, members[0].headers, "two@example.com"), "3 members")
        listed = await client.get(f"{tenant.path}/members", headers=members[3].headers)
    assert len(listed.json()["data"]) == 4


async def test_the_callers_of_a_workspace_share_the_requests_of_its_plan(database: Database, plans_file: Path):
    tenant, other = await new_tenant(database), await new_tenant(database)
    member = await new_member(database, tenant.workspace_id, "viewer")
    stranger = await new_person(database)
    async with selling(database, plans_file) as client:
        who = [tenant.headers, member.headers] * 3
        answers = [await client.get(f"{tenant.path}/credits", headers=headers) for headers in who]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert answers[-1].json()["error"]["code"] == "rate_limited"
        assert answers[0].headers["RateLimit-Policy"].endswith(', "plan";q=5;w=60')
        assert '"plan";r=0' in answers[-1].headers["RateLimit"]
        assert (await client.get(f"{other.path}/credits", headers=other.headers)).status_code == 200
        refused = await client.get(f"{other.path}/credits", headers=stranger.headers)
        assert '"plan"' not in refused.headers["RateLimit"], "a stranger takes none of what is theirs"


async def test_a_plan_without_a_limit_of_requests_has_that_of_the_installation(database: Database, plans_file: Path):
    tenant = await new_tenant(database)
    await have_plan(database, tenant.workspace_id, "plus")
    async with selling(database, plans_file) as client:
        answers = [await client.get(f"{tenant.path}/credits", headers=tenant.headers) for _ in range(6)]
    assert {answer.status_code for answer in answers} == {200}
    assert '"plan"' not in answers[-1].headers["RateLimit-Policy"]


async def test_where_nothing_is_sold_no_plan_limits_anything(database: Database, plans_file: Path):
    tenant = await new_tenant(database)
    admin = await new_member(database, tenant.workspace_id, "admin")
    async with running_api(database, billing={"plans_file": plans_file}) as client:
        answers = [await submit(client, tenant, 3) for _ in range(6)]
        invited = [await invite(client, tenant, admin.headers, f"{n}@example.com") for n in range(4)]
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.status_code for answer in invited} == {201}


async def test_a_workspace_with_less_than_no_credits_starts_nothing(database: Database, plans_file: Path):
    tenant = await new_tenant(database, credit=0)
    async with owner_sessions(database) as owner, owner.for_workspace(tenant.workspace_id) as session:
        await session.execute(
            text("INSERT INTO credit_accounts (workspace_id, balance, held) VALUES (:id, -5, 0)"),
            {"id": tenant.workspace_id},
        )
    async with selling(database, plans_file) as client:
        costly = await submit(client, tenant, 1)
        free = await submit(client, tenant, 1, max_credits=0)
    assert [costly.status_code, free.status_code] == [402, 402]
    assert free.json()["error"]["code"] == "insufficient_credits"


async def test_work_carries_the_weight_of_the_plan_unless_the_installation_gave_one(
    database: Database, temporal_server: str, plans_file: Path
):
    seen: set[tuple[UUID, float | None]] = set()

    def answer(query: Query) -> Answer:
        seen.add((query.workspace_id, activity.info().priority.fairness_weight))
        return Missed()

    alpha = FakeSource("alpha", answer)
    settings = EnrichmentSettings(flush_seconds=0.05)
    async with open_stack(database, temporal_server, [alpha], enrichment=settings) as stack:
        free, plus, chosen = (stack.workspace_id, *[await make_workspace(stack.owner) for _ in range(2)])
        for workspace_id in (plus, chosen):
            await have_plan(database, workspace_id, "plus")
        given = stack.resources.settings.temporal.model_copy(update={"fairness_weights": {chosen: 7.0}})
        resources = replace(
            stack.resources,
            settings=stack.resources.settings.model_copy(update={"temporal": given}),
            plan_limits=load_plans(plans_file).limits,
        )
        async with replace(stack, resources=resources).worker():
            for workspace_id in (free, plus, chosen):
                own = replace(stack, workspace_id=workspace_id)
                await own.until_finished(await make_job(stack.sessions, workspace_id, ["one.com"], [alpha]))
    assert seen == {(free, 0.5), (plus, 4.0), (chosen, 7.0)}
