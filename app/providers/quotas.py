"""The quotas of providers, kept in PostgreSQL for all processes, and what they tell each other of refusals."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db import Sessions, follow
from app.errors import Unavailable
from app.provider_settings import QuotaWindow
from app.providers.quota import Lease, Quota

log = structlog.get_logger(__name__)

# As the functions say that notify it.
CHANNEL = "provider_blocks"

# A call waits for it.
_PATIENCE_SECONDS = 2.0
_RETRY_SECONDS = 1.0

# The tables are nobody's to read: one tenant would see how another uses its key.
_LEASE = """
    SELECT granted, resets_in, ramps_for
    FROM lease_provider_quota(
        %(provider)s::text, %(credential)s::text, %(wanted)s::integer, %(calls)s::integer[], %(seconds)s::integer[],
        %(announced)s::integer[], %(is_recovering)s::boolean
    )
"""
_BLOCK = """
    SELECT block_provider_quota(
        %(provider)s::text, %(credential)s::text, %(hint)s::float8, %(began_ago)s::float8
    ) AS seconds
"""


class SharedQuotas:
    """The Leases of a database. `run` for as long as the process lives, so that a refusal in one process holds in all.

    `sessions` and `engine` are of the application's role.
    """

    def __init__(self, sessions: Sessions, engine: AsyncEngine) -> None:
        self._sessions = sessions
        self._engine = engine
        self._quotas: dict[str, Quota] = {}

    def add(self, quota: Quota) -> None:
        """Have this one hear of refusals."""
        self._quotas[quota.provider] = quota

    async def lease(
        self,
        provider: str,
        credential: str,
        wanted: int,
        windows: Sequence[QuotaWindow],
        announced: Mapping[int, int],
        *,
        is_recovering: bool,
    ) -> Lease:
        """See Leases. One statement, which is a transaction of its own."""
        row = await self._ask(
            _LEASE,
            {
                "provider": provider,
                "credential": credential,
                "wanted": str(wanted),
                "calls": _array(w.calls for w in windows),
                "seconds": _array(w.seconds for w in windows),
                "announced": _array(announced.get(w.seconds) for w in windows),
                "is_recovering": str(is_recovering),
            },
        )
        return Lease(row["granted"], row["resets_in"], row["ramps_for"])

    async def block(self, provider: str, credential: str, hint: float | None, *, began_ago: float) -> float:
        """See Leases. The others hear of it at once."""
        row = await self._ask(
            _BLOCK,
            {
                "provider": provider,
                "credential": credential,
                "hint": None if hint is None else str(hint),
                "began_ago": str(began_ago),
            },
        )
        return float(row["seconds"])

    async def run(self) -> None:
        """Listen until cancelled."""
        await follow(self._engine, CHANNEL, self._heard)

    async def _heard(self, payload: str) -> None:
        if not payload:
            for quota in self._quotas.values():
                quota.forget()
            return
        provider, seconds, credential = payload.split(" ", 2)
        if provider in self._quotas:
            self._quotas[provider].blocked(credential, float(seconds))

    async def _ask(self, query: str, parameters: Mapping[str, str | None]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                rows = await self._sessions.read(query, parameters)
        except TimeoutError:
            raise Unavailable("The database is slow; try again.", retry_after=1) from None
        return rows[0]


def _array(values: Iterable[int | None]) -> str:
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"
