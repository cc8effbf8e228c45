"""What the closing of a workspace needs done, as types: commands in, facts out. Ids and counts only."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from temporalio import activity


@dataclass(frozen=True, slots=True)
class WorkspaceRef:
    """One workspace; a UUID as text."""

    workspace_id: str


@dataclass(frozen=True, slots=True)
class WorkLeft:
    """How many jobs of the workspace have not ended yet; all of them were told to."""

    jobs: int


@dataclass(frozen=True, slots=True)
class Emptied:
    """What the workspace left with us is erased. `is_customer`: the payment provider knows it, and may go on taking
    money."""

    is_customer: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a closing: the credits that are still held although nothing runs, which must be none."""

    held: int


class ClosingActivities(ABC):
    """The promises of activities/workspaces.py. Each may run twice and has its effect once."""

    @activity.defn(name="cancel_jobs")
    @abstractmethod
    async def cancel_jobs(self, workspace: WorkspaceRef) -> WorkLeft:
        """Have every job of the workspace that has not ended be cancelled, and count those that are left."""

    @activity.defn(name="erase_secrets")
    @abstractmethod
    async def erase_secrets(self, workspace: WorkspaceRef) -> Emptied:
        """Erase the secrets that the workspace left with us, and look whether it is a customer."""

    @activity.defn(name="finish_closing")
    @abstractmethod
    async def finish_closing(self, workspace: WorkspaceRef) -> Closed:
        """Look what is held for the workspace; when that is nothing, say that it is closed."""
