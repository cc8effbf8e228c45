"""Idempotency keys: the same request with the same key gets the first answer again and changes nothing.

In the transaction that makes the resource: `replay_or_begin` first, `remember` with the answer when there is none yet.
So only what committed is remembered, which means only 2xx. Secrets that are shown once must not be in the answer.
"""

import hashlib
import json
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from app.db import Session, Sessions, in_batches
from app.idempotency import repository
from app.idempotency.answers import Once, Remembered, Scope
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused

KEPT = timedelta(days=7)


def fingerprint(request: Any, *contents: bytes) -> bytes:
    """What makes two requests the same: the request as parsed (JSON values), and the digests of its files.

    Not of its bytes: a multipart boundary changes each time, and so may the order of keys.
    """
    canonical = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _digest(canonical.encode(), *contents)


def once(workspace_id: UUID, caller_id: UUID, route: str, key: str | None, request: Any) -> Once | None:
    """What makes the request happen once; None where the caller gave it no key. `request` as `fingerprint` takes it."""
    return Once(Scope(workspace_id, caller_id, route), key, fingerprint(request)) if key is not None else None


async def replay_or_begin(session: Session, once: Once) -> Remembered | None:
    """The first answer to this request, or None: then this transaction is the one that may make it.

    Raises IdempotencyInProgress while another transaction has the key, IdempotencyKeyReused when the key was used
    for another request.
    """
    if not await repository.try_lock(session, _lock(once)):
        raise IdempotencyInProgress
    found = await repository.find(session, once.scope, once.key, keep=KEPT)
    if found is None:
        return None
    first_fingerprint, answer = found
    if first_fingerprint != once.fingerprint:
        raise IdempotencyKeyReused
    return answer


async def remember(session: Session, once: Once, answer: Remembered) -> None:
    """Keep a 2xx answer for a week, from the commit of this transaction on. Needs `replay_or_begin` before."""
    await repository.replace(session, once.scope, once.key, once.fingerprint, answer)


async def forget(session: Session, workspace_id: UUID, like: list[str]) -> int:
    """Forget each answer of the workspace that one of the patterns of LIKE fits, in lower case, or the key that the
    caller chose; how many. Such a request is a new one when it comes again."""
    return await repository.remove_like(session, workspace_id, like)


async def sweep(platform_sessions: Sessions, *, batch: int = 1000, max_batches: int = 10) -> int:
    """Forget answers older than a week, at most `batch` × `max_batches`, a transaction a batch; how many."""
    forget = partial(repository.sweep, keep=KEPT, limit=batch)
    return await in_batches(platform_sessions, forget, batch=batch, max_batches=max_batches)


def _lock(once: Once) -> int:
    # Advisory locks are named by 64 bits.
    parts = (str(once.scope.workspace_id), str(once.scope.caller_id), once.scope.route, once.key)
    return int.from_bytes(_digest(*(part.encode() for part in parts))[:8], "big", signed=True)


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        # With its length before each, no two lists of parts are the same bytes.
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
