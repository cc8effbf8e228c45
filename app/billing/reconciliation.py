"""The comparison of everything that we have with everything that Stripe has.

It finds out where something differs and has those workspaces compared one by one, as after an event; nothing is set
right here. Stripe's lists are by the time at which something was made, and say nothing of what changed in it since.
Of that only its events tell, which it keeps for 30 days: whoever compared everything since then asks for what was made
later, and for the events; else everything is listed, and the events are not needed.

How far it got stands in its row, and moves on with each page, in the transaction that writes what came of that:
whoever takes over goes on from there.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Protocol, TypeVar
from uuid import UUID

import structlog

from app.billing import events
from app.billing import reconciliation_repository as repository
from app.billing import sync_repository as syncs
from app.billing.reconciliation_repository import FoundCustomer, Position
from app.billing.sync_repository import Difference
from app.db import Session, Sessions
from app.providers.errors import Missing
from app.providers.payments import Page, PayingCustomer, PaymentsApi
from workflows.contracts.reconciliation import Compared, Corrections, Reconciled, ReconciliationRef

log = structlog.get_logger(__name__)

_SECONDS = 60.0
# Stripe keeps events for 30 days.
_EVENTS_REMEMBERED = timedelta(days=29)
# What was made or happened shortly before the last one began may not have been in its lists yet, and clocks differ.
_OVERLAP = timedelta(hours=1)
# Between what happened at Stripe and a look that has it for certain.
_MARGIN = timedelta(minutes=5)
_BATCH = 500
_FIRST = UUID(int=0)
# Where each goes on; the events are last, because they tell of what changed meanwhile too.
_NEXT_LIST = {
    "customers": "subscriptions",
    "subscriptions": "invoices",
    "invoices": "payments",
    "payments": "events",
    "events": None,
}

Item = TypeVar("Item")


class _List(Protocol[Item]):
    def __call__(self, *, since: datetime | None, after: str | None) -> Awaitable[Page[Item]]: ...


async def begin(platform_sessions: Sessions, ref: ReconciliationRef) -> None:
    """Say since when what changed is compared. Events of customers that we did not know then, and do now, are theirs
    from here on. Again changes nothing. Raises Unavailable."""
    reconciliation_id = UUID(ref.reconciliation_id)
    async with platform_sessions.unscoped() as session:
        await repository.begin(
            session, reconciliation_id, everything=ref.everything, remembered=_EVENTS_REMEMBERED, overlap=_OVERLAP
        )
    while True:
        async with platform_sessions.unscoped() as session:
            known = await repository.known_by_now(session, limit=_BATCH)
            for workspace_id, customer_id in known:
                await events.adopt(session, workspace_id, customer_id)
            await syncs.start(session, [each for each, _ in known], reconciliation_id=reconciliation_id)
        if not known:
            return


class Comparison:
    """`platform_sessions` see the rows of all workspaces; `sessions` write in one of them."""

    def __init__(self, sessions: Sessions, platform_sessions: Sessions, payments: PaymentsApi) -> None:
        self._sessions = sessions
        self._platform_sessions = platform_sessions
        self._payments = payments

    async def go_on(self, ref: ReconciliationRef) -> Compared:
        """Compare page after page for a minute, or to the end of the last list.

        Raises a ProviderError, Unavailable; what was compared by then is done.
        """
        reconciliation_id = UUID(ref.reconciliation_id)
        deadline = monotonic() + _SECONDS
        while True:
            async with self._platform_sessions.unscoped() as session:
                at = await repository.position(session, reconciliation_id)
            if at.list is None or monotonic() >= deadline:
                return Compared(at.list)
            try:
                await self._page(reconciliation_id, at)
            except Missing:
                if at.cursor is None:
                    raise
                # What the list was to go on behind has been deleted.
                async with self._platform_sessions.unscoped() as session:
                    await repository.start_list_again(session, reconciliation_id, at)

    async def _page(self, reconciliation_id: UUID, at: Position) -> None:
        payments = self._payments
        match at.list:
            case "customers":
                await self._compare(
                    reconciliation_id, at, payments.customers, partial(self._customers, reconciliation_id)
                )
            case "subscriptions":
                await self._compare(
                    reconciliation_id, at, payments.subscriptions, self._seen(repository.differing_subscriptions)
                )
            case "invoices":
                await self._compare(reconciliation_id, at, payments.invoices, self._seen(repository.differing_invoices))
            case "payments":
                await self._compare(reconciliation_id, at, payments.payments, self._seen(repository.differing_payments))
            case "events":
                unheard = partial(repository.unheard, margin=_MARGIN)
                await self._compare(reconciliation_id, at, payments.events, self._seen(unheard))

    async def _compare(
        self,
        reconciliation_id: UUID,
        at: Position,
        read: _List[Item],
        differing: Callable[[Sequence[Item]], Awaitable[Sequence[UUID]]],
    ) -> None:
        """Have the workspaces that a page is `differing` from compared, and go on behind it."""
        page = await read(since=at.since, after=at.cursor)
        workspace_ids = await differing(page.items)
        if page.next is None and at.list == "customers" and at.since is None:
            await self._start_vanished(reconciliation_id)
        next_list = at.list if page.next is not None else _next_list(at)
        async with self._platform_sessions.unscoped() as session:
            is_ours = await repository.advance(
                session, reconciliation_id, at, list=next_list, cursor=page.next, objects=len(page.items)
            )
            if is_ours and workspace_ids:
                await syncs.start(session, workspace_ids, reconciliation_id=reconciliation_id)

    def _seen(
        self, compare: Callable[[Session, Sequence[Item]], Awaitable[Sequence[UUID]]]
    ) -> Callable[[Sequence[Item]], Awaitable[Sequence[UUID]]]:
        """`compare` with the rows of all workspaces."""

        async def differing(items: Sequence[Item]) -> Sequence[UUID]:
            async with self._platform_sessions.unscoped() as session:
                return await compare(session, items)

        return differing

    async def _customers(self, reconciliation_id: UUID, customers: Sequence[PayingCustomer]) -> Sequence[UUID]:
        async with self._platform_sessions.unscoped() as session:
            found = await repository.differing_customers(session, customers)
        return [each.workspace_id for each in found if each.is_known or await self._adopt(reconciliation_id, each)]

    async def _adopt(self, reconciliation_id: UUID, found: FoundCustomer) -> bool:
        """Make a customer that was made for a workspace the workspace's own, where a crash kept that from being
        written; False where it has another one, which is recorded."""
        workspace_id = found.workspace_id
        async with self._sessions.for_workspace(workspace_id) as session:
            if await repository.adopt(session, workspace_id, found.id):
                await events.adopt(session, workspace_id, found.id)
                return True
            ours = await repository.customer_of(session, workspace_id)
            if ours == found.id:
                return True
            [sync_id] = await syncs.start(session, [workspace_id], reconciliation_id=reconciliation_id)
            second = Difference("customer", found.id, {"id": ours}, {"id": found.id}, "ignored")
            await syncs.add_drift(session, workspace_id, sync_id, [second])
        log.warning("workspace has a second customer", workspace_id=str(workspace_id), customer_id=found.id)
        return False

    async def _start_vanished(self, reconciliation_id: UUID) -> None:
        """What was deleted is in no page: customers, and drafts of invoices."""
        after: UUID | None = _FIRST
        while after is not None:
            async with self._platform_sessions.unscoped() as session:
                vanished = await repository.vanished(session, reconciliation_id, after=after, limit=_BATCH)
                await syncs.start(session, vanished, reconciliation_id=reconciliation_id)
            after = vanished[-1] if vanished else None


async def corrections(platform_sessions: Sessions, ref: ReconciliationRef) -> Corrections:
    """How many workspaces are still being compared. Raises Unavailable."""
    async with platform_sessions.unscoped() as session:
        return Corrections(await repository.running(session, UUID(ref.reconciliation_id)))


async def finish(platform_sessions: Sessions, ref: ReconciliationRef) -> Reconciled:
    """Say that it has ended, and what came of it. Raises Unavailable."""
    async with platform_sessions.unscoped() as session:
        totals = await repository.finish(session, UUID(ref.reconciliation_id))
    log.info("billing reconciled", reconciliation_id=ref.reconciliation_id, **asdict(totals))
    return Reconciled(**asdict(totals))


def _next_list(at: Position) -> str | None:
    # What was listed as a whole needs no events.
    return None if at.list == "payments" and at.since is None else _NEXT_LIST[at.list or ""]
