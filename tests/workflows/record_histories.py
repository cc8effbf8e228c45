"""``python -m tests.workflows.record_histories``: run each workflow through each of its paths and keep its history.

A history that exists is never written again: it is what a released workflow did, and must replay for ever. A new path,
or a new shape of an old one, gets a new name.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import text
from temporalio.client import Client

from app.auth.permissions import ROLE_PERMISSIONS, Caller
from app.credentials import service as credentials
from app.credentials.repository import Credential
from app.enrichment import erasures
from app.enrichment.erasure_repository import Erasure
from app.enrichment.traces import Trace
from app.idempotency.answers import Remembered
from app.providers.errors import CircuitOpen, InvalidQuery, ProviderError
from app.providers.ports import Answer, Missed, Pending, Query
from app.settings import EnrichmentSettings
from app.workspaces.service import delete_workspace
from tests.app.credentials.sealed import KEYS, store
from tests.builders import make_job
from tests.fakes import FakeSource
from tests.fakes_payments import FakePayments
from tests.servers import running_postgres, running_temporal
from tests.stack import Stack, open_stack
from tests.time_skipping import skipping_time
from tests.workflows.billing_scenes import BILLING_SCENES
from tests.workflows.checkout_scenes import CHECKOUT_SCENES
from tests.workflows.deadletter_scenes import DEADLETTER_SCENES
from tests.workflows.planning import no_plan_at_hand, start_and_wake
from tests.workflows.reconciliation_scenes import (
    RECONCILIATION_SCENES,
    reconciled_while_a_customer_could_not_be_read,
)
from tests.workflows.webhook_scenes import WEBHOOK_SCENES
from workflows import ids, options
from workflows.contracts.ledger import LedgerAudit

FOLDER = Path(__file__).parent / "histories"
DOMAINS = [f"company-{n}.com" for n in range(1, 61)]
# The id of a job, or of a workflow.
Scene = Callable[[Stack, FakeSource, FakeSource], Awaitable[UUID | str]]


async def waterfall(stack: Stack, alpha: FakeSource, beta: FakeSource) -> UUID:
    alpha.answer = lambda _: Missed()
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha, beta], chunk=10, window=2)
    async with stack.worker():
        await stack.until_finished(job_id)
    return job_id


async def planned_at_hand(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha])
    async with stack.worker():
        await stack.until_finished(job_id)
    return job_id


async def planned_elsewhere(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha])
    async with stack.worker():
        await no_plan_at_hand(stack, job_id)
        await stack.until_finished(job_id)
    return job_id


async def started_with_its_plan(stack: Stack, alpha: FakeSource, beta: FakeSource) -> UUID:
    alpha.answer = lambda _: Missed()
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS[:1], [alpha, beta])
    async with stack.worker():
        await stack.until_finished(job_id)
    return job_id


async def woken_before_its_plan(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS[:1], [alpha])
    await stack.wake(job_id, "running")
    await start_and_wake(stack)
    async with stack.worker():
        await stack.until_finished(job_id)
    return job_id


async def continued_as_new(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha], chunk=5, window=2)
    async with stack.worker():
        await stack.until_finished(job_id)
    return job_id


async def paused_and_resumed(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    alpha.latency = 0.2
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha], chunk=20, window=1)
    async with stack.worker():
        await stack.until(job_id, lambda job: job["matched"] > 0)
        await stack.wake(job_id, "paused")
        await stack.until(job_id, lambda job: job["status"] == "paused")
        await stack.wake(job_id, "running")
        await stack.until_finished(job_id)
    return job_id


async def cancelled_before_the_start(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha])
    await stack.wake(job_id, "cancelled")
    async with stack.worker():
        await stack.until_finished(job_id)
    return job_id


async def cancelled_in_an_outage(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    alpha.answer = lambda _: CircuitOpen("alpha", "the circuit is open", retry_after=20)
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha])
    async with stack.worker():
        await stack.until_waiting(job_id)
        await stack.wake(job_id, "cancelled")
        await stack.until_finished(job_id)
    return job_id


async def waited_for_two_providers(stack: Stack, alpha: FakeSource, beta: FakeSource) -> UUID:
    """First for alpha, then for beta."""
    away = {"alpha", "beta"}

    def answer(name: str) -> Callable[[Query], Answer | ProviderError]:
        return lambda _: CircuitOpen(name, "circuit open", retry_after=1) if name in away else Missed()

    alpha.answer, beta.answer = answer("alpha"), answer("beta")
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha, beta], chunk=5, window=2)
    async with stack.worker():
        for provider in ("alpha", "beta"):
            query = f"WorkflowId = '{ids.enrichment_job(str(job_id))}' AND Provider = '{provider}'"
            while not [run async for run in stack.client.list_workflows(query)]:
                await asyncio.sleep(0.05)
            away.remove(provider)
        await stack.until_finished(job_id)
    return job_id


async def slept_for_answers(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    alpha.answer = lambda query: Missed() if query.handle else Pending(query.key, 0.5)
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha], chunk=20, window=2)
    async with stack.worker():
        await stack.until_finished(job_id)
    return job_id


async def queued_for_its_turn(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    alpha.gate.clear()
    first, second = [await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha]) for _ in range(2)]
    async with stack.worker():
        await stack.until(second, lambda job: job["run_id"] is not None)
        alpha.gate.set()
        for job_id in (first, second):
            await stack.until_finished(job_id)
    return second


async def cancelled_in_the_temporal_ui(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    alpha.latency = 0.2
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha], chunk=20, window=1)
    async with stack.worker():
        await stack.until(job_id, lambda job: job["matched"] > 0)
        await stack.workflow(job_id).cancel()
        await stack.until_finished(job_id)
    return job_id


async def ledger_audited(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> str:
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha])
    async with stack.worker():
        await stack.until_finished(job_id)
        queue = stack.resources.settings.temporal.task_queue_prefix + options.WORKFLOWS
        await stack.client.execute_workflow("AuditLedger", LedgerAudit(), id="ledger-audited", task_queue=queue)
    return "ledger-audited"


async def closed_while_jobs_ran(stack: Stack, alpha: FakeSource, beta: FakeSource) -> str:
    alpha.latency = 0.2
    beta.answer = lambda _: CircuitOpen("beta", "the circuit is open", retry_after=20)
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha], chunk=20, window=1)
    await make_job(stack.sessions, stack.workspace_id, DOMAINS, [beta])
    async with stack.worker():
        await stack.until(job_id, lambda job: job["matched"] > 0)
        return await _closed(stack)


async def closed_with_nothing_left(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    async with stack.worker():
        return await _closed(stack)


async def _closed(stack: Stack) -> str:
    owner = Caller(stack.workspace_id, ROLE_PERMISSIONS["owner"], "owner", user_id=uuid4())
    await delete_workspace(stack.sessions, owner)
    query = text("SELECT closed_at FROM workspaces")
    while True:
        async with stack.sessions.for_workspace(stack.workspace_id) as session:
            if (await session.execute(query)).scalar_one():
                break
        await asyncio.sleep(0.02)
    workflow_id = ids.close_workspace(str(stack.workspace_id))
    await stack.client.get_workflow_handle(workflow_id).result()
    return workflow_id


async def credential_taken(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    return await _verified(stack)


async def credential_not_judged(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> str:
    alpha.verdict = InvalidQuery("alpha", "refuses the query")
    return await _verified(stack)


async def _verified(stack: Stack) -> str:
    admin = Caller(stack.workspace_id, ROLE_PERMISSIONS["admin"], "admin", user_id=uuid4())
    begun: list[Credential] = []

    def answer(credential: Credential) -> Remembered:
        begun.append(credential)
        return Remembered(202, {}, None)

    async with stack.sessions.for_workspace(stack.workspace_id) as session:
        await store(session, stack.workspace_id, "alpha", "a-secret")
    async with stack.worker():
        for seconds in (0, 20):
            await credentials.verify_credential(stack.sessions, admin, "alpha", answer, once=None, wait_seconds=seconds)
        workflow_id = ids.credential_verification(str(begun[0].verification_id))
        await stack.client.get_workflow_handle(workflow_id).result()
    return workflow_id


async def erased(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> str:
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha])
    async with stack.worker():
        await stack.until_finished(job_id)
        return await _erased(stack)


async def erased_while_a_job_ran(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> str:
    """The time between the two looks is skipped."""
    alpha.gate.clear()
    await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha])
    async with stack.worker():
        workflow_id = await _erased(stack)
        alpha.gate.set()
    return workflow_id


async def _erased(stack: Stack) -> str:
    begun: list[Erasure] = []

    def answer(erasure: Erasure) -> Remembered:
        begun.append(erasure)
        return Remembered(202, {}, None)

    admin = Caller(stack.workspace_id, ROLE_PERMISSIONS["admin"], "admin", user_id=uuid4())
    await erasures.start(stack.sessions, admin, Trace("domain", DOMAINS[0]), answer, once=None)
    while not (await erasures.get_erasure(stack.sessions, stack.workspace_id, begun[0].id)).finished_at:
        await asyncio.sleep(0.02)
    workflow_id = ids.erasure(str(begun[0].id))
    await stack.client.get_workflow_handle(workflow_id).result()
    return workflow_id


SCENES: list[Scene] = [
    *WEBHOOK_SCENES,
    *DEADLETTER_SCENES,
    *BILLING_SCENES,
    *CHECKOUT_SCENES,
    *RECONCILIATION_SCENES,
    waterfall,
    planned_at_hand,
    planned_elsewhere,
    started_with_its_plan,
    woken_before_its_plan,
    continued_as_new,
    paused_and_resumed,
    cancelled_before_the_start,
    cancelled_in_an_outage,
    waited_for_two_providers,
    slept_for_answers,
    queued_for_its_turn,
    cancelled_in_the_temporal_ui,
    ledger_audited,
    closed_while_jobs_ran,
    closed_with_nothing_left,
    credential_taken,
    credential_not_judged,
    erased,
    erased_while_a_job_ran,
]


def _without_host(history: str) -> str:
    """Who ran it, and from which folder, says nothing about what it did."""
    history = re.sub(r'"identity": "[^"]*"', '"identity": "worker"', history)
    return re.sub(r'"stackTrace": "(?:[^"\\]|\\.)*"', '"stackTrace": ""', history) + "\n"


SETTINGS = {"calls_per_lookup": 5, "flush_answers": 5, "flush_seconds": 0.05, "chunks_per_run": 8}
SKIPPING = (erased_while_a_job_ran, reconciled_while_a_customer_could_not_be_read)
ONE_AT_A_TIME = {"jobs_per_workspace": 1, "small_job": 10}


async def record() -> None:
    async with skipping_time() as skipping:
        await _record(skipping)


async def _record(skipping: Client) -> None:
    with running_postgres() as postgres, running_temporal() as temporal:
        for scene in SCENES:
            own = ONE_AT_A_TIME if scene is queued_for_its_turn else {}
            settings = EnrichmentSettings.model_validate(SETTINGS | own)
            with postgres.migrated_database() as database:
                sources = FakeSource("alpha"), FakeSource("beta")
                client = skipping if scene in SKIPPING else None
                async with open_stack(
                    database,
                    temporal,
                    sources,
                    enrichment=settings,
                    credentials=KEYS,
                    client=client,
                    payments=FakePayments(),
                ) as stack:
                    made = await scene(stack, *sources)
                    workflow_id = made if isinstance(made, str) else stack.workflow(made).id
                    runs = [run async for run in stack.client.list_workflows(f"WorkflowId = '{workflow_id}'")]
                    for number, run in enumerate(sorted(runs, key=lambda run: run.start_time), 1):
                        history = await stack.client.get_workflow_handle(workflow_id, run_id=run.run_id).fetch_history()
                        path = FOLDER / run.workflow_type / f"{scene.__name__}_{number}.json"
                        path.parent.mkdir(exist_ok=True)
                        if not path.exists():
                            path.write_text(_without_host(history.to_json()))


if __name__ == "__main__":
    asyncio.run(record())
