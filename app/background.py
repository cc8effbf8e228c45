"""What runs in each worker process beside the activities, for as long as it lives."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from temporalio.client import Client

from app.accounts import service as accounts
from app.billing import events as billing_events
from app.billing import pages
from app.billing.reconcile import Customers, DueCustomers
from app.credits.expiry import CreditSweep
from app.db import Sessions
from app.deadletters.measure import OpenLetters
from app.deadletters.redrives import Redrives
from app.enrichment import raw_answers
from app.enrichment.erasures import Erasures
from app.enrichment.reconcile import EnrichmentJobs
from app.errors import Unavailable
from app.idempotency import service as idempotency
from app.outages import service as outages
from app.outbox.reconciler import ReconciledProcess, Reconciler
from app.outbox.relay import Relay
from app.outbox.waker import Waker, WokenProcess
from app.resources import WorkerResources
from app.settings import Settings
from app.temporal import ensure_schedule
from app.webhooks import service as webhooks
from app.webhooks.reconcile import Deliveries
from app.webhooks.wake import DueEndpoints
from app.workspaces.reconcile import Closings
from workflows.contracts.ledger import LedgerAudit
from workflows.contracts.reconciliation import Reconciliation
from workflows.contracts.usage import UsageReport

log = structlog.get_logger(__name__)

_MINUTE = 60.0
_HOUR = 3600.0


def loops(resources: WorkerResources) -> list[Coroutine[Any, Any, None]]:
    """The relay, the reconciler and the sweeps. One that fails ends the process, and so is seen and started again."""
    settings = resources.settings
    processes: list[type[ReconciledProcess]] = [EnrichmentJobs, Closings, Erasures, Redrives, Deliveries]
    woken: list[WokenProcess] = [DueEndpoints(resources.watched)]
    if resources.payments is not None:
        processes.append(Customers)
        woken.append(DueCustomers())
    reconciled = [process(resources.sessions, resources.platform_sessions) for process in processes]
    return [
        Relay(
            resources.platform_sessions,
            resources.platform_engine,
            resources.temporal,
            settings.outbox,
            settings.temporal,
            resources.metrics,
            resources.plan_limits,
        ).run(),
        *(
            Waker(
                process,
                resources.platform_sessions,
                resources.temporal,
                settings.temporal,
                resources.plan_limits,
            ).run()
            for process in woken
        ),
        Reconciler(reconciled, resources.temporal, settings.outbox).run(),
        sweep_every(_HOUR, idempotency.sweep, resources.platform_sessions),
        sweep_every(_HOUR, accounts.sweep, resources.platform_sessions),
        sweep_every(_HOUR, webhooks.sweep, resources.platform_sessions),
        sweep_every(_HOUR, billing_events.sweep, resources.platform_sessions),
        sweep_every(_HOUR, pages.sweep, resources.platform_sessions),
        sweep_every(
            _HOUR, partial(raw_answers.sweep, keep_days=settings.raw_retention_days), resources.platform_sessions
        ),
        sweep_every(_MINUTE, OpenLetters(resources.metrics).sweep, resources.platform_sessions),
        sweep_every(settings.outages.sweep_every_seconds, outages.sweep, resources.platform_sessions),
        CreditSweep(resources.platform_sessions, settings.credits, resources.metrics).run(),
        keep_schedules(resources.temporal, settings),
        resources.reports(),
        resources.circuits.run(),
        resources.quotas.run(),
    ]


async def keep_schedules(client: Client, settings: Settings) -> None:
    """Have the ledger audited by a schedule, and, where there is billing, what Stripe has compared and what was used
    reported; looked after every ten minutes, because a Temporal server may lose its database, schedules included."""
    while True:
        try:
            await _ensure_schedules(client, settings)
        except Unavailable as error:
            log.warning("schedules unavailable", error=error.message)
        await asyncio.sleep(600)


async def _ensure_schedules(client: Client, settings: Settings) -> None:
    await ensure_schedule(
        client,
        settings.temporal,
        name="audit-ledger",
        workflow="AuditLedger",
        argument=LedgerAudit(),
        every=timedelta(seconds=settings.credits.audit_every_seconds),
        process="ledger",
    )
    stripe = settings.providers.stripe
    await ensure_schedule(
        client,
        settings.temporal,
        name="reconcile-billing",
        workflow="ReconcileBilling",
        argument=Reconciliation(),
        every=timedelta(seconds=settings.billing.reconcile_every_seconds),
        process="billing",
        is_wanted=stripe.api_key is not None,
    )
    await ensure_schedule(
        client,
        settings.temporal,
        name="report-usage",
        workflow="ReportUsage",
        argument=UsageReport(),
        every=timedelta(seconds=settings.billing.usage_every_seconds),
        process="billing",
        is_wanted=stripe.api_key is not None and stripe.meter is not None,
    )


async def sweep_every(
    seconds: float, sweep: Callable[[Sessions], Awaitable[object]], platform_sessions: Sessions
) -> None:
    """Have a domain look after what is due in it, or delete what it keeps for a time only."""
    while True:
        try:
            await sweep(platform_sessions)
        except Unavailable as error:
            log.warning("sweep unavailable", error=error.message)
        await asyncio.sleep(seconds)
