"""The floor: what a job costs without durability. Plain asyncio and aiohttp, the same waterfall over the same emulated
providers by the same calls, the same rows written in bulk of 500 into the same schema, one total of calls in flight.

Run by benchmarks/throughput.py as a process of its own; prints one line of JSON.
"""

import argparse
import asyncio
import json
import resource
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from uuid import UUID

import aiohttp
import psycopg
from protego import Protego
from uuid_utils.compat import uuid7
from yarl import URL

from app.providers.adapters.webpage import Page

COSTS = {"hunter": 2, "apollo": 3, "website": 1}
BULK = 500
# Records of one call to apollo.
TOGETHER = 10

RECORDS = """
    INSERT INTO enrichment_records (workspace_id, job_id, position, key, input, subject, subject_key, leader)
    SELECT %s, %s, n, n::text, '{}', '{}', d, n FROM unnest(%s::text[]) WITH ORDINALITY AS r(d, n)
"""
ANSWERS = """
    INSERT INTO enrichment_answers (workspace_id, job_id, position, provider, outcome, found, credits, answered_at)
    SELECT %s, %s, p, provider, outcome, found::jsonb, credits, at
    FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[], %s::int[], %s::timestamptz[])
         AS a(p, provider, outcome, found, credits, at)
"""
STATUSES = """
    UPDATE enrichment_records AS r SET status = s.status
    FROM unnest(%s::int[], %s::text[]) AS s(position, status) WHERE r.job_id = %s AND r.position = s.position
"""
ENTRIES = """
    INSERT INTO credit_entries (workspace_id, id, kind, amount, held_amount, balance_after, held_after, reason,
                                reference_type, reference_id, business_key)
    SELECT %s, id, 'charge', -c, -c, 0, 0, provider || ' found a result', 'enrichment_answer',
           format('%%s:%%s:%%s', %s::text, p, provider), format('charge:%%s:%%s:%%s', %s::text, p, provider)
    FROM unnest(%s::uuid[], %s::int[], %s::int[], %s::text[]) AS e(id, p, c, provider)
"""


class Floor:
    def __init__(self, session: aiohttp.ClientSession, sandbox: str) -> None:
        self._session = session
        self._sandbox = sandbox
        self.calls = 0

    async def hunter(self, domain: str) -> str | None:
        self.calls += 1
        url = f"{self._sandbox}/hunter/v2/companies/find"
        async with self._session.get(url, params={"domain": domain}, headers={"X-API-KEY": "k"}) as answer:
            body = json.loads(await answer.read())
            return body["data"]["name"] if answer.status == 200 else None

    async def apollo(self, domains: Sequence[str]) -> Mapping[str, str]:
        self.calls += 1
        url = f"{self._sandbox}/apollo/api/v1/organizations/bulk_enrich"
        body = json.dumps({"details": [{"domain": domain} for domain in domains]})
        headers = {"x-api-key": "k", "Content-Type": "application/json"}
        async with self._session.post(url, data=body, headers=headers) as answer:
            companies = json.loads(await answer.read())["organizations"]
            return {company["primary_domain"]: company["name"] for company in companies if company}

    async def website(self, domain: str) -> str | None:
        address = URL(f"https://{domain}/")
        self.calls += 1
        url = f"{self._sandbox}/website/https/{domain}/robots.txt"
        try:
            async with self._session.get(url, allow_redirects=False) as answer:
                body = await answer.read()
                if answer.status == 200 and not Protego.parse(body.decode()).can_fetch(str(address), "Holdfast"):
                    return None
        except aiohttp.ClientError:
            return None
        for _ in range(5):
            self.calls += 1
            url = f"{self._sandbox}/website/{address.scheme}/{address.host}{address.path}"
            try:
                async with self._session.get(url, allow_redirects=False) as answer:
                    body = await answer.read()
                    if answer.status in (301, 302):
                        address = URL(answer.headers["Location"])
                        continue
                    if answer.status != 200:
                        return None
                    name = Page(body, address).company()[0].get("name")
                    return name if isinstance(name, str) else None
            except aiohttp.ClientError:
                return None
        return None


def batched(items: Iterable[tuple[int, str]], size: int) -> Iterator[list[tuple[int, str]]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


async def run(arguments: argparse.Namespace) -> dict[str, float]:
    domains = [line.strip() for line in open(arguments.domains) if line.strip()]  # noqa: ASYNC230, PTH123, SIM115
    workspace_id, job_id = UUID(arguments.workspace), UUID(arguments.job)
    connection = await psycopg.AsyncConnection.connect(arguments.database, autocommit=True)
    connector = aiohttp.TCPConnector(limit=arguments.in_flight)
    rows: list[tuple[int, list[tuple[str, str | None]]]] = []
    writing = asyncio.Lock()

    async def write(batch: list[tuple[int, list[tuple[str, str | None]]]]) -> None:
        now = datetime.now(UTC)
        answers = [
            (p, provider, "found" if name else "missed", json.dumps({"name": [name, 1.0]}) if name else None,
             COSTS[provider] if name else 0, now)
            for p, turns in batch
            for provider, name in turns
        ]  # fmt: skip
        found = [(uuid7(), p, price, provider) for p, provider, _, _, price, _ in answers if price]
        async with writing, connection.transaction():
            await connection.execute(ANSWERS, (workspace_id, job_id, *map(list, zip(*answers, strict=True))))
            ends = [(p, "matched" if turns[-1][1] else "not_found") for p, turns in batch]
            await connection.execute(STATUSES, (*map(list, zip(*ends, strict=True)), job_id))
            await connection.execute(
                ENTRIES, (workspace_id, str(job_id), str(job_id), *map(list, zip(*found, strict=True)))
            )

    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        floor = Floor(session, arguments.sandbox)
        queue = iter(batched(enumerate(domains, 1), TOGETHER))
        writes: list[asyncio.Task[None]] = []

        async def work() -> None:
            for batch in queue:
                turns: dict[int, list[tuple[str, str | None]]] = {position: [] for position, _ in batch}
                names = await asyncio.gather(*(floor.hunter(domain) for _, domain in batch))
                left = []
                for (position, domain), name in zip(batch, names, strict=True):
                    turns[position].append(("hunter", name))
                    if not name:
                        left.append((position, domain))
                found = await floor.apollo([domain for _, domain in left]) if left else {}
                for position, domain in left:
                    turns[position].append(("apollo", found.get(domain)))
                left = [(position, domain) for position, domain in left if domain not in found]
                names = await asyncio.gather(*(floor.website(domain) for _, domain in left))
                for (position, _), name in zip(left, names, strict=True):
                    turns[position].append(("website", name))
                rows.extend(turns.items())
                if len(rows) >= BULK:
                    full = rows[:]
                    rows.clear()
                    writes.append(asyncio.create_task(write(full)))

        begun = time.perf_counter()
        await connection.execute(RECORDS, (workspace_id, job_id, domains))
        await asyncio.gather(*(work() for _ in range(arguments.in_flight)))
        if rows:
            await write(rows)
        await asyncio.gather(*writes)
        seconds = time.perf_counter() - begun
    await connection.close()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": seconds,
        "records_per_second": len(domains) / seconds,
        "calls": floor.calls,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("domains", "database", "sandbox", "workspace", "job"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--in-flight", type=int, default=100)
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
