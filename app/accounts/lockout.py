"""Lock-out: who fails to sign in must wait before the next attempt, longer each time.

Counted under the address that was tried, whether it has an account or not, and under the source, so that neither many
sources can try one address nor one source many addresses. It holds over all processes: the counts are in the database.
"""

import hashlib
from dataclasses import dataclass

from app.accounts import repository
from app.accounts.errors import TooManyAttempts
from app.db import Sessions
from app.ratelimit import address_key
from app.security_log import digest_of, security_event

# A person mistypes a few times; behind one address may be an office.
_FREE_OF_ADDRESS = 5
_FREE_OF_SOURCE = 50
_FREE_MAILS = 3
# Locking somebody out of their own account is an attack too: it ends by itself, and a magic link goes past it.
_LONGEST_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that was counted, and is a failure until `succeeded`."""

    address: bytes
    source: bytes | None


async def begin(sessions: Sessions, email: str, client_address: str | None) -> Attempt:
    """Count an attempt before it is made. Raises TooManyAttempts where the address or the source must wait."""
    attempt = Attempt(_key("address", email), _key("source", address_key(client_address)) if client_address else None)
    keys = {attempt.address: _FREE_OF_ADDRESS}
    if attempt.source is not None:
        keys[attempt.source] = _FREE_OF_SOURCE
    async with sessions.unscoped() as session:
        seconds = await repository.begin_attempt(session, keys, longest_seconds=_LONGEST_SECONDS)
    if seconds > 0:
        security_event("sign_in.locked", address_digest=digest_of(email), seconds=round(seconds))
        raise TooManyAttempts(seconds)
    return attempt


async def succeeded(sessions: Sessions, attempt: Attempt) -> None:
    """Forget what failed before under the address; of the source, this attempt alone."""
    async with sessions.unscoped() as session:
        await repository.end_attempt(session, forgiven=attempt.address, uncounted=attempt.source)


async def may_mail(sessions: Sessions, email: str) -> bool:
    """Whether the address may get another mail now: nobody's inbox is flooded from here."""
    async with sessions.unscoped() as session:
        wait = await repository.begin_attempt(
            session, {_key("mail", email): _FREE_MAILS}, longest_seconds=_LONGEST_SECONDS
        )
    if wait > 0:
        security_event("mail.withheld", address_digest=digest_of(email), seconds=round(wait))
    return wait <= 0


def _key(kind: str, name: str) -> bytes:
    return hashlib.sha256(f"{kind}:{name}".encode()).digest()
