"""Outages over HTTP: everybody who is signed in sees that a provider was away, and nobody what waits of others."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.db import Sessions, new_id
from app.outages.service import circuit_changed, sweep
from tests.api import Tenant, new_tenant, running_api
from tests.app.outages.incidents import CAUSE, change, go_on, tell, wait
from tests.people import new_member, new_person
from tests.servers import Database

NOTHING = {"workspaces": None, "jobs": 0, "records": 0, "credits_held": 0}


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(database) as client:
        yield client


async def listed(client: httpx.AsyncClient, path: str, headers: dict[str, str], **params: Any) -> list[dict[str, Any]]:
    answer = await client.get(path, headers=headers, params=params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


async def of_hunter(client: httpx.AsyncClient, headers: dict[str, str]) -> dict[str, Any]:
    """The one outage that there is."""
    (outage,) = await listed(client, "/api/v1/providers/hunter/outages", headers)
    return outage


async def test_an_outage_is_shown_from_its_opening_to_its_end(
    client: httpx.AsyncClient, database: Database, platform: Sessions, sessions: Sessions
):
    tenant = await new_tenant(database)
    job_id = new_id()
    await tell(platform, change("open"), change("half_open", seconds=30, probes=1))
    await wait(sessions, tenant.workspace_id, job_id, records=30, credits_held=60)

    outage = await of_hunter(client, tenant.headers)

    assert outage == {
        "id": outage["id"],
        "provider": "hunter",
        "opened_at": "2026-11-21T09:30:00Z",
        "cause": {**CAUSE, "by_operator": False},
        "probes": 1,
        "waiting": {**NOTHING, "jobs": 1, "records": 30, "credits_held": 60},
        "waited": {**NOTHING, "jobs": 1, "records": 30, "credits_held": 60},
        "closed_at": None,
        "drained_at": None,
    }
    assert await listed(client, f"{tenant.path}/outages", tenant.headers) == [outage]

    await tell(platform, change("closed", seconds=60, probes=1))
    await go_on(sessions, tenant.workspace_id, job_id)
    await sweep(platform)

    ended = await of_hunter(client, tenant.headers)
    assert ended["closed_at"] == "2026-11-21T09:31:00Z"
    assert ended["drained_at"] is not None
    assert (ended["waiting"], ended["waited"]) == (NOTHING, outage["waited"])


async def test_a_workspace_sees_what_waits_of_its_own_and_the_staff_what_waits_of_all(
    client: httpx.AsyncClient, database: Database, platform: Sessions, sessions: Sessions
):
    ours, theirs, untouched = [await new_tenant(database) for _ in range(3)]
    await tell(platform, change("open"))
    job_id = new_id()
    await wait(sessions, ours.workspace_id, job_id, records=30, credits_held=60)
    # Some of it got an answer meanwhile.
    await wait(sessions, ours.workspace_id, job_id, records=10, credits_held=20)
    await wait(sessions, theirs.workspace_id, records=500, credits_held=1000)
    job_id = new_id()
    await wait(sessions, theirs.workspace_id, job_id, records=700, credits_held=1400)
    await go_on(sessions, theirs.workspace_id, job_id)

    async def waiting(headers: dict[str, str]) -> tuple[Any, Any]:
        outage = await of_hunter(client, headers)
        return outage["waiting"], outage["waited"]

    assert await waiting(ours.headers) == (
        {**NOTHING, "jobs": 1, "records": 10, "credits_held": 20},
        {**NOTHING, "jobs": 1, "records": 30, "credits_held": 60},
    )
    assert await waiting(untouched.headers) == (NOTHING, NOTHING)
    # Of which of their workspaces it would be is not said.
    member = await new_member(database, ours.workspace_id, "owner")
    assert await waiting(member.headers) == (None, None)
    superadmin = await new_person(database, superadmin=True)
    assert await waiting(superadmin.headers) == (
        {"workspaces": 2, "jobs": 2, "records": 510, "credits_held": 1020},
        {"workspaces": 2, "jobs": 3, "records": 1230, "credits_held": 2460},
    )


async def test_a_workspace_is_shown_the_outages_that_touch_it(
    client: httpx.AsyncClient, database: Database, platform: Sessions, sessions: Sessions
):
    ours, theirs = await new_tenant(database), await new_tenant(database)
    await tell(platform, change("open"), change("open", provider="apollo"))
    await wait(sessions, ours.workspace_id)
    await wait(sessions, theirs.workspace_id, provider="apollo")
    member = await new_member(database, ours.workspace_id, "viewer")

    async def providers(tenant: Tenant, headers: dict[str, str]) -> list[str]:
        return [each["provider"] for each in await listed(client, f"{tenant.path}/outages", headers)]

    assert await providers(ours, ours.headers) == await providers(ours, member.headers) == ["hunter"]
    assert await providers(theirs, theirs.headers) == ["apollo"]


async def test_outages_are_listed_the_newest_first_page_by_page(
    client: httpx.AsyncClient, database: Database, platform: Sessions, sessions: Sessions
):
    tenant = await new_tenant(database)
    for n in range(5):
        await tell(platform, change("open", seconds=10 * n))
        await wait(sessions, tenant.workspace_id)
        await tell(platform, change("closed", seconds=10 * n + 5))
    for path in ("/api/v1/providers/hunter/outages", f"{tenant.path}/outages"):
        seen, cursor = [], None
        while True:
            params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            answer = (await client.get(path, headers=tenant.headers, params=params)).json()
            seen += [each["opened_at"][14:19] for each in answer["data"]]
            if (cursor := answer["meta"]["next_cursor"]) is None:
                break
        assert seen == ["30:40", "30:30", "30:20", "30:10", "30:00"]


async def test_a_provider_without_outages_has_none_and_one_that_is_not_there_is_not_found(
    client: httpx.AsyncClient, database: Database
):
    tenant = await new_tenant(database)
    superadmin = await new_person(database, superadmin=True)
    for headers in (tenant.headers, superadmin.headers):
        assert await listed(client, "/api/v1/providers/website/outages", headers) == []
        answer = await client.get("/api/v1/providers/nobody/outages", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_what_an_operator_wrote_is_not_for_the_tenants(
    client: httpx.AsyncClient, database: Database, platform: Sessions
):
    tenant = await new_tenant(database)
    opened = change("open")
    opened = type(opened)("hunter", "open", opened.at, None, {"reason": "The contract is being renegotiated"}, 0)
    async with platform.unscoped() as session:
        await circuit_changed(session, opened)

    answer = await client.get("/api/v1/providers/hunter/outages", headers=tenant.headers)

    assert answer.json()["data"][0]["cause"] == {"errors": {}, "sample": None, "by_operator": True}
    assert "contract" not in answer.text
