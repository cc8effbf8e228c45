"""Keeping a worker from planning a job at hand."""

import asyncio
from uuid import UUID

from sqlalchemy import text
from temporalio.service import RPCError, RPCStatusCode

from app.db import Session
from tests.stack import Stack

_LOCK = text("SELECT FROM enrichment_jobs WHERE id = :job_id FOR UPDATE")


async def lock(session: Session, job_id: UUID) -> None:
    """Hold on to the job's row: no plan is made before the transaction ends."""
    await session.execute(_LOCK, {"job_id": job_id})


async def no_plan_at_hand(stack: Stack, job_id: UUID) -> None:
    """Hold on to the job's row for longer than a plan may take at hand; return when it is made elsewhere."""
    async with stack.owner.unscoped() as session:
        await lock(session, job_id)
        async with asyncio.timeout(60):
            while "plan_enrichment" not in await _pending(stack, job_id):
                await asyncio.sleep(0.05)


async def start_and_wake(stack: Stack) -> None:
    """Have a start and the wake that follows it reach Temporal before any worker is there."""
    for _ in range(2):
        assert await stack.relayed() == 1


async def is_started(stack: Stack, job_id: UUID) -> bool:
    """Whether Temporal knows the job's workflow."""
    try:
        await stack.workflow(job_id).describe()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def is_looked_up_again(stack: Stack, job_id: UUID) -> bool:
    """Whether a lookup of the job was tried before, and is to be tried again."""
    return (await _pending(stack, job_id)).get("lookup", 0) > 1


async def _pending(stack: Stack, job_id: UUID) -> dict[str, int]:
    """The activities that the job's workflow waits for, and which attempt each is at."""
    if not await is_started(stack, job_id):
        return {}
    described = await stack.workflow(job_id).describe()
    return {each.activity_type.name: each.attempt for each in described.raw_description.pending_activities}
