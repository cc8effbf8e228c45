"""The companies' sites: what is on their pages and the ways in which they are gone."""

import json
import re
from collections import Counter

import aiohttp
import pytest

from app.sandbox.companies import Companies
from tests.app.sandbox.client import Client

REDIRECTING = next(f"company-{n}.com" for n in range(100) if Companies().knows("www", f"company-{n}.com", 0.25))
STAYING = next(f"company-{n}.com" for n in range(100) if not Companies().knows("www", f"company-{n}.com", 0.25))


async def page(client: Client, url: str):
    scheme, rest = url.split("://")
    async with client.raw.get(f"/website/{scheme}/{rest}", allow_redirects=False) as answer:
        return answer, await answer.text()


async def test_a_home_page_names_the_company_and_leads_to_its_other_pages(client: Client):
    await client.set("website", hit_rate=1.0)
    answer, text = await page(client, f"https://{STAYING}/")
    assert answer.status == 200
    assert answer.content_type == "text/html"
    assert "<title>Company" in text
    assert 'href="/about"' in text
    for path, told in (("/about", "founded in"), ("/contact", "mailto:")):
        answer, text = await page(client, f"https://{STAYING}{path}")
        assert (answer.status, told in text) == (200, True)
    answer, text = await page(client, f"https://{STAYING}/robots.txt")
    assert "User-agent: *" in text
    answer, _ = await page(client, f"https://{STAYING}/no-such-page")
    assert answer.status == 404


async def test_some_sites_keep_robots_out_and_nobody_counts_who_asks_for_the_rules(client: Client):
    await client.set("website", hit_rate=1.0)
    for host, rule in (("nobots.com", "User-agent: *"), ("noholdfast.com", "User-agent: Holdfast")):
        _, text = await page(client, f"https://www.{host}/robots.txt")
        assert text.startswith(f"{rule}\nDisallow: /\n")
    assert (await client.calls("website"))["by_key"] == {}


async def test_pages_differ_in_what_they_tell_as_real_ones_do(client: Client):
    await client.set("website", hit_rate=1.0)
    told = Counter()
    for n in range(80):
        _, text = await page(client, f"https://www.company-{n}.com/")
        blocks = re.findall(r'<script type="application/ld\+json">(.*?)</script>', text)
        for block in blocks:
            try:
                told["graph" if "@graph" in json.loads(block) else "flat"] += 1
            except ValueError:
                told["broken"] += 1
        marks = ("og:site_name", 'name="description"', "linkedin.com/company/", "mailto:", "tel:", "github.com/")
        told.update(mark for mark in marks if mark in text)
    assert all(0 < count < 80 for count in told.values())
    assert {"graph", "flat", "broken", "og:site_name", "mailto:", "tel:", "github.com/"} <= told.keys()


async def test_some_sites_send_the_bare_domain_to_www_by_its_real_address(client: Client):
    await client.set("website", hit_rate=1.0)
    answer, _ = await page(client, f"http://{REDIRECTING}/")
    assert (answer.status, answer.headers["Location"]) == (301, f"https://www.{REDIRECTING}/")
    answer, _ = await page(client, f"https://www.{REDIRECTING}/")
    assert answer.status == 200


async def test_an_unreachable_site_is_gone_broken_or_dead(client: Client):
    await client.set("website", hit_rate=0.0, slow_ms=0)
    ends = Counter()
    for n in range(60):
        try:
            answer, _ = await page(client, f"https://company-{n}.com/")
            ends[answer.status] += 1
        except aiohttp.ServerDisconnectedError:
            ends["dead"] += 1
    assert ends.keys() == {404, 503, "dead"}


async def test_a_slow_site_takes_its_time(client: Client):
    slow = next(
        f"company-{n}.com" for n in range(1000) if Companies().draws("unreachable", f"company-{n}.com")[0] % 100 >= 97
    )
    await client.set("website", hit_rate=0.0, slow_ms=80)
    with pytest.raises(TimeoutError):
        await client.raw.get(f"/website/https/{slow}/", timeout=aiohttp.ClientTimeout(total=0.04))
    answer, _ = await page(client, f"https://{slow}/")
    assert answer.status == 503


async def test_head_has_the_headers_of_get_and_no_body(client: Client):
    await client.set("website", hit_rate=1.0)
    async with client.raw.head(f"/website/https/{STAYING}/") as answer:
        assert answer.status == 200
        assert int(answer.headers["Content-Length"]) > 100
        assert await answer.read() == b""
    async with client.raw.post(f"/website/https/{STAYING}/") as answer:
        assert answer.status == 405


async def test_calls_count_by_host_and_limits_hold_by_host(client: Client):
    await client.set("website", hit_rate=1.0, requests_per_minute=1)
    statuses = [(await page(client, f"https://www.company-{n}.com/"))[0].status for n in (1, 1, 2)]
    assert statuses == [200, 429, 200]
    assert (await client.calls("website"))["by_key"] == {"www.company-1.com": 2, "www.company-2.com": 1}


async def test_what_names_no_site_is_404_and_counts_for_nobody(client: Client):
    for path in ("/website/ftp/acme.com/", "/website/https/no_dot/", "/website/"):
        async with client.raw.get(path) as answer:
            assert answer.status == 404
    assert (await client.calls("website"))["by_key"] == {}
