"""What vendors answered in their own words: kept for `raw_retention_days`, compressed, a row for each flush.

They are for support, and so that a value can be held against what it was read from; nothing of Holdfast reads them.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

from app.db import Session, Sessions, in_batches
from app.enrichment import raw_answers_repository as repository

LONGEST = 256 * 1024
"""Bytes of one answer that is still kept."""

# The fastest one: a level more takes an eighth more time and saves a fiftieth of the space.
_LEVEL = 1
# Position and length, before each answer.
_HEAD = struct.Struct("<II")
_BATCH = 200
_MAX_BATCHES = 1000


async def keep(
    session: Session, workspace_id: UUID, job_id: UUID, provider: str, answers: Sequence[tuple[int, bytes]]
) -> None:
    """Keep what a provider answered about records of the job, by their positions.

    An answer of more than LONGEST bytes is counted, and not kept.
    """
    if not answers:
        return
    kept = {position: raw for position, raw in answers if len(raw) <= LONGEST}
    positions = [position for position, _ in answers]
    await repository.add(
        session,
        workspace_id,
        job_id,
        provider,
        first=min(positions),
        last=max(positions),
        oversized=len(answers) - len(kept),
        body=pack(kept),
    )


async def read(sessions: Sessions, workspace_id: UUID, job_id: UUID, key: str) -> list[tuple[str, bytes]]:
    """(provider, answer) of what is kept about the record with this key, the oldest first; for support."""
    async with sessions.for_workspace(workspace_id) as session:
        position = await repository.position_of(session, job_id, key)
        if position is None:
            return []
        batches = await repository.about(session, job_id, position)
    return [(provider, raw) for provider, body in batches if (raw := unpack(body).get(position)) is not None]


async def sweep(platform_sessions: Sessions, *, keep_days: int) -> int:
    """Delete what was kept for longer than so many days, a batch a transaction; how many rows. Raises Unavailable
    between batches."""
    delete = partial(repository.sweep, keep=timedelta(days=keep_days), limit=_BATCH)
    return await in_batches(platform_sessions, delete, batch=_BATCH, max_batches=_MAX_BATCHES)


def pack(answers: Mapping[int, bytes]) -> bytes:
    """Answers by position as one compressed text: what vendors repeat in each answer costs its space once."""
    parts = [part for position, raw in answers.items() for part in (_HEAD.pack(position, len(raw)), raw)]
    return zlib.compress(b"".join(parts), _LEVEL)


def unpack(body: bytes) -> dict[int, bytes]:
    """What `pack` was given."""
    text = zlib.decompress(body)
    answers = {}
    at = 0
    while at < len(text):
        position, length = _HEAD.unpack_from(text, at)
        at += _HEAD.size
        answers[position] = text[at : at + length]
        at += length
    return answers
