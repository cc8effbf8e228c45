"""What workspaces used, as the payment provider bills it: charged credits, summed up in batches of an hour and reported
to its meter.

A batch counts once. Its id is the identifier of the report, which Stripe remembers for 24 hours: within that time one
whose answer was lost is simply reported again. Later it is asked first what it was told for that hour. Where that says
neither yes nor no, and where Stripe takes a report no more, the batch ends with a dead letter: a person decides.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Literal, TypeAlias
from uuid import UUID

from app.auth.permissions import Caller
from app.billing import usage_repository as repository
from app.billing.usage_repository import Batch
from app.db import Session, Sessions
from app.deadletters import redrives
from app.deadletters import service as deadletters
from app.deadletters.service import Failure
from app.providers.errors import InvalidQuery, Missing, StoredFailure
from app.providers.payments import PaymentsApi
from workflows.contracts.deadletters import PageRedriven, RedriveRef
from workflows.contracts.usage import Closed, Reported, Workspaces

_SECONDS = 60.0
_BATCH = 200
# Of one customer Stripe takes one report at a time.
_WORKSPACES_AT_ONCE = 10
# Stripe remembers an identifier for 24 hours; a call may be on its way for a while.
_REMEMBERED = timedelta(hours=20)
# Stripe takes what was used within the last 35 days.
_TAKEN = timedelta(days=34)
_HOUR = timedelta(hours=1)

_Refusal: TypeAlias = Literal["usage_too_old", "usage_unclear", "usage_refused", "customer_missing"]
_MESSAGES: Mapping[_Refusal, str] = {
    "usage_too_old": "The usage was not reported within the time in which it is taken.",
    "usage_unclear": "A report of the usage was never answered, and it cannot be told whether it counted.",
    "usage_refused": "The payment provider refuses the report of the usage.",
    "customer_missing": "The customer at the payment provider is gone.",
}


async def close_batches(sessions: Sessions, platform_sessions: Sessions, workspaces: Workspaces) -> Closed:
    """Sum up what the first of these workspaces were charged since their last batches, or since they are customers:
    as many as there is time for. Raises Unavailable; what was summed up by then is."""
    after = UUID(workspaces.after)
    async with platform_sessions.unscoped() as session:
        charged = await repository.with_charges(session, after=after, limit=_BATCH)
    closed, last = 0, None
    deadline = monotonic() + _SECONDS
    for workspace_id in charged:
        async with sessions.for_workspace(workspace_id) as session:
            closed += await repository.close(session, workspace_id)
        last = str(workspace_id)
        if monotonic() >= deadline:
            break
    return Closed(closed, last)


async def redrive_page(sessions: Sessions, ref: RedriveRef) -> PageRedriven:
    """Have the batches of the redrive reported with the next ones, for as long as a page takes. Raises Unavailable."""
    return await redrives.redrive_page(sessions, ref, "billing", _again, lock=False)


async def _again(session: Session, caller: Caller, batch_id: str, _: Sequence[str]) -> None:
    if await repository.retry(session, caller.workspace_id, UUID(batch_id)):
        await deadletters.redriven(session, caller.workspace_id, "billing", [(batch_id, batch_id)])


class Reporter:
    """Reports batches; `platform_sessions` find those of all workspaces."""

    def __init__(self, sessions: Sessions, platform_sessions: Sessions, payments: PaymentsApi) -> None:
        self._sessions = sessions
        self._platform_sessions = platform_sessions
        self._payments = payments

    async def report(self, workspaces: Workspaces) -> Reported:
        """Report the batches of the first of these workspaces; what became of them.

        Raises the ProviderError of one that is to be tried again, or Unavailable, after all others were tried.
        """
        after = UUID(workspaces.after)
        async with self._platform_sessions.unscoped() as session:
            unreported = await repository.unreported(session, after=after, limit=_BATCH)
        batches: dict[UUID, list[UUID]] = defaultdict(list)
        for workspace_id, batch_id in unreported:
            batches[workspace_id].append(batch_id)
        places = asyncio.Semaphore(_WORKSPACES_AT_ONCE)

        async def in_turn(workspace_id: UUID) -> list[bool | None]:
            async with places:
                return [await self._report(workspace_id, batch_id) for batch_id in batches[workspace_id]]

        outcomes = await asyncio.gather(*map(in_turn, batches), return_exceptions=True)
        done: list[bool | None] = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            done += outcome
        return Reported(done.count(True), done.count(False), str(max(batches)) if batches else None)

    async def _report(self, workspace_id: UUID, batch_id: UUID) -> bool | None:
        """Whether it counts now, or never will; None where it was done before."""
        async with self._sessions.for_workspace(workspace_id) as session:
            batch = await repository.attempt(session, workspace_id, batch_id)
        if batch is None:
            return None
        refusal = await self._send(workspace_id, batch)
        async with self._sessions.for_workspace(workspace_id) as session:
            if refusal is None:
                if not await repository.mark_reported(session, workspace_id, batch_id):
                    return None
                await deadletters.resolve(session, workspace_id, "billing", [str(batch_id)])
                return True
            if not await repository.mark_refused(session, workspace_id, batch_id, error=refusal):
                return None
            failure = Failure(str(batch_id), refusal, _MESSAGES[refusal])
            await deadletters.open_many(session, workspace_id, "billing", [failure])
        return False

    async def _send(self, workspace_id: UUID, batch: Batch) -> _Refusal | None:
        """None: Stripe has it. Raises a ProviderError where that is still to be tried, or nothing can be."""
        if batch.is_deleted:
            return "customer_missing"
        if batch.now - batch.attempted_at > _REMEMBERED:
            counted = await self._counted(workspace_id, batch)
            if counted is not False:
                return None if counted else "usage_unclear"
            async with self._sessions.for_workspace(workspace_id) as session:
                await repository.renew(session, workspace_id, batch.id)
        if batch.now - batch.used_at > _TAKEN:
            return "usage_too_old"
        key = f"billing-usage/{batch.id}:report:{batch.generation}"
        try:
            await self._payments.report_usage(
                batch.customer_id, batch.credits, identifier=str(batch.id), at=batch.used_at, key=key
            )
        except StoredFailure:
            # Whether the first one counted or not: with the same identifier another key counts once.
            async with self._sessions.for_workspace(workspace_id) as session:
                await repository.raise_generation(session, workspace_id, batch)
            raise
        except Missing:
            return "customer_missing"
        except InvalidQuery:
            return "usage_refused"
        return None

    async def _counted(self, workspace_id: UUID, batch: Batch) -> bool | None:
        """Whether Stripe has the batch, by what it has for the hour; None where that does not say."""
        since = batch.used_at.replace(minute=0, second=0, microsecond=0)
        until = since + _HOUR
        try:
            theirs = await self._payments.reported_usage(batch.customer_id, since, until)
        except InvalidQuery:
            return None
        async with self._sessions.for_workspace(workspace_id) as session:
            ours = await repository.reported_within(session, workspace_id, since, until)
        return {ours: False, ours + batch.credits: True}.get(theirs)
