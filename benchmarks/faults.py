"""Everything that a provider can do wrong, each to a job of its own: what is lost, what is charged twice, how many
calls it takes and how soon the provider's answers are used again."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.books import Books, books
from benchmarks.measure import Row
from benchmarks.rig import ANSWERED, PROVIDERS, Rig, domains, running_rig

LATENCY_MS = 20.0
WORKERS = 2
FINISH_SECONDS = 240.0
_FIRST = 5
# The defaults are 30 s and 10 s: what is being measured would be lost in the waiting.
ENVIRONMENT = {
    f"HOLDFAST_PROVIDERS__{provider.upper()}__{name}": value
    for provider in PROVIDERS
    for name, value in {"BREAKER__RESET_SECONDS": "5", "BREAKER__SLOW_SECONDS": "2", "TIMEOUT_SECONDS": "4"}.items()
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What a provider does wrong: `mode` of the sandbox with its `options`, for `seconds`, `times` in turn with as long
    a time without. `latency_ms` is how slowly it answers without the fault."""

    name: str
    mode: str
    provider: str = "hunter"
    seconds: float = 15.0
    times: int = 1
    records: int = 300
    latency_ms: float = LATENCY_MS
    options: Mapping[str, float] = field(default_factory=dict)


FAULTS = (
    # Slow enough that the job does not end in one of the first times that the provider is up.
    Fault("flapping, 5 s down and 5 s up", "outage", seconds=5, times=10, records=3_000, latency_ms=1_000),
    Fault("slow, 3 s an answer", "slow"),
    Fault("half errors", "flaky"),
    Fault("429 with Retry-After", "rate_limited", provider="apollo"),
    Fault("429 without Retry-After", "rate_limited_unannounced", provider="apollo"),
    Fault("Hunter's 403", "rate_limited"),
    Fault("malformed JSON", "malformed"),
    Fault("truncated body", "truncated"),
    Fault("drop after effect", "drop_after_effect"),
    Fault("hang", "hang"),
)


# Addresses that do not lead to the provider. At the port somebody listens who speaks no TLS.
MISDIRECTIONS = {
    "DNS failure": ("hunter", "http://hunter.invalid/v2"),
    "TLS failure": ("apollo", "https://127.0.0.1:{port}/api/v1"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job. `records` by status; `calls` that reached the provider; seconds from the end of the fault
    to the first answer after it, and to the end of the job, 0 where that had come before."""

    name: str
    status: str
    records: Mapping[str, int]
    books: Books
    calls: int
    recovered_seconds: float
    finished_seconds: float


async def faults(directory: Path) -> list[Row]:
    """Each fault, on stacks in `directory`."""
    async with running_rig(directory / "faults", workers=WORKERS, **ENVIRONMENT) as rig:
        outcomes = [_said(await suffer(rig, fault)) for fault in FAULTS]
    misdirected = await lose_the_way(directory / "misdirected", ENVIRONMENT, records=300, seconds=15)
    outcomes += [_said(outcome) for outcome in misdirected]
    return [row for outcome in outcomes for row in rows(outcome)]


async def suffer(rig: Rig, fault: Fault) -> Outcome:
    """Submit a job to a provider that fails from before its first call on, in a workspace of its own.

    Raises TimeoutError when the job does not end.
    """
    tenant = await rig.tenant(fault.name)
    await rig.mend()
    await rig.forget_calls()
    await rig.shape_providers(latency_ms=fault.latency_ms, hit_rate=0.5)
    salt = "-".join(fault.name.lower().replace(",", "").replace("'", "").split())
    # The fault before may have left something: an open circuit, a spent window.
    first = await tenant.submit(domains(_FIRST, salt=f"first-{salt}"), fields=["name"], providers=[fault.provider])
    await tenant.until_finished(first["id"], seconds=FINISH_SECONDS, every=0.2)
    await rig.fault(fault.provider, fault.mode, **fault.options)
    job = await tenant.submit(domains(fault.records, salt=salt), fields=["name"], providers=[fault.provider])
    for time in range(fault.times):
        if time:
            await asyncio.sleep(fault.seconds)
            await rig.fault(fault.provider, fault.mode, **fault.options)
        await asyncio.sleep(fault.seconds)
        mended_at = await rig.mend()
    job = await tenant.until_finished(job["id"], seconds=FINISH_SECONDS, every=0.2)
    return await _outcome(tenant, fault.name, fault.provider, job, fault.records + _FIRST, mended_at)


async def lose_the_way(
    directory: Path, environment: Mapping[str, str], *, records: int, seconds: float
) -> list[Outcome]:
    """Submit a job to each provider that cannot be reached; after so many seconds all processes are started again with
    the right addresses. The times are counted from when they are ready: until then nothing could recover."""
    async with await asyncio.start_server(_say_no_hello, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        addresses = {
            f"HOLDFAST_PROVIDERS__{provider.upper()}__BASE_URL": address.format(port=port)
            for provider, address in MISDIRECTIONS.values()
        }
        async with running_rig(directory, workers=1, **environment, **addresses) as rig:
            jobs = {
                name: await rig.submit(domains(records, salt=provider), fields=["name"], providers=[provider])
                for name, (provider, _) in MISDIRECTIONS.items()
            }
            await asyncio.sleep(seconds)
    async with running_rig(directory, workers=1, **environment) as rig:
        mended_at = await rig.mend()
        ended = {
            name: await rig.until_finished(job["id"], seconds=FINISH_SECONDS, every=0.2) for name, job in jobs.items()
        }
        # Both jobs are of one workspace: the books are of both.
        return [
            await _outcome(rig, name, MISDIRECTIONS[name][0], job, len(jobs) * records, mended_at)
            for name, job in ended.items()
        ]


async def _say_no_hello(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


async def _outcome(
    rig: Rig,
    name: str,
    provider: str,
    job: Mapping[str, Any],
    records: int,
    mended_at: float,
) -> Outcome:
    log = await rig.log(provider)
    finished_at = log[-1][0] if log else mended_at
    answered = [at for at, status in log if status in ANSWERED]
    after = [at for at in answered if at >= mended_at]
    return Outcome(
        name=name,
        status=job["status"],
        records={status: count for status, count in job["counts"].items() if count},
        books=await books(rig, records, await rig.billed()),
        calls=len(log),
        recovered_seconds=after[0] - mended_at if after else 0.0,
        finished_seconds=max(finished_at - mended_at, 0.0),
    )


def _said(outcome: Outcome) -> Outcome:
    print(f"  {outcome.name}: {outcome.status}, {dict(outcome.records)}, billed again {outcome.books.again}")
    for violation in outcome.books.violations:
        print(f"  {violation}")
    return outcome


def rows(outcome: Outcome) -> list[Row]:
    """The figures of one fault."""
    name, audited = outcome.name, outcome.books
    broken = len(audited.violations)
    return [
        Row(f"{name}: lost", audited.lost, "records", target="0", met=audited.lost == 0),
        Row(f"{name}: charged twice", audited.doubled, "charges", target="0", met=audited.doubled == 0),
        Row(f"{name}: rules of the audit broken", broken, "rules", target="0", met=broken == 0),
        Row(f"{name}: calls made", outcome.calls, "calls"),
        Row(f"{name}: billed again, our cost", audited.again, "calls"),
        Row(f"{name}: end of the fault to the first answer", outcome.recovered_seconds, "s"),
        Row(f"{name}: end of the fault to the last call", outcome.finished_seconds, "s"),
    ]
