"""The wire format of People Data Labs: single and bulk, misses, what is charged, and what a hundred people weigh."""

from typing import Any

import pytest

from tests.app.sandbox.client import Client

PERSON = "/peopledatalabs/v5/person/enrich"
PEOPLE = "/peopledatalabs/v5/person/bulk"
COMPANY = "/peopledatalabs/v5/company/enrich"
COMPANIES = "/peopledatalabs/v5/company/enrich/bulk"


async def test_a_person_comes_in_data_and_a_company_flat_in_lower_case(client: Client):
    await client.set("peopledatalabs", hit_rate=1.0)
    status, said = await client.get(PERSON, email="ana.roe@acme-widgets.com")
    assert (status, said["status"]) == (200, 200)
    assert 1 <= said["likelihood"] <= 10
    assert said["data"]["full_name"] == "ana roe"
    assert said["data"]["job_company_website"] == "acme-widgets.com"
    assert said["data"]["linkedin_url"].startswith("linkedin.com/in/")
    _, flat = await client.get(COMPANY, website="acme-widgets.com")
    assert (flat["name"], "data" in flat) == ("acme widgets", False)
    _, titled = await client.get(COMPANY, website="acme-widgets.com", titlecase="true")
    assert titled["name"] == "Acme Widgets"
    assert (await client.calls("peopledatalabs"))["charged"] == 3


async def test_the_same_person_is_matched_by_any_key(client: Client):
    await client.set("peopledatalabs", hit_rate=1.0)
    _, by_email = await client.get(PERSON, email="ana.roe@acme.com")
    _, by_profile = await client.get(PERSON, profile=f"https://www.{by_email['data']['linkedin_url']}")
    assert by_profile["data"]["full_name"] == "ana roe"
    _, by_name = await client.get(PERSON, name="Ana Roe", company="acme.com")
    _, by_names = await client.post(PERSON, {"first_name": "Ana", "last_name": "Roe", "company": "Acme"})
    assert by_name == by_names
    assert by_name["likelihood"] < by_email["likelihood"]
    assert (await client.get(PERSON, name="Ana Roe", company="acme.com", min_likelihood="9"))[0] == 404


@pytest.mark.parametrize(("form", "code"), [("text", "not_found"), ("list", ["not_found"])])
async def test_a_miss_is_a_404_with_its_code_and_free(client: Client, form: str, code: object):
    await client.set("peopledatalabs", hit_rate=0.0, error_type=form)
    status, said = await client.get(PERSON, email="ana.roe@acme.com")
    assert (status, said["error"]["type"]) == (404, code)
    status, said = await client.get("/peopledatalabs/v5/nothing")
    assert (status, "error" in said) == (404, False)
    assert (await client.calls("peopledatalabs"))["charged"] == 0


@pytest.mark.parametrize(
    ("form", "keys"),
    [("whole", {"status", "error", "metadata"}), ("status", {"status", "metadata"}), ("error", {"error", "metadata"})],
)
async def test_a_bulk_answer_is_a_list_in_order_that_repeats_the_metadata(client: Client, form: str, keys: set[str]):
    await client.set("peopledatalabs", item_miss=form)
    domains = [f"company-{number}.com" for number in range(20)]
    requests = [{"params": {"website": domain}, "metadata": {"n": n}} for n, domain in enumerate(domains)]
    status, said = await client.post(COMPANIES, {"requests": requests})
    assert (status, [item["metadata"]["n"] for item in said]) == (200, list(range(20)))
    found = [item for item in said if item.get("status") == 200]
    assert all(item.keys() == keys for item in said if item not in found)
    assert [item["website"] for item in found] == [domains[item["metadata"]["n"]] for item in found]
    calls = await client.calls("peopledatalabs")
    assert (calls["total"], calls["charged"]) == (1, len(found))
    assert 0 < len(found) < 20


async def test_a_bulk_of_none_or_of_more_than_a_hundred_is_refused(client: Client):
    for requests in ([], [{}] * 101, "all"):
        status, said = await client.post(PEOPLE, {"requests": requests})
        assert (status, said["error"]["type"]) == (400, "invalid_request_error")
    _, said = await client.post(PEOPLE, {"requests": [{"params": {"name": "Ana"}}, 7]})
    assert [item["status"] for item in said] == [400, 400]


async def test_a_hundred_whole_people_are_too_much_for_the_gateway(client: Client):
    await client.set("peopledatalabs", hit_rate=1.0)
    requests = [{"params": {"email": f"ana.roe@company-{number}.com"}} for number in range(100)]
    async with client.raw.post(PEOPLE, json={"requests": requests}, headers={"x-api-key": "key"}) as answer:
        assert (answer.status, answer.content_type) == (502, "text/html")
    status, said = await client.post(PEOPLE, {"requests": requests, "data_include": "full_name,work_email"})
    assert (status, len(said)) == (200, 100)
    assert said[0]["data"].keys() == {"full_name", "work_email"}
    _, said = await client.post(PEOPLE, {"requests": requests, "data_include": "-experience"})
    assert "experience" not in said[0]["data"]
    assert "job_title" in said[0]["data"]


async def test_a_free_plan_says_that_there_is_an_address_and_not_which(client: Client):
    await client.set("peopledatalabs", hit_rate=1.0, is_free_plan=True)
    _, said = await client.get(PERSON, email="ana.roe@acme.com")
    assert said["data"]["work_email"] is True
    assert isinstance(said["data"]["personal_emails"], bool)


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("", 401, "authentication_error"),
        ("bad", 401, "authentication_error"),
        ("scoped", 403, "authentication_error"),
        ("poor", 402, "payment_required"),
    ],
)
async def test_keys_are_refused_in_the_vendors_words(client: Client, key: str, status: int, code: str):
    ask = {"params": {"website": "acme.com"}, "headers": {"x-api-key": key}}
    async with client.raw.get(COMPANY, **ask) as answer:
        assert (answer.status, (await answer.json())["error"]["type"]) == (status, code)
    async with client.raw.post(COMPANY, **ask) as answer:
        assert answer.status in (405, status)
    async with client.raw.get(COMPANY, params={"website": "acme.com", "api_key": "key"}) as answer:
        assert answer.status in (200, 404)


@pytest.mark.parametrize(
    ("form", "left"), [("python", "{'minute': 0, 'day': None}"), ("json", '{"minute":0,"day":null}')]
)
async def test_windows_and_credits_are_told_in_headers(client: Client, form: str, left: str):
    await client.set("peopledatalabs", hit_rate=1.0, requests_per_minute=1, header_form=form)
    ask: Any = {"params": {"website": "acme.com"}, "headers": {"x-api-key": "key"}}
    async with client.raw.get(COMPANY, **ask) as answer:
        assert answer.headers["x-ratelimit-remaining"] == left
        assert (answer.headers["x-call-credits-spent"], answer.headers["x-call-credits-type"]) == (
            "1",
            "enrich_company",
        )
    async with client.raw.get(COMPANY, **ask) as answer:
        assert (answer.status, "Retry-After" in answer.headers) == (429, False)
        assert answer.headers["x-ratelimit-reset"].endswith("+00:00")
        assert answer.headers["x-call-credits-spent"] == "0"
    await client.fault("peopledatalabs", "rate_limited_unannounced")
    async with client.raw.get(COMPANY, **ask) as answer:
        assert (answer.status, "x-ratelimit-reset" in answer.headers) == (429, False)
