"""One attempt at a delivery."""

from datetime import UTC, datetime
from time import perf_counter

import orjson

from app.db import new_id
from app.providers.ports import Deliverer, Posted
from app.webhooks.delivery_repository import Attempt, Due
from app.webhooks.schedule import LONGEST_RETRY_AFTER_SECONDS, delay_seconds
from app.webhooks.signing import signed
from app.webhooks.target import Target

# Shorter ones could be any word of an answer.
_SECRET_CHARACTERS = 8


async def attempt(deliverer: Deliverer, due: Due, target: Target) -> tuple[Attempt, float | None]:
    """What came of it, and for how many seconds the endpoint asked to be left alone."""
    started_at, begun = datetime.now(UTC), perf_counter()
    body = body_of(due)
    headers = {**target.headers, **signed(target.keys, due.event_id, int(started_at.timestamp()), body)}
    posted = await deliverer.post(target.url, body, headers)
    milliseconds = round((perf_counter() - begun) * 1000)
    wait = None if posted.retry_after is None else min(posted.retry_after, LONGEST_RETRY_AFTER_SECONDS)
    number = due.attempts + 1
    # Who is gone stays gone.
    delay = None if posted.error in (None, "gone") else delay_seconds(number, wait)
    answer = _answer_of(posted, target)
    made = Attempt(new_id(), due.id, number, started_at, milliseconds, posted.status, posted.error, answer, delay)
    return made, wait


def body_of(due: Due) -> bytes:
    """What is sent: the same bytes at every attempt, unless a person was erased from the event meanwhile."""
    event = {
        "id": str(due.event_id),
        "type": due.type,
        "version": due.version,
        "timestamp": due.told_at,
        "data": due.data,
    }
    return orjson.dumps(event, option=orjson.OPT_UTC_Z)


def _answer_of(posted: Posted, target: Target) -> str:
    """For people. Hosts that show what they were sent show the headers, which are nobody's to read here."""
    answer = posted.answer.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    for value in target.headers.values():
        if len(value) >= _SECRET_CHARACTERS:
            answer = answer.replace(value, "***")
    return answer
