"""Hunter's wire format, misses, refusals and prices."""

from typing import Any

import pytest

from tests.app.sandbox.client import Client

FIND = "/hunter/v2/companies/find"


async def test_a_company_comes_in_the_clearbit_shape_inside_the_envelope(client: Client):
    await client.set("hunter", hit_rate=1.0)
    status, said = await client.get(FIND, domain="acme-widgets.com")
    assert status == 200
    assert said["meta"] == {"domain": "acme-widgets.com"}
    company = said["data"]
    assert company["name"] == "Acme Widgets"
    assert company["domain"] == "acme-widgets.com"
    assert {"category", "geo", "metrics", "linkedin", "site", "tags", "foundedYear"} <= company.keys()


async def test_a_miss_of_enrichment_is_404_with_errors(client: Client):
    await client.set("hunter", hit_rate=0.0)
    for path, parameters in (
        (FIND, {"domain": "acme.com"}),
        ("/hunter/v2/people/find", {"email": "ana.roe@acme.com"}),
        ("/hunter/v2/combined/find", {"email": "ana.roe@acme.com"}),
    ):
        status, said = await client.get(path, **parameters)
        assert status == 404
        assert said["errors"][0]["id"] == "not_found"
        assert said["errors"][0]["code"] == 404


@pytest.mark.parametrize(
    "sent",
    [
        {"headers": {"X-API-KEY": "k"}},
        {"headers": {"Authorization": "Bearer k"}},
        {"params": {"api_key": "k"}},
    ],
)
async def test_the_key_may_come_in_any_of_three_places(client: Client, sent: dict[str, Any]):
    await client.set("hunter", hit_rate=1.0)
    parameters = {"domain": "acme.com", **sent.get("params", {})}
    async with client.raw.get(FIND, params=parameters, headers=sent.get("headers")) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(("key", "status", "error"), [
    ("", 401, "authentication_failed"),
    ("bad-key", 401, "authentication_failed"),
    ("poor-key", 429, "usage_limit"),
])  # fmt: skip
async def test_a_key_that_is_missing_unknown_or_used_up_is_refused_and_costs_nothing(
    client: Client, key: str, status: int, error: str
):
    await client.set("hunter", hit_rate=1.0)
    async with client.raw.get(FIND, params={"domain": "acme.com"}, headers={"x-api-key": key}) as answer:
        assert answer.status == status
        assert (await answer.json())["errors"][0]["id"] == error
    calls = await client.calls("hunter")
    assert calls == {"total": 1, "by_key": {"acme.com": 1}, "charged": 0, "charged_by_key": {}}


async def test_a_missing_parameter_is_400_wrong_params(client: Client):
    for path in (FIND, "/hunter/v2/people/find", "/hunter/v2/email-finder", "/hunter/v2/domain-search"):
        status, said = await client.get(path)
        assert status == 400
        assert said["errors"][0]["id"] == "wrong_params"
    status, said = await client.get(FIND, domain="not a domain")
    assert status == 400


async def test_the_finder_and_the_person_agree_on_the_name(client: Client):
    await client.set("hunter", hit_rate=1.0)
    _, found = await client.get("/hunter/v2/email-finder", domain="acme.com", first_name="Ana", last_name="Roe")
    email = found["data"]["email"]
    assert found["data"]["score"] > 0
    status, said = await client.get("/hunter/v2/people/find", email=email)
    assert status == 200
    assert said["data"]["name"] == {"fullName": "Ana Roe", "givenName": "Ana", "familyName": "Roe"}
    status, said = await client.get("/hunter/v2/combined/find", email=email)
    assert (said["data"]["person"]["email"], said["data"]["company"]["domain"]) == (email, "acme.com")


async def test_a_miss_of_the_finder_is_200_with_null_or_404_by_option(client: Client):
    await client.set("hunter", hit_rate=0.0)
    asked = {"domain": "acme.com", "full_name": "Ana Roe"}
    status, said = await client.get("/hunter/v2/email-finder", **asked)
    assert (status, said["data"]["email"], said["data"]["score"]) == (200, None, None)
    await client.set("hunter", finder_miss="404")
    status, _ = await client.get("/hunter/v2/email-finder", **asked)
    assert status == 404
    assert (await client.calls("hunter"))["charged"] == 0


async def test_the_clearbit_format_is_bare_or_enveloped_by_option(client: Client):
    await client.set("hunter", hit_rate=1.0)
    asked = {"domain": "acme.com", "clearbit_format": "true"}
    assert (await client.get(FIND, **asked))[1]["domain"] == "acme.com"
    await client.set("hunter", clearbit_envelope="data", employees_form="range")
    company = (await client.get(FIND, **asked))[1]["data"]
    assert isinstance(company["metrics"]["employees"], str | None)


