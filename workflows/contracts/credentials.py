"""What the check of a provider credential needs done, as types. The secret itself never crosses."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from temporalio import activity


@dataclass(frozen=True, slots=True)
class Verification:
    """One check of the credential that a workspace has for a provider; the ids are UUIDs as text."""

    workspace_id: str
    provider: str
    verification_id: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What the provider said. "superseded": the secret was replaced meanwhile; "unavailable": it said nothing."""

    status: Literal["valid", "rejected", "superseded", "unavailable"]


class CredentialActivities(ABC):
    """The promises of activities/credentials.py. Each may run twice and has its effect once."""

    @activity.defn(name="verify_credential")
    @abstractmethod
    async def verify(self, command: Verification) -> Verified:
        """Make one free call to the provider with the credential, and keep the result.

        Raises retryable errors while the provider is away or throttles.
        """

    @activity.defn(name="give_up_verification")
    @abstractmethod
    async def give_up(self, command: Verification) -> Verified:
        """End the check without a result: the status of the credential stays what it was."""
