"""The control interface: what it shows, what it changes, what it refuses."""

import time
from typing import Any

import aiohttp
import pytest

from app.sandbox.server import VENDORS
from tests.app.sandbox.client import Client

PROVIDERS = list(VENDORS)


async def test_health_names_the_providers(client: Client):
    assert await client.control("GET", "/_health") == (200, {"status": "ok", "providers": PROVIDERS})


async def test_faults_are_shown_with_what_they_struck(client: Client):
    await client.fault("hunter", "outage", rate=1, latency_ms=5)
    async with client.raw.get("/hunter/v2/companies/find", params={"domain": "acme.com"}) as answer:
        assert answer.status == 503
    _, faults = await client.control("GET", "/_faults")
    assert faults == {
        "hunter": {"mode": "outage", "rate": 1, "latency_ms": 5, "seconds": None, "struck": 1},
    }
    assert await client.control("DELETE", "/_faults/hunter") == (204, None)
    assert await client.control("DELETE", "/_faults/hunter") == (204, None)
    assert await client.control("GET", "/_faults") == (200, {})


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"mode": "explode"}, "mode"),
        ({}, "mode"),
        ([], "object"),
        ({"mode": "outage", "rate": 2}, "rate"),
        ({"mode": "outage", "rate": "1"}, "rate"),
        ({"mode": "outage", "rate": True}, "rate"),
        ({"mode": "outage", "rate": float("nan")}, "rate"),
        ({"mode": "outage", "latency_ms": -1}, "latency_ms"),
        ({"mode": "outage", "seconds": 0}, "seconds"),
        ({"mode": "outage", "second": 1}, "second"),
        ({"mode": 7}, "mode"),
    ],
)
async def test_a_wrong_fault_is_refused_by_name_and_changes_nothing(client: Client, body: Any, word: str):
    status, said = await client.control("PUT", "/_faults/hunter", body)
    assert status == 400
    assert word in said["error"]
    assert await client.control("GET", "/_faults") == (200, {})


async def test_what_does_not_exist_is_refused_with_what_does(client: Client):
    for method, path in (("PUT", "/_faults/nobody"), ("DELETE", "/_faults/nobody"), ("PUT", "/_options/nobody")):
        status, said = await client.control(method, path, {"mode": "outage"})
        assert status == 400
        assert "nobody" in said["error"]
        assert "hunter" in said["error"]
    assert (await client.control("GET", "/_nothing"))[0] == 404
    assert (await client.control("GET", "/nothing/here"))[0] == 404
    assert (await client.control("POST", "/_calls"))[0] == 405
    async with client.raw.put("/_faults/hunter", data=b"{broken") as answer:
        assert answer.status == 400
        assert "JSON" in (await answer.json())["error"]


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("hunter", {"hit_rate": 1.5}), ("hunter", {"miss_form": "null"}), ("hunter", {"charge_repeats": 1}),
        ("apollo", {"miss_form": "none"}), ("apollo", {"credit_status": 500}), ("apollo", {"credit_status": "402"}),
        ("apollo", {"requests_per_minute": 0}), ("website", {"slow_ms": "1"}), ("dns", {"requests_per_minute": 1}),
        ("dns", {"latency_ms": None}),
    ],
)  # fmt: skip
async def test_a_wrong_option_is_refused_and_changes_nothing(client: Client, provider: str, body: Any):
    _, before = await client.control("GET", "/_options")
    status, said = await client.control("PUT", f"/_options/{provider}", {"hit_rate": 0.1, **body})
    assert status == 400
    assert next(iter(body)) in said["error"]
    assert await client.control("GET", "/_options") == (200, before)


async def test_options_are_answered_whole_and_kept(client: Client):
    status, said = await client.control("PUT", "/_options/apollo", {"hit_rate": 0.25, "miss_form": "absent"})
    assert (status, said["hit_rate"], said["miss_form"], said["credit_status"]) == (200, 0.25, "absent", 422)
    _, options = await client.control("GET", "/_options")
    assert options["apollo"] == said
    assert list(options) == PROVIDERS


async def test_the_base_latency_delays_every_answer(client: Client):
    await client.set("hunter", latency_ms=500)
    begun = time.monotonic()
    await client.get("/hunter/v2/companies/find", domain="acme.com")
    assert time.monotonic() - begun >= 0.5
    begun = time.monotonic()
    await client.get("/apollo/api/v1/organizations/enrich", domain="acme.com")
    assert time.monotonic() - begun < 0.5


async def test_calls_count_by_key_and_start_again_after_a_reset(client: Client):
    await client.set("hunter", hit_rate=1.0)
    for domain in ("acme.com", "acme.com", "www.ACME.com", "other.com"):
        await client.get("/hunter/v2/companies/find", domain=domain)
    await client.get("/hunter/v2/people/find", email="Ana.Roe@acme.com")
    _, calls = await client.control("GET", "/_calls")
    by_key = {"acme.com": 3, "other.com": 1, "ana.roe@acme.com": 1}
    assert calls["hunter"] == {"total": 5, "by_key": by_key, "charged": 5, "charged_by_key": by_key}
    assert calls["dns"]["total"] == 0
    assert await client.control("DELETE", "/_calls") == (204, None)
    assert (await client.calls("hunter"))["total"] == 0


async def test_the_log_tells_when_each_call_came_and_what_it_was_answered(client: Client):
    ask = {"path": "/hunter/v2/companies/find", "domain": "acme.com"}
    await client.set("hunter", hit_rate=1.0)
    await client.get(**ask)
    await client.fault("hunter", "outage")
    async with client.raw.get(ask["path"], params={"domain": "acme.com"}) as answer:
        assert answer.status == 503
    await client.fault("hunter", "drop_after_effect", seconds=5)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.post(ask["path"], domain="acme.com")

    _, said = await client.control("GET", "/_log/hunter")
    times = [at for at, _ in said["calls"]]
    assert [status for _, status in said["calls"]] == [200, 503, 0]
    assert times == sorted(times)
    assert times[-1] <= said["now"]

    await client.control("DELETE", "/_calls")
    assert (await client.control("GET", "/_log/hunter"))[1]["calls"] == []


async def test_hunter_limits_by_the_second_too(client: Client):
    await client.set("hunter", hit_rate=1.0, requests_per_second=2)
    path = "/hunter/v2/companies/find"
    assert [(await client.get(path, domain="acme.com"))[0] for _ in range(3)] == [200, 200, 403]