async def test_a_domain_search_pages_filters_and_charges_per_ten(client: Client):
    await client.set("hunter", hit_rate=1.0)
    _, all_of_it = await client.get("/hunter/v2/domain-search", domain="bigcorp.com", limit="100")
    total = all_of_it["meta"]["results"]
    assert len(all_of_it["data"]["emails"]) == total > 2
    assert (await client.calls("hunter"))["charged"] == -(-total // 10)
    _, page = await client.get("/hunter/v2/domain-search", domain="bigcorp.com", limit="1", offset="1")
    assert page["data"]["emails"] == all_of_it["data"]["emails"][1:2]
    _, generic = await client.get("/hunter/v2/domain-search", domain="bigcorp.com", type="generic")
    assert {mailbox["type"] for mailbox in generic["data"]["emails"]} == {"generic"}
    _, counted = await client.get("/hunter/v2/email-count", domain="bigcorp.com")
    assert counted["data"]["total"] == total
    status, said = await client.get("/hunter/v2/domain-search", domain="bigcorp.com", limit="101")
    assert (status, said["errors"][0]["id"]) == (400, "pagination_error")


async def test_a_miss_of_the_domain_search_is_an_empty_list(client: Client):
    await client.set("hunter", hit_rate=0.0)
    status, said = await client.get("/hunter/v2/domain-search", domain="acme.com")
    assert (status, said["data"]["emails"], said["meta"]["results"]) == (200, [], 0)


async def test_repeats_of_the_finder_are_free_and_of_enrichment_by_option(client: Client):
    await client.set("hunter", hit_rate=1.0)
    for _ in range(2):
        await client.get("/hunter/v2/email-finder", domain="acme.com", full_name="Ana Roe")
    assert (await client.calls("hunter"))["charged"] == 1
    for _ in range(2):
        await client.get(FIND, domain="acme.com")
    assert (await client.calls("hunter"))["charged_by_key"]["acme.com"] == 2
    await client.set("hunter", charge_repeats=False)
    for _ in range(2):
        await client.get(FIND, domain="other.com")
    assert (await client.calls("hunter"))["charged_by_key"]["other.com"] == 1


async def test_magic_mailboxes_show_the_rare_statuses(client: Client):
    await client.set("hunter", hit_rate=1.0)
    verify = "/hunter/v2/email-verifier"
    assert (await client.get(verify, email="suppressed@acme.com"))[0] == 451
    assert (await client.get(verify, email="greylisted@acme.com"))[0] == 222
    assert (await client.get(verify, email="pending@acme.com"))[0] == 202
    assert (await client.calls("hunter"))["charged"] == 0
    status, said = await client.get(verify, email="pending@acme.com")
    assert (status, said["data"]["email"]) == (200, "pending@acme.com")
    assert (await client.get(verify, email="someone@gmail.com"))[1]["data"]["status"] == "webmail"


async def test_an_address_of_which_nothing_can_be_told_costs_nothing(client: Client):
    status, said = await client.get("/hunter/v2/email-verifier", email="unknowable@acme.com")
    assert (status, said["data"]["status"]) == (200, "unknown")
    assert (await client.calls("hunter"))["charged"] == 0


async def test_the_account_counts_what_was_charged(client: Client):
    await client.set("hunter", hit_rate=1.0)
    await client.get(FIND, domain="acme.com")
    _, said = await client.get("/hunter/v2/account")
    assert said["data"]["requests"]["credits"]["used"] == 1


async def test_a_used_up_window_is_403_without_a_hint(client: Client):
    await client.set("hunter", hit_rate=1.0, requests_per_minute=2)
    statuses = [(await client.get(FIND, domain="acme.com"))[0] for _ in range(3)]
    assert statuses == [200, 200, 403]
    async with client.raw.get(FIND, params={"domain": "acme.com"}, headers={"x-api-key": "key"}) as answer:
        assert "retry-after" not in answer.headers
    await client.set("hunter", requests_per_minute=None)
    assert (await client.get(FIND, domain="acme.com"))[0] == 200


@pytest.mark.parametrize("limits", [{"verifications_per_minute": 1}, {"verifications_per_second": 1}])
async def test_verifications_have_windows_of_their_own(client: Client, limits: dict[str, int]):
    await client.set("hunter", hit_rate=1.0, **limits)
    statuses = [(await client.get("/hunter/v2/email-verifier", email="ana@acme.com"))[0] for _ in range(2)]
    assert statuses == [200, 403]
    assert [(await client.get(FIND, domain="acme.com"))[0] for _ in range(2)] == [200, 200]
