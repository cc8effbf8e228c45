"""Apollo's wire format, misses, refusals and prices."""

from typing import Any

import pytest

from tests.app.sandbox.client import Client

ENRICH = "/apollo/api/v1/organizations/enrich"
BULK_ENRICH = "/apollo/api/v1/organizations/bulk_enrich"
MATCH = "/apollo/api/v1/people/match"
BULK_MATCH = "/apollo/api/v1/people/bulk_match"


async def test_a_company_comes_as_organization_and_costs_one_credit(client: Client):
    await client.set("apollo", hit_rate=1.0)
    status, said = await client.get(ENRICH, domain="acme-widgets.com")
    assert status == 200
    assert said["organization"]["name"] == "Acme Widgets"
    assert said["organization"]["primary_domain"] == "acme-widgets.com"
    assert "media_and_commmunication" in said["organization"]["departmental_head_count"]
    assert (await client.calls("apollo"))["charged_by_key"] == {"acme-widgets.com": 1}


@pytest.mark.parametrize(
    ("form", "single", "bulk"),
    [("null", {"organization": None}, [None]), ("absent", {}, []), ("empty", {"organization": {}}, [{}])],
)
async def test_a_miss_is_200_in_the_form_that_was_chosen(
    client: Client, form: str, single: dict[str, Any], bulk: list[Any]
):
    await client.set("apollo", hit_rate=0.0, miss_form=form)
    assert await client.get(ENRICH, domain="acme.com") == (200, single)
    status, said = await client.post(BULK_ENRICH, {"details": [{"domain": "acme.com"}]})
    assert (status, said["organizations"], said["missing_records"]) == (200, bulk, 1)
    status, said = await client.post(MATCH, email="ana.roe@acme.com")
    person = {"person": single["organization"]} if single else {}
    assert {name: value for name, value in said.items() if name != "request_id"} == person
    assert (await client.calls("apollo"))["charged"] == 0


async def test_a_bulk_answers_and_charges_each_found_company(client: Client):
    domains = [f"company-{n}.com" for n in range(10)]
    status, said = await client.post(BULK_ENRICH, {"details": [{"domain": domain} for domain in domains]})
    found = [company["primary_domain"] for company in said["organizations"] if company]
    assert status == 200
    assert 0 < len(found) < 10
    assert said["unique_enriched_records"] == len(found) == 10 - said["missing_records"]
    calls = await client.calls("apollo")
    assert (calls["total"], calls["by_key"]) == (1, dict.fromkeys(domains, 1))
    assert calls["charged_by_key"] == dict.fromkeys(found, 1)
    async with client.raw.post(
        f"{BULK_ENRICH}?domains[]=company-0.com&domains[]=company-1.com", headers={"x-api-key": "key"}
    ) as answer:
        assert (await answer.json())["total_requested_domains"] == 2


@pytest.mark.parametrize("form", ["null", "absent", "empty"])
async def test_a_bulk_stands_in_the_order_of_the_questions_or_in_the_other_by_option(client: Client, form: str):
    details = [{"domain": f"company-{n}.com"} for n in range(10)]
    await client.set("apollo", miss_form=form)
    _, asked = await client.post(BULK_ENRICH, {"details": details})
    await client.set("apollo", bulk_order="reversed")
    _, backwards = await client.post(BULK_ENRICH, {"details": details})
    assert backwards.pop("organizations") == asked.pop("organizations")[::-1]
    assert backwards == asked


async def test_bulks_may_have_a_window_narrower_than_the_others(client: Client):
    await client.set("apollo", requests_per_minute=9, bulk_requests_per_minute=1)
    body = {"details": [{"domain": "acme.com"}]}
    assert [(await client.post(BULK_ENRICH, body))[0] for _ in range(2)] == [200, 429]
    assert [(await client.get(ENRICH, domain="acme.com"))[0] for _ in range(2)] == [200, 200]


