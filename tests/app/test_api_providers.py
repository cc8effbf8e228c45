"""The catalogue of providers over HTTP."""

from sqlalchemy import text

from app.providers.ports import FIELDS, SUBJECT_KEYS
from tests.api import new_tenant, owner_sessions, running_api
from tests.servers import Database


async def test_a_provider_says_what_it_can_fill_and_costs(database: Database):
    tenant = await new_tenant(database)
    providers = {"hunter": {"credit_cost": 7, "base_url": "http://127.0.0.1:1"}}
    async with running_api(database, providers=providers) as client:
        answer = await client.get("/api/v1/providers", headers=tenant.headers)
    assert answer.status_code == 200
    by_name = {each["name"]: each for each in answer.json()["data"]}
    assert by_name.keys() >= {"website", "dns", "hunter", "apollo"}
    hunter = by_name["hunter"]
    assert hunter["credit_cost"] == 7
    assert hunter["requires_credential"] is True
    assert hunter["available"] is False  # there is no key
    assert by_name["website"]["available"] is True
    for provider in by_name.values():
        assert provider["entities"] == list(provider["fields"])
        assert all(set(names) <= set(FIELDS[entity]) for entity, names in provider["fields"].items())
        assert provider["lookup_keys"].keys() == provider["bulk"].keys() == provider["fields"].keys()
        for entity, alternatives in provider["lookup_keys"].items():
            assert alternatives
            assert all(keys and set(keys) <= set(SUBJECT_KEYS[entity]) for keys in alternatives)


async def test_a_provider_says_how_it_is_called_and_what_its_vendor_charges(database: Database):
    tenant = await new_tenant(database)
    providers = {"apollo": {"quotas": [{"calls": 50, "seconds": 60}]}}
    async with running_api(database, providers=providers) as client:
        answer = await client.get("/api/v1/providers", headers=tenant.headers)
    by_name = {each["name"]: each for each in answer.json()["data"]}
    assert by_name["apollo"]["limits"] == [{"calls": 50, "seconds": 60}]
    assert by_name["website"]["limits"] == []
    assert by_name["hunter"]["limits"] == [{"calls": 15, "seconds": 1}, {"calls": 500, "seconds": 60}]
    assert by_name["website"]["lookup_keys"] == {"company": [["domain"]]}
    assert ["company_name", "full_name"] in by_name["hunter"]["lookup_keys"]["person"]
    assert by_name["peopledatalabs"]["bulk"] == {"company": 100, "person": 100}
    assert by_name["website"]["bulk"] == {"company": 1}
    assert {name for name, each in by_name.items() if each["charges_on_miss"]} == {"clearbit"}
    assert {name for name, each in by_name.items() if each["verifies_email"]} == {"hunter_verifier"}


async def test_a_provider_that_was_never_called_is_closed_without_figures(database: Database):
    tenant = await new_tenant(database)
    async with running_api(database) as client:
        answer = await client.get("/api/v1/providers", headers=tenant.headers)
    provider = answer.json()["data"][0]
    assert provider["circuit"] == "closed"
    assert provider["circuit_opens_until"] is provider["success_rate"] is provider["p95_seconds"] is None


async def test_an_open_circuit_is_shown_with_its_end(database: Database):
    tenant = await new_tenant(database)
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        await session.execute(
            text(
                "INSERT INTO provider_health (provider, circuit, opens_until, success_rate, p95_seconds)"
                " VALUES ('apollo', 'open', '2030-01-01T00:00:00Z', 0.25, 1.5)"
            )
        )
    async with running_api(database) as client:
        answer = await client.get("/api/v1/providers", headers=tenant.headers)
    apollo = next(each for each in answer.json()["data"] if each["name"] == "apollo")
    assert apollo["circuit"] == "open"
    assert apollo["circuit_opens_until"] == "2030-01-01T00:00:00Z"
    assert apollo["success_rate"] == 0.25
    assert apollo["p95_seconds"] == 1.5
