"""The activities of credentials: each calls one function of app/credentials. Only activities open a credential."""

from collections.abc import Mapping

from temporalio import activity

from activities.errors import mapped
from activities.heartbeat import beating
from app.credentials.opening import Opener
from app.credentials.verification import give_up, verify
from app.db import Sessions
from app.providers.ports import EnrichmentSource
from workflows.contracts.credentials import CredentialActivities, Verification, Verified


class Credentials(CredentialActivities):
    def __init__(self, sessions: Sessions, sources: Mapping[str, EnrichmentSource], opener: Opener) -> None:
        self._sessions = sessions
        self._sources = sources
        self._opener = opener

    @activity.defn(name="verify_credential")
    @mapped
    async def verify(self, command: Verification) -> Verified:
        async with beating():
            return await verify(self._sessions, self._sources[command.provider], self._opener, command)

    @activity.defn(name="give_up_verification")
    @mapped
    async def give_up(self, command: Verification) -> Verified:
        async with beating():
            return await give_up(self._sessions, command)