async def test_a_bulk_of_none_or_of_eleven_is_refused_by_code(client: Client):
    for path in (BULK_ENRICH, BULK_MATCH):
        status, said = await client.post(path, {"details": []})
        assert (status, said["error_code"]) == (400, "INVALID_REQUEST")
        status, said = await client.post(path, {"details": [{"domain": f"c{n}.com"} for n in range(11)]})
        assert (status, said["error_code"]) == (400, "RECORD_LIMIT_EXCEEDED")
        status, said = await client.post(path, {"details": "acme.com"})
        assert (status, said["error_code"]) == (422, "UNKNOWN_ERROR")
    assert (await client.get(ENRICH))[0] == 422


async def test_a_person_is_matched_by_query_or_by_body_and_by_name_or_by_address(client: Client):
    await client.set("apollo", hit_rate=1.0)
    by_name = {"first_name": "Ana", "last_name": "Roe", "domain": "acme.com"}
    _, from_query = await client.post(MATCH, **by_name)
    _, from_body = await client.post(MATCH, by_name)
    person = from_query["person"]
    assert person == from_body["person"]
    assert person["name"] == "Ana Roe"
    assert person["organization"]["primary_domain"] == "acme.com"
    assert isinstance(from_query["request_id"], int)
    _, bulk = await client.post(BULK_MATCH, {"details": [by_name, {"name": "Nobody"}]})
    assert bulk["matches"] == [person, None]
    assert (bulk["missing_records"], bulk["credits_consumed"]) == (1, 1)


async def test_a_locked_address_shows_the_placeholder(client: Client):
    await client.set("apollo", hit_rate=1.0)
    _, said = await client.post(MATCH, email="locked.roe@acme.com")
    assert said["person"]["email"] == "email_not_unlocked@domain.com"


@pytest.mark.parametrize(("key", "status", "text"), [
    ("", 401, "Invalid access credentials."),
    ("bad-key", 401, "Invalid access credentials."),
    ("scoped-key", 403, "API_INACCESSIBLE"),
    ("poor-key", 422, "credit"),
])  # fmt: skip
async def test_keys_are_refused_in_apollos_words(client: Client, key: str, status: int, text: str):
    async with client.raw.get(ENRICH, params={"domain": "acme.com"}, headers={"x-api-key": key}) as answer:
        assert answer.status == status
        assert text in await answer.text()
        assert answer.content_type == ("text/plain" if status == 401 else "application/json")
        assert "x-rate-limit-minute" not in answer.headers


async def test_an_unknown_oauth_token_is_refused_as_json(client: Client):
    async with client.raw.get(ENRICH, headers={"Authorization": "Bearer bad"}) as answer:
        assert (answer.status, (await answer.json())["error_code"]) == (401, "INVALID_ACCESS_TOKEN")


async def test_rate_limit_headers_are_empty_until_a_limit_is_set(client: Client):
    ask = {"params": {"domain": "acme.com"}, "headers": {"x-api-key": "key"}}
    async with client.raw.get(ENRICH, **ask) as answer:
        assert answer.headers["x-rate-limit-minute"] == ""
        assert "x-minute-usage" not in answer.headers
    await client.set("apollo", requests_per_minute=2)
    async with client.raw.get(ENRICH, **ask) as answer:
        headers = answer.headers
        assert (headers["x-rate-limit-minute"], headers["x-minute-usage"]) == ("2", "1")
        assert headers["x-minute-requests-left"] == "1"
    async with client.raw.get(ENRICH, **ask) as answer:
        assert answer.status == 200
    async with client.raw.get(ENRICH, **ask) as answer:
        assert answer.status == 429
        assert 0 < int(answer.headers["retry-after"]) <= 61
        assert "maximum number of api calls" in (await answer.json())["message"]


async def test_free_calls_tell_health_and_usage(client: Client):
    await client.set("apollo", hit_rate=1.0)
    await client.get(ENRICH, domain="acme.com")
    assert await client.get("/apollo/api/v1/auth/health") == (200, {"healthy": True, "is_logged_in": True})
    _, said = await client.post("/apollo/api/v1/usage_stats/credit_usage_stats")
    assert said["credit_usage_stats"]["lead_credit"]["consumed"] == 1
    status, said = await client.post("/apollo/api/v1/usage_stats/api_usage_stats")
    assert status == 200
    assert '["api/v1/organizations", "enrich"]' in said
