"""Records a second of a job against the floor, with what the processes used and what the history holds."""

import asyncio
import json
import sys
import tempfile
from datetime import datetime
from uuid import UUID

import psycopg
from temporalio.client import Client

from app.db import new_id
from benchmarks.measure import Row, watched
from benchmarks.rig import PROVIDERS, Rig, domains

LATENCY_MS = 20.0
HIT_RATE = 0.5


async def throughput(rig: Rig, count: int, target: float, *, runs: int = 1) -> list[Row]:
    """The floor and a job over the same number of records, in turn, `runs` times; the run with the median ratio."""
    await rig.shape_providers(latency_ms=LATENCY_MS, hit_rate=HIT_RATE)
    await _floor(rig, domains(2_000, salt="warm"))
    await rig.until_finished((await rig.submit(domains(2_000, salt="hot"), **_OPTIONS))["id"], seconds=60)
    measured = [await _pair(rig, count, run, target) for run in range(runs)]
    measured.sort(key=lambda rows: rows[0].ratio or 0)
    return measured[len(measured) // 2]


async def _pair(rig: Rig, count: int, run: int, target: float) -> list[Row]:
    # Names of their own for each: whoever came second would find the sandbox's answers made.
    floor = await _floor(rig, domains(count, salt=f"floor{count}-{run}"))
    names = domains(count, salt=f"bench{count}-{run}")
    async with watched(rig.state.pids) as usage:
        job = await rig.submit(names, **_OPTIONS)
        job = await rig.until_finished(job["id"], seconds=120 + count / 200)
    assert job["status"] == "completed", job
    # From the beginning of the transaction that stores the records, as the floor's clock does.
    rate = count / (_time(job["finished_at"]) - _time(job["created_at"])).total_seconds()
    ratio = rate / floor["records_per_second"]
    memory = usage["worker"].peak_mb
    events = await _history_events(rig, job["workflow"]["id"]) / count * 1000
    label = f"{count:,} records, 3 providers at {LATENCY_MS:.0f} ms"
    rows = [
        Row(
            f"{label}: throughput",
            rate,
            "records/s",
            floor["records_per_second"],
            ratio,
            f"≥ {target} of the floor",
            ratio >= target,
        ),
        Row(f"{label}: worker peak memory", memory, "MB", floor["peak_mb"], None, "< 250 MB", memory < 250),
        Row(f"{label}: history", events, "events/1,000", None, None, "< 60", events < 60),
    ]
    for role, used in usage.items():
        rows.append(Row(f"{label}: CPU, {role}", used.cpu_seconds / count * 1000, "s/1,000"))
        rows.append(Row(f"{label}: peak memory, {role}", used.peak_mb, "MB"))
    rows.append(Row(f"{label}: CPU, floor process", floor["cpu_seconds"] / count * 1000, "s/1,000"))
    return rows


_OPTIONS = {"fields": ["name"], "providers": list(PROVIDERS)}


async def _floor(rig: Rig, names: list[str]) -> dict[str, float]:
    """Run benchmarks/floor.py over these domains, on rows of its own in the same database."""
    job_id = new_id()
    await _prepare_floor(rig, job_id, len(names))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listing:
        listing.write("\n".join(names))
        listing.flush()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.floor",
            "--domains", listing.name,
            "--database", _psycopg(rig.owner_url),
            "--sandbox", str(rig.state.sandbox_url),
            "--workspace", rig.state.workspace_id,
            "--job", str(job_id),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await process.communicate()
        assert process.returncode == 0, "the floor failed"
    figures: dict[str, float] = json.loads(output)
    return figures


async def _prepare_floor(rig: Rig, job_id: UUID, total: int) -> None:
    async with await psycopg.AsyncConnection.connect(_psycopg(rig.owner_url)) as connection:
        await connection.execute(
            """
            INSERT INTO enrichment_jobs (workspace_id, id, status, entity, columns, fields, on_outage, max_wait_seconds,
                min_confidence, reuse_within_seconds, chunk, "window", total, held, worst_case, finished_at)
            VALUES (%s, %s, 'completed', 'company', '{domain}', '{name}', 'wait', 0, 0.5, 0, 500, 4, %s, 0, 0, now())
            """,
            (rig.state.workspace_id, job_id, total),
        )


def _psycopg(url: str) -> str:
    """Without the driver that SQLAlchemy is told."""
    return url.replace("postgresql+psycopg://", "postgresql://")


async def _history_events(rig: Rig, workflow_id: str) -> int:
    """Events of all runs of the job's workflow."""
    client = await Client.connect(rig.state.temporal_address)
    events = 0
    async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'"):
        events += (await client.get_workflow_handle(workflow_id, run_id=run.run_id).describe()).history_length
    return events


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
