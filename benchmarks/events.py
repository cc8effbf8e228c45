"""Events of Stripe's that the API takes a second, and how soon it answers, while a worker looks at the customers that
they are about."""

import asyncio
import hashlib
import hmac
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from pydantic import SecretStr
from sqlalchemy import text

from app.db import Sessions, create_engine, new_id
from app.settings import DatabaseSettings
from benchmarks.measure import Row, watched
from benchmarks.rig import Rig, running_rig

CUSTOMERS = 1_000
PER_SECOND = 300
SECONDS = 20
MOST_P99_MS = 100.0
# Stripe sends some again, though they were taken.
REPEATED = 0.1

_SEED = 7


@dataclass(slots=True)
class _Taken:
    """What came of what was sent: milliseconds from the moment at which each was to be sent, and the ids of events."""

    took_ms: list[float] = field(default_factory=list)
    refused: int = 0
    ids: set[str] = field(default_factory=set)


async def events(directory: Path) -> list[Row]:
    """All figures; `directory` is for a stack of our own."""
    async with running_rig(directory) as rig, _database(rig) as sessions:
        customers = await _add_customers(rig, sessions)
        await _send(rig, customers, seconds=2)
        async with watched(rig.state.pids) as usage:
            began = time.perf_counter()
            taken = await _send(rig, customers, seconds=SECONDS)
            seconds = time.perf_counter() - began
        stored = await _stored(sessions, taken.ids)
        looks = await _looks(sessions)
    taken.took_ms.sort()
    p50, p99 = (taken.took_ms[len(taken.took_ms) * share // 100] for share in (50, 99))
    rate = (len(taken.took_ms) - taken.refused) / seconds
    label = f"{PER_SECOND} events/s of {CUSTOMERS:,} customers for {SECONDS} s"
    return [
        Row(f"{label}: taken", rate, "events/s", target="all", met=taken.refused == 0),
        Row(f"{label}: answer, median", p50, "ms"),
        Row(f"{label}: answer, p99", p99, "ms", target=f"< {MOST_P99_MS:.0f} ms", met=p99 < MOST_P99_MS),
        Row(f"{label}: stored", stored, "events", target=f"{len(taken.ids)}, once", met=stored == len(taken.ids)),
        Row(f"{label}: customers looked at meanwhile", looks, "customers"),
        *(Row(f"{label}: CPU, {role}", used.cpu_seconds / seconds, "cores") for role, used in usage.items()),
    ]


async def _send(rig: Rig, customers: Sequence[str], *, seconds: float) -> _Taken:
    """In step with the clock, however long answers take."""
    taken = _Taken()
    choice = random.Random(_SEED)  # the same events each time
    url = f"{rig.state.api_url}/api/v1/billing/stripe/events"
    secret = json.loads((rig.data_dir / "state.json").read_text())["webhook_secret"].encode()
    sent: list[tuple[str, bytes]] = []
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        began = time.perf_counter()
        for number in range(int(seconds * PER_SECOND)):
            due = began + number / PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if sent and choice.random() < REPEATED:
                event_id, body = choice.choice(sent)
            else:
                event_id, body = _event(choice.choice(customers))
                sent.append((event_id, body))
            taken.ids.add(event_id)
            tasks.create_task(_post(session, url, secret, body, due, taken))
    return taken


async def _post(
    session: aiohttp.ClientSession, url: str, secret: bytes, body: bytes, due: float, taken: _Taken
) -> None:
    stamp = int(time.time())
    digest = hmac.new(secret, f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Stripe-Signature": f"t={stamp},v1={digest}", "Content-Type": "application/json"}
    async with session.post(url, data=body, headers=headers) as answer:
        await answer.read()
    taken.took_ms.append((time.perf_counter() - due) * 1000)
    taken.refused += answer.status != 200


def _event(customer: str) -> tuple[str, bytes]:
    """An event of about the size of one about an invoice."""
    event_id = f"evt_{new_id().hex}"
    event = {
        "id": event_id,
        "object": "event",
        "type": "invoice.paid",
        "created": int(time.time()),
        "data": {"object": {"object": "invoice", "customer": customer, "description": "x" * 6_000}},
    }
    return event_id, json.dumps(event, indent=2).encode()


async def _add_customers(rig: Rig, sessions: Sessions) -> list[str]:
    """Workspaces that are customers, each with a subscription and an invoice of which we do not know yet."""
    workspaces = [new_id() for _ in range(CUSTOMERS)]
    metadata = [{"workspace_id": str(workspace_id)} for workspace_id in workspaces]
    made = {"customers": CUSTOMERS, "price": "price_starter_monthly", "periods": 1, "metadata": metadata}
    customers: list[str] = (await rig.sandbox("POST", "/_stripe/populate", **made))["customers"]
    async with sessions.unscoped() as session:
        await session.execute(
            text("""
                WITH added AS (
                    INSERT INTO workspaces (id, name)
                    SELECT id, 'Benchmark' FROM unnest(CAST(:workspaces AS uuid[])) AS id
                )
                INSERT INTO billing_customers (workspace_id, id)
                SELECT * FROM unnest(CAST(:workspaces AS uuid[]), CAST(:customers AS text[]))
            """),
            {"workspaces": workspaces, "customers": customers},
        )
    return customers


async def _stored(sessions: Sessions, ids: set[str]) -> int:
    query = text("SELECT count(*) FROM billing_events WHERE id = ANY(:ids)")
    async with sessions.unscoped() as session:
        return int((await session.execute(query, {"ids": list(ids)})).scalar_one())


async def _looks(sessions: Sessions) -> int:
    query = text("SELECT count(*) FROM billing_customers WHERE synced_at IS NOT NULL")
    async with sessions.unscoped() as session:
        return int((await session.execute(query)).scalar_one())


@asynccontextmanager
async def _database(rig: Rig) -> AsyncIterator[Sessions]:
    engine = create_engine(SecretStr(rig.owner_url), DatabaseSettings(pool_size=2), application="benchmark")
    try:
        yield Sessions(engine)
    finally:
        await engine.dispose()
