"""Every fault is caused by the control interface and seen on the wire."""

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest

from tests.app.sandbox.client import Client

FIND = "/hunter/v2/companies/find"
ENRICH = "/apollo/api/v1/organizations/enrich"
PAGE = "/website/https/www.acme.com/"
KEY = {"x-api-key": "key"}
VENDORS = {"hunter": FIND, "apollo": ENRICH, "website": PAGE}


async def ask(client: Client, provider: str, **more: Any):
    async with client.raw.get(VENDORS[provider], params={"domain": "acme.com"}, headers=KEY, **more) as answer:
        return answer, await answer.read()


@pytest.fixture(autouse=True)
async def _everything_is_known(client: Client):
    for provider in VENDORS:
        await client.set(provider, hit_rate=1.0)


@pytest.mark.parametrize(
    ("provider", "mode", "status"),
    [
        ("hunter", "outage", 503), ("apollo", "outage", 503), ("website", "outage", 503),
        ("hunter", "rate_limited", 403), ("apollo", "rate_limited", 429), ("website", "rate_limited", 429),
        ("hunter", "quota_exhausted", 429), ("apollo", "quota_exhausted", 422), ("website", "quota_exhausted", 429),
        ("hunter", "auth", 401), ("apollo", "auth", 401), ("website", "auth", 403),
    ],
)  # fmt: skip
async def test_a_refusal_has_the_vendors_status_costs_nothing_and_still_counts(
    client: Client, provider: str, mode: str, status: int
):
    await client.fault(provider, mode)
    assert [(await ask(client, provider))[0].status for _ in range(2)] == [status, status]
    calls = await client.calls(provider)
    assert (calls["total"], calls["charged"]) == (2, 0)
    await client.control("DELETE", f"/_faults/{provider}")
    assert (await ask(client, provider))[0].status == 200


async def test_only_apollo_and_websites_hint_when_to_come_back(client: Client):
    hints = {}
    for provider in VENDORS:
        await client.fault(provider, "rate_limited")
        hints[provider] = (await ask(client, provider))[0].headers.get("Retry-After")
    assert hints == {"hunter": None, "apollo": "8", "website": "7"}


async def test_a_rate_limit_can_come_without_a_hint(client: Client):
    for provider, status in (("hunter", 403), ("apollo", 429), ("website", 429)):
        await client.fault(provider, "rate_limited_unannounced")
        answer, _ = await ask(client, provider)
        assert (answer.status, answer.headers.get("Retry-After")) == (status, None)


async def test_apollo_says_credit_in_the_status_that_was_chosen(client: Client):
    await client.set("apollo", credit_status=402)
    await client.fault("apollo", "quota_exhausted")
    answer, body = await ask(client, "apollo")
    assert (answer.status, b"credit" in body) == (402, True)


async def test_an_outage_speaks_html_and_json_in_turn(client: Client):
    for provider in ("hunter", "apollo"):
        await client.fault(provider, "outage")
        types = [(await ask(client, provider))[0].content_type for _ in range(2)]
        assert types == ["text/html", "application/json"]


async def test_a_flaky_provider_fails_half_of_the_time_in_the_same_order_again(client: Client):
    runs = []
    for _ in range(2):
        await client.fault("hunter", "flaky")
        runs.append([(await ask(client, "hunter"))[0].status for _ in range(40)])
    assert runs[0] == runs[1]
    assert 10 < runs[0].count(500) < 30
    assert set(runs[0]) == {200, 500}


async def test_a_rate_hits_its_share_of_the_requests(client: Client):
    await client.fault("apollo", "outage", rate=0.1)
    statuses = [(await ask(client, "apollo"))[0].status for _ in range(100)]
    assert 2 < statuses.count(503) < 25
    await client.fault("apollo", "outage", rate=0)
    assert (await ask(client, "apollo"))[0].status == 200


async def test_a_slow_provider_answers_right_but_late(client: Client):
    await client.fault("hunter", "slow", latency_ms=100)
    begun = time.monotonic()
    answer, _ = await ask(client, "hunter")
    assert time.monotonic() - begun >= 0.1
    assert answer.status == 200
    assert (await client.calls("hunter"))["charged"] == 1


async def test_slow_means_three_seconds_unless_said_otherwise(client: Client):
    for more in ({}, {"latency_ms": 0}, {"latency_ms": None}):
        _, said = await client.control("PUT", "/_faults/hunter", {"mode": "slow", **more})
        assert said["latency_ms"] == 3000


async def test_a_hanging_provider_never_answers_and_bills_nothing(client: Client):
    await client.fault("hunter", "hang")
    with pytest.raises(TimeoutError):
        await ask(client, "hunter", timeout=aiohttp.ClientTimeout(total=0.1))
    calls = await client.calls("hunter")
    assert (calls["total"], calls["charged"]) == (1, 0)


async def test_a_drop_after_the_effect_is_billed_and_closes_without_an_answer(client: Client):
    for provider, charged in (("hunter", 1), ("apollo", 1), ("website", 0)):
        await client.fault(provider, "drop_after_effect")
        # aiohttp repeats a GET by itself when a kept connection closes on it; each repeat is billed too.
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await ask(client, provider)
        calls = await client.calls(provider)
        assert calls["total"] >= 1
        assert calls["charged"] == charged * calls["total"]


async def test_a_truncated_answer_is_billed_and_breaks_off_in_the_body(client: Client):
    for provider, charged in (("hunter", 1), ("apollo", 1), ("website", 0)):
        await client.fault(provider, "truncated")
        with pytest.raises(aiohttp.ClientPayloadError):
            await ask(client, provider)
        assert (await client.calls(provider))["charged"] == charged


async def test_malformed_answers_rotate_through_html_a_cut_and_wrong_types(client: Client):
    for provider in ("hunter", "apollo"):
        await client.fault(provider, "malformed")
        page, cut, wrong = [await ask(client, provider) for _ in range(3)]
        assert {answer.status for answer, _ in (page, cut, wrong)} == {200}
        assert page[0].content_type == "text/html"
        assert cut[1].startswith(b"{")
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            json.loads(cut[1])
        said = json.loads(wrong[1])
        assert not isinstance(said.get("data") or said.get("organization"), dict)
    await client.fault("website", "malformed")
    binary, cut, other = [await ask(client, "website") for _ in range(3)]
    assert b"\x00" in binary[1]
    assert b"</html>" not in cut[1]
    assert other[0].content_type == "application/json"


async def test_a_fault_ends_by_itself_after_its_seconds(client: Client):
    await client.fault("hunter", "outage", seconds=0.2)
    assert (await ask(client, "hunter"))[0].status == 503
    _, faults = await client.control("GET", "/_faults")
    assert 0 < faults["hunter"]["seconds"] <= 0.2
    await asyncio.sleep(0.22)
    assert (await client.control("GET", "/_faults"))[1] == {}
    assert (await ask(client, "hunter"))[0].status == 200


async def test_a_fault_of_one_provider_leaves_the_others_alone(client: Client):
    await client.fault("hunter", "outage")
    assert (await ask(client, "apollo"))[0].status == 200
    assert (await ask(client, "website"))[0].status == 200
