"""RDAP in the sandbox: the redirect, the registries, and their words for no."""

import pytest

from app.sandbox.companies import Companies
from app.sandbox.website import WebsiteOptions
from tests.app.sandbox.client import Client


async def test_a_domain_leads_to_its_registry_which_describes_it(client: Client):
    await client.set("rdap", hit_rate=1)
    async with client.raw.get("/rdap/domain/company-1.com", allow_redirects=False) as redirect:
        assert redirect.status == 302
        assert redirect.headers["Location"] == "../registry/com/domain/COMPANY-1.COM"
    async with client.raw.get("/rdap/domain/company-1.com") as answer:
        said = await answer.json(content_type="application/rdap+json")
    assert said["objectClassName"] == "domain"
    assert said["ldhName"] == "COMPANY-1.COM"
    assert {event["eventAction"] for event in said["events"]} >= {"registration", "expiration"}
    assert said["entities"][0]["roles"] == ["registrar"]
    calls = await client.calls("rdap")
    assert (calls["total"], calls["by_key"], calls["charged"]) == (3, {"company-1.com": 2}, 0)


async def test_what_has_a_website_is_registered(client: Client):
    world, websites = Companies(), WebsiteOptions().hit_rate
    for domain in (f"company-{number}.com" for number in range(30)):
        async with client.raw.get(f"/rdap/domain/{domain}") as answer:
            assert answer.status == 200 or not world.is_alive(domain, websites)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/rdap/domain/company-1.de", 404),  # no registry is known
        ("/rdap/domain/shop.company-1.com", 404),  # not registered there
        ("/rdap/domain/nonsense", 400),
        ("/rdap/registry/com/domain/acme.net", 404),
        ("/rdap/nothing", 404),
    ],
)
async def test_what_is_not_there_is_said_in_the_registries_form(client: Client, path: str, status: int):
    await client.set("rdap", hit_rate=1)
    async with client.raw.get(path) as answer:
        assert answer.status == status
        assert (await answer.json(content_type="application/rdap+json"))["errorCode"] == status
    async with client.raw.post(path) as answer:
        assert answer.status == 405
