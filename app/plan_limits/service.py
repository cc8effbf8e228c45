"""What the plan of a workspace allows it. Where nothing is sold there are no plans, and no limits of one."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from app.cache import Cache
from app.db import Session, Sessions
from app.plan_limits import repository
from app.plan_limits.errors import PlanLimitExceeded
from app.plan_limits.limits import LimitsByPlan, PlanLimits

_PLANS = "workspace_plan"
# What the cache has of a workspace without a plan: it keeps nothing that is empty, and no plan is called so.
_NONE = b"-"


async def allow_records(session: Session, workspace_id: UUID, limits: LimitsByPlan | None, records: int) -> None:
    """For a job of so many records. Raises PlanLimitExceeded."""
    if records == 1:
        # Every plan allows that, and somebody waits for it.
        return
    allowed = await _limits(session, workspace_id, limits)
    if allowed and allowed.records_per_job is not None and records > allowed.records_per_job:
        raise PlanLimitExceeded(
            f"The plan {allowed.plan} allows {allowed.records_per_job:,} records in a job, and this has {records:,}:"
            " send them in several jobs, or take a larger plan."
        )


async def allow_members(session: Session, workspace_id: UUID, limits: LimitsByPlan | None, members: int) -> None:
    """For so many members and open invitations together. Raises PlanLimitExceeded."""
    allowed = await _limits(session, workspace_id, limits)
    if allowed and allowed.members is not None and members > allowed.members:
        raise PlanLimitExceeded(
            f"The plan {allowed.plan} allows {allowed.members:,} members, open invitations included:"
            " remove somebody, withdraw an invitation, or take a larger plan."
        )


async def requests_per_minute(
    sessions: Sessions, cache: Cache, workspace_id: UUID, limits: LimitsByPlan | None
) -> int | None:
    """How many requests all callers of the workspace may send in a minute; None: as many as the installation allows.

    Of a plan from the cache, as long as that keeps it.
    """
    if limits is None:
        return None

    async def read() -> bytes:
        return (await repository.read_plan(sessions, workspace_id) or "").encode() or _NONE

    found = await cache.get_or_set(_PLANS, str(workspace_id), read)
    return limits.of(None if found == _NONE else found.decode()).requests_per_minute


async def fairness_weights(
    session: Session, workspace_ids: Iterable[UUID], limits: LimitsByPlan | None
) -> Mapping[UUID, float | None]:
    """How often the work of each of these workspaces is served among that of others; None: as the installation has it.
    The session is the platform's."""
    wanted = set(workspace_ids)
    if limits is None or not wanted:
        return {}
    plans = await repository.plans(session, wanted)
    return {workspace_id: limits.of(plan).fairness_weight for workspace_id, plan in plans.items()}


async def _limits(session: Session, workspace_id: UUID, limits: LimitsByPlan | None) -> PlanLimits | None:
    return limits.of(await repository.plan(session, workspace_id)) if limits else None
