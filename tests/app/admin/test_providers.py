"""The operator's hand on a provider over HTTP."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api import new_tenant, running_api
from tests.people import SignedIn, new_person
from tests.servers import Database


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(database) as client:
        yield client


@pytest.fixture
async def staff(database: Database) -> SignedIn:
    return await new_person(database, email="staff@example.com", name="Sam", superadmin=True)


async def steer(client: httpx.AsyncClient, staff: SignedIn, path: str, reason: str = "Maintenance") -> httpx.Response:
    return await client.post(f"/api/v1/admin/providers/{path}", json={"reason": reason}, headers=staff.headers)


async def test_a_provider_held_open_is_shown_as_open_until_it_is_closed(
    client: httpx.AsyncClient, staff: SignedIn, database: Database
):
    tenant = await new_tenant(database)
    answer = await steer(client, staff, "hunter/open")
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert data == {
        "name": "hunter",
        "circuit": "open",
        "circuit_since": data["steered_at"],
        "circuit_opens_until": None,
        "held_open": True,
        "disabled": False,
        "reason": "Maintenance",
        "steered_at": data["steered_at"],
    }
    again = (await steer(client, staff, "hunter/open", "Still")).json()["data"]
    assert (again["circuit_since"], again["reason"]) == (data["circuit_since"], "Still")
    listed = (await client.get("/api/v1/providers", headers=tenant.headers)).json()["data"]
    assert {each["name"]: each["circuit"] for each in listed}["hunter"] == "open"
    closed = (await steer(client, staff, "hunter/close")).json()["data"]
    assert (closed["circuit"], closed["held_open"]) == ("closed", False)


async def test_a_disabled_provider_is_not_available_until_it_is_enabled(
    client: httpx.AsyncClient, staff: SignedIn, database: Database
):
    tenant = await new_tenant(database)

    async def is_available() -> bool:
        listed = (await client.get("/api/v1/providers", headers=tenant.headers)).json()["data"]
        return {each["name"]: bool(each["available"]) for each in listed}["website"]

    assert await is_available()
    assert (await steer(client, staff, "website/disable")).json()["data"]["disabled"] is True
    assert not await is_available()
    assert (await steer(client, staff, "website/enable")).json()["data"]["disabled"] is False
    assert await is_available()


async def test_the_reason_is_one_line_of_at_most_500_characters_in_nfc(client: httpx.AsyncClient, staff: SignedIn):
    for wrong in ("", " ", "x" * 501, "two\nlines"):
        assert (await steer(client, staff, "hunter/open", wrong)).status_code == 422
    assert (await steer(client, staff, "hunter/open", "Cafe\u0301")).json()["data"]["reason"] == "Caf\u00e9"


async def test_there_must_be_such_a_provider(client: httpx.AsyncClient, staff: SignedIn):
    for hand in ("open", "close", "disable", "enable"):
        assert (await steer(client, staff, f"nobody/{hand}")).status_code == 404


async def test_only_the_staff_steers(client: httpx.AsyncClient, database: Database):
    tenant = await new_tenant(database)
    person = await new_person(database, email="ann@example.com", name="Ann")
    for headers, status in ((tenant.headers, 403), (person.headers, 403), ({}, 401)):
        for hand in ("open", "close", "disable", "enable"):
            answer = await client.post(
                f"/api/v1/admin/providers/hunter/{hand}", json={"reason": "Mischief"}, headers=headers
            )
            assert answer.status_code in {status, 401}


async def test_the_payment_provider_is_steered_like_every_other(
    client: httpx.AsyncClient, staff: SignedIn, database: Database
):
    tenant = await new_tenant(database)
    opened = await steer(client, staff, "stripe/open", "They announced maintenance")
    assert (opened.json()["data"]["circuit"], opened.json()["data"]["held_open"]) == ("open", True)
    assert (await steer(client, staff, "stripe/close")).json()["data"]["circuit"] == "closed"
    outages = await client.get("/api/v1/providers/stripe/outages", headers=tenant.headers)
    assert (outages.status_code, outages.json()["data"]) == (200, [])
