"""What plans allow, as types."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """What the plan that is called `plan` allows; None: as much as the installation. `members` counts open invitations
    too, `requests_per_minute` those of all callers of the workspace. Where work of several workspaces waits, one of
    `fairness_weight` 2 is served twice as often as one of 1."""

    plan: str
    records_per_job: int | None = None
    members: int | None = None
    requests_per_minute: int | None = None
    fairness_weight: float | None = None


@dataclass(frozen=True, slots=True)
class LimitsByPlan:
    """The limits of each plan that this installation sells, by its name; those of `free` for everybody else."""

    free: PlanLimits
    named: Mapping[str, PlanLimits]

    def of(self, plan: str | None) -> PlanLimits:
        """Those of the plan that a workspace has; None, or one that is sold no longer: the free one's."""
        return self.free if plan is None else self.named.get(plan, self.free)
