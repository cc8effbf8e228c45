"""Customers that are due, for the waker, and those whose workflows went silent, for the reconciler."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from app.billing import wake_repository as repository
from app.db import Session
from app.outbox.reconciler import ReconciledProcess, SilentWork
from app.outbox.waker import Wake, WokenProcess
from workflows import ids
from workflows.contracts.billing import CustomerRef

# A wake that Temporal took is seen within moments, unless many wait for the same workers: then more would only keep
# those from their work, and whatever else is done beside them. So many are on their way at a time.
_AGAIN = timedelta(seconds=10)
_PLACES = 8


class DueCustomers(WokenProcess):
    """Those with something to be read, because of an event or because it is time."""

    workflow = "SyncCustomer"
    process = "billing"

    async def take_waiting(self, session: Session, *, apart: timedelta, limit: int) -> Sequence[Wake]:
        return [
            Wake(
                workspace_id,
                ids.billing_customer(str(workspace_id)),
                CustomerRef(str(workspace_id)),
                f"customer of workspace {str(workspace_id)[-8:]}",
            )
            for workspace_id in await repository.take_waiting(
                session, apart=apart, again=_AGAIN, places=min(limit, _PLACES)
            )
        ]


class Customers(ReconciledProcess):
    """However a run ended, what is due is to be read."""

    async def _claim(self, session: Session, *, seconds: float, limit: int) -> Sequence[tuple[UUID, UUID]]:
        # A workspace has one customer, which goes by the workspace's id.
        return [(each, each) for each in await repository.take_silent(session, seconds=seconds, limit=limit)]

    def _workflow_id(self, reference: str) -> str:
        return ids.billing_customer(reference)

    async def start_again(self, work: SilentWork) -> None:
        """Nobody is at what is due: the waker finds it."""
        async with self._sessions.for_workspace(work.workspace_id) as session:
            await repository.forget_seen(session, work.workspace_id)
