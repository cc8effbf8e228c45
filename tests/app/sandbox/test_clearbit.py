"""Clearbit's wire format: 202 and what it is charged, refusals, windows."""

from base64 import b64encode
from typing import Any

import pytest

from tests.app.sandbox.client import Client

PERSON = "/clearbit/person/v2/people/find"
COMPANY = "/clearbit/company/v2/companies/find"
KEY = {"Authorization": "Bearer sk_key"}


async def ask(client: Client, path: str, headers: dict[str, str] = KEY, **query: str) -> tuple[int, Any, Any]:
    async with client.raw.get(path, params=query, headers=headers) as answer:
        is_json = answer.content_type == "application/json" and answer.status != 202
        return answer.status, answer.headers, await answer.json() if is_json else await answer.text()


async def test_a_company_and_a_person_agree_with_what_other_vendors_say(client: Client):
    await client.set("clearbit", hit_rate=1.0, pending_rate=0.0)
    await client.set("hunter", hit_rate=1.0)
    _, _, company = await ask(client, COMPANY, domain="acme-widgets.com")
    _, hunters = await client.get("/hunter/v2/companies/find", domain="acme-widgets.com")
    assert company["name"] == hunters["data"]["name"] == "Acme Widgets"
    status, headers, person = await ask(client, PERSON, email="ana.roe@acme-widgets.com")
    assert (status, person["name"]["fullName"]) == (200, "Ana Roe")
    assert headers["x-api-version"] == "2019-12-19"
    assert (await client.calls("clearbit"))["charged_by_key"] == {"acme-widgets.com": 1, "ana.roe@acme-widgets.com": 1}


async def test_a_miss_is_charged_and_a_repeat_is_not(client: Client):
    await client.set("clearbit", hit_rate=0.0, pending_rate=0.0)
    for _ in range(3):
        status, _, said = await ask(client, COMPANY, domain="acme.com")
        assert (status, said["error"]["type"]) == (404, "unknown_company")
    assert (await client.calls("clearbit"))["charged"] == 1


async def test_what_is_not_fresh_is_an_empty_202_until_it_was_asked_for_often_enough(client: Client):
    await client.set("clearbit", hit_rate=1.0, pending_rate=1.0, ready_after_polls=2)
    said = [await ask(client, COMPANY, domain="acme.com") for _ in range(4)]
    assert [status for status, _, _ in said] == [202, 202, 200, 200]
    assert said[0][2] == ""
    calls = await client.calls("clearbit")
    assert (calls["total"], calls["charged"]) == (4, 1)


async def test_what_is_not_fresh_may_take_its_time_however_often_it_is_asked_for(client: Client):
    await client.set("clearbit", hit_rate=1.0, pending_rate=0.0, ready_after_ms=600_000)
    assert {(await ask(client, PERSON, email="pending.roe@acme.com"))[0] for _ in range(5)} == {202}
    assert (await ask(client, PERSON, email="ana.roe@acme.com"))[0] == 200


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        (KEY, {}, 422),
        ({"Authorization": "Bearer poor"}, {"domain": "acme.com"}, 402),
        ({"Authorization": "Bearer scoped"}, {"domain": "acme.com"}, 403),
    ],
)
async def test_refusals_without_a_documented_form_come_in_the_one_that_was_chosen(
    client: Client, form: str, headers: dict[str, str], query: dict[str, str], status: int
):
    await client.set("clearbit", refusal_form=form)
    answered, _, said = await ask(client, COMPANY, headers, **query)
    assert answered == status
    assert isinstance(said, dict) is (form == "json")
    assert (await client.calls("clearbit"))["charged"] == 0


async def test_keys_are_bearer_tokens_or_user_names(client: Client):
    basic = f"Basic {b64encode(b'sk_key:').decode()}"
    assert (await ask(client, COMPANY, {"Authorization": basic}, domain="acme.com"))[0] in (200, 202, 404)
    for header, slug in (({}, "auth_required"), ({"Authorization": "Bearer bad"}, "invalid_api_key")):
        status, headers, said = await ask(client, COMPANY, header, domain="acme.com")
        assert (status, said["error"]["type"]) == (401, slug)
        assert "x-ratelimit-remaining" in headers
    status, _, said = await ask(client, "/clearbit/company/v2/people/find", email="ana@acme.com")
    assert (status, said["error"]["type"]) == (404, "unknown_route")


async def test_each_host_has_a_window_that_is_told_in_unix_seconds(client: Client):
    await client.set("clearbit", requests_per_minute=1)
    _, headers, _ = await ask(client, COMPANY, domain="acme.com")
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("1", "0")
    status, headers, _ = await ask(client, COMPANY, domain="acme.com")
    assert (status, "Retry-After" in headers) == (429, False)
    assert int(headers["x-ratelimit-reset"]) > 1_700_000_000
    assert (await ask(client, PERSON, email="ana@acme.com"))[0] in (200, 202, 404)
    await client.fault("clearbit", "rate_limited_unannounced")
    status, headers, _ = await ask(client, PERSON, email="ana@acme.com")
    assert (status, "x-ratelimit-reset" in headers) == (429, False)
