"""One look at an endpoint: send what is due, and what becomes due meanwhile.

Attempts are committed as they end, some at a time, and only then is the next of a delivery due. Whatever was under way
in a process that died is due still, and is sent again with the same ``webhook-id``.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from time import perf_counter
from uuid import UUID

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter

from app.audit_log import service as audit_log
from app.credentials.opening import Opener
from app.db import Session, Sessions, new_id
from app.errors import Unavailable
from app.providers.ports import Deliverer, Posted
from app.settings import WebhookSettings
from app.webhooks import delivery_repository as deliveries
from app.webhooks import endpoint_repository as endpoints
from app.webhooks.delivery_repository import Attempt, Due, GivenUp
from app.webhooks.endpoint_repository import DisabledReason, Health, Standing
from app.webhooks.schedule import FAILING_DAYS, LONGEST_RETRY_AFTER_SECONDS, OPENS_AFTER, delay_seconds
from app.webhooks.signing import signed
from app.webhooks.target import Target, open_target
from workflows.contracts.webhooks import EndpointRef, Sent

log = structlog.get_logger(__name__)

# Deliveries in memory; more are read when half of them have gone.
_HELD = 500
_FLUSH_ATTEMPTS = 100
_FLUSH_SECONDS = 0.1
# Between two looks for what has become due: after one that found some, and after one that did not.
_BUSY_LOOK_SECONDS, _IDLE_LOOK_SECONDS = 0.1, 0.2
# Events come in bursts: to wait for the next one here spares a wake and two tasks of Temporal.
_LINGER_SECONDS = 0.5
_LONGEST_SECONDS = 60.0
_WATCH = timedelta(seconds=10)
_WATCH_AGAIN_SECONDS = 3.0
# Of an endpoint that fails: between two probes.
_PAUSES = (timedelta(seconds=30), timedelta(minutes=30))
_FAIL_BATCH = 1000
# Shorter ones could be any word of an answer.
_SECRET_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears of a workspace's deliveries to an endpoint that have ended, in the transaction that says so: of those
    that were given up, and of the ids of those that were taken when they were delivered again."""

    gave_up: Callable[[Session, UUID, UUID, Sequence[GivenUp]], Awaitable[None]]
    delivered: Callable[[Session, UUID, UUID, Sequence[UUID]], Awaitable[None]]


class Courier:
    """Delivers for one process."""

    def __init__(
        self,
        sessions: Sessions,
        deliverer: Deliverer,
        opener: Opener,
        settings: WebhookSettings,
        registry: CollectorRegistry,
        listeners: Listeners,
    ) -> None:
        self.sessions = sessions
        self.deliverer = deliverer
        self.opener = opener
        self.settings = settings
        self.listeners = listeners
        self.attempts = Counter(
            "holdfast_webhook_attempts", "Attempts to deliver an event, by what became of them.", ("outcome",),
            registry=registry,
        )  # fmt: skip

    async def deliver(self, endpoint: EndpointRef, *, stopping: Callable[[], bool]) -> Sent:
        """Send until nothing is due, the endpoint is to be left alone, or it took a minute; `stopping`: begin nothing
        more.

        Raises Unavailable, CredentialsNotConfigured, CredentialUnreadable; attempts that were committed stay.
        """
        look = _Look(self, UUID(endpoint.workspace_id), UUID(endpoint.endpoint_id), stopping)
        try:
            await look.run()
        except BaseException:
            await look.abort()
            raise
        return await look.end()


class _Look:
    def __init__(self, courier: Courier, workspace_id: UUID, endpoint_id: UUID, stopping: Callable[[], bool]) -> None:
        self._courier = courier
        self._sessions = courier.sessions
        self._listeners = courier.listeners
        self._workspace_id = workspace_id
        self._endpoint_id = endpoint_id
        self._stopping = stopping
        self._standing: Standing | None = None
        self._target: Target | None = None
        self._failures = 0
        # What may begin; by subject, what waits for a first attempt that has not ended; all that is in memory.
        self._ready: deque[Due] = deque()
        self._behind: dict[str, deque[Due]] = {}
        self._held: set[UUID] = set()
        self._flying: dict[asyncio.Task[Attempt], Due] = {}
        self._made: list[Attempt] = []
        self._retry_after: float | None = None
        self._flush_at = 0.0
        self._look_at = 0.0
        self._watch_at = 0.0
        self._busy_at = perf_counter()
        self._until = self._busy_at + _LONGEST_SECONDS
        self._attempts = self._delivered = 0

    async def run(self) -> None:
        while True:
            now = perf_counter()
            if now >= min(self._watch_at, self._next_look()):
                await self._look(now)
            self._launch()
            if self._made and (perf_counter() >= self._flush_at or len(self._made) >= _FLUSH_ATTEMPTS):
                await self._flush()
                continue
            if not self._flying and not self._made and self._is_over():
                return
            await self._wait()

    async def end(self) -> Sent:
        """What was done, and when there is something to do again."""
        if self._standing is not None and self._standing.enabled and self._is_told_to_stop():
            return Sent(self._attempts, self._delivered, 0.0)
        await self._fail_pending()
        async with self._sessions.for_workspace(self._workspace_id) as session:
            standing = await endpoints.leave(session, self._workspace_id, self._endpoint_id)
            seconds = await deliveries.claim(session, self._workspace_id, self._endpoint_id)
        if standing is None or seconds is None:
            return Sent(self._attempts, self._delivered, None, standing is not None and standing.owners_to_tell)
        wait = max(seconds, standing.paused_seconds, 0.0)
        return Sent(self._attempts, self._delivered, wait, standing.owners_to_tell)

    async def abort(self) -> None:
        """End what is under way, and commit what has ended."""
        for task in self._flying:
            task.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)
        for task in [each for each in self._flying if not each.cancelled() and each.exception() is None]:
            self._take(task)
        if self._made:
            with suppress(Unavailable):
                await self._flush()

    def _is_told_to_stop(self) -> bool:
        return self._stopping() or perf_counter() >= self._until

    def _next_look(self) -> float:
        return self._look_at if len(self._held) < _HELD // 2 else inf

    def _limit(self) -> int:
        """How many attempts may be under way."""
        standing = self._standing
        if standing is None or not standing.enabled or standing.paused_seconds > 0 or self._must_flush():
            return 0
        if self._is_told_to_stop():
            return 0
        return 1 if self._failures >= OPENS_AFTER else self._courier.settings.concurrency

    def _must_flush(self) -> bool:
        """Whether what was made says that the endpoint is to be left alone, which stands in its row only then."""
        return self._retry_after is not None or (bool(self._made) and self._failures >= OPENS_AFTER)

    def _is_over(self) -> bool:
        if self._limit() == 0:
            return True
        return not self._held and perf_counter() >= self._busy_at + _LINGER_SECONDS

    async def _look(self, now: float) -> None:
        watches = now >= self._watch_at
        async with self._sessions.for_workspace(self._workspace_id) as session:
            if watches:
                standing = await endpoints.watch(session, self._workspace_id, self._endpoint_id, _WATCH)
                self._watch_at = now + _WATCH_AGAIN_SECONDS
            else:
                standing = await endpoints.look(session, self._workspace_id, self._endpoint_id)
            if standing is not None and (self._standing is None or standing.updated_at != self._standing.updated_at):
                self._target = await open_target(session, self._courier.opener, self._workspace_id, self._endpoint_id)
                self._failures = standing.failures
            self._standing = standing
            found: list[Due] = []
            if self._limit():
                found = await deliveries.due(
                    session,
                    self._workspace_id,
                    self._endpoint_id,
                    held=self._held,
                    subjects=self._behind,
                    limit=_HELD - len(self._held),
                )
        for due in found:
            self._admit(due)
        if found:
            self._busy_at = now
        self._look_at = perf_counter() + (_BUSY_LOOK_SECONDS if found else _IDLE_LOOK_SECONDS)

    def _admit(self, due: Due) -> None:
        self._held.add(due.id)
        if due.is_first and due.subject is not None:
            if due.subject in self._behind:
                self._behind[due.subject].append(due)
                return
            self._behind[due.subject] = deque()
        self._ready.append(due)

    def _launch(self) -> None:
        limit = self._limit()
        while self._ready and self._target is not None and len(self._flying) < limit:
            due = self._ready.popleft()
            self._flying[asyncio.create_task(self._attempt(due, self._target))] = due

    async def _attempt(self, due: Due, target: Target) -> Attempt:
        started_at, begun = datetime.now(UTC), perf_counter()
        body = body_of(due)
        headers = {**target.headers, **signed(target.keys, due.event_id, int(started_at.timestamp()), body)}
        posted = await self._courier.deliverer.post(target.url, body, headers)
        wait = None
        if posted.retry_after is not None:
            wait = min(posted.retry_after, LONGEST_RETRY_AFTER_SECONDS)
            self._retry_after = max(wait, self._retry_after or 0.0)
        number = due.attempts + 1
        return Attempt(
            new_id(),
            due.id,
            number,
            started_at,
            round((perf_counter() - begun) * 1000),
            posted.status,
            posted.error,
            _answer_of(posted, target),
            # Who is gone stays gone.
            None if posted.error in (None, "gone") else delay_seconds(number, wait),
        )

    async def _wait(self) -> None:
        """Until an attempt has ended, or there is something else to do."""
        moments = [self._watch_at, self._next_look(), *([self._flush_at] if self._made else [])]
        seconds = max(min(moments) - perf_counter(), 0.0)
        if not self._flying:
            await asyncio.sleep(seconds)
            return
        done, _ = await asyncio.wait(self._flying, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            self._take(task)

    def _take(self, task: asyncio.Task[Attempt]) -> None:
        due, attempt = self._flying.pop(task), task.result()
        if not self._made:
            self._flush_at = perf_counter() + _FLUSH_SECONDS
        self._made.append(attempt)
        self._failures = 0 if attempt.error is None else self._failures + 1
        if self._must_flush():
            self._flush_at = 0.0
        if due.is_first and due.subject is not None:
            behind = self._behind[due.subject]
            if behind:
                self._ready.append(behind.popleft())
            else:
                del self._behind[due.subject]

    async def _flush(self) -> None:
        made = self._made
        async with self._sessions.for_workspace(self._workspace_id) as session:
            noted = await endpoints.note_health(
                session,
                self._workspace_id,
                self._endpoint_id,
                _health_of(made, self._retry_after),
                opens_after=OPENS_AFTER,
                pauses=_PAUSES,
                lasting=timedelta(days=FAILING_DAYS),
            )
            if noted is not None:
                self._standing, is_lasting = noted
                ended = await deliveries.note(session, self._workspace_id, made)
                if ended.given_up:
                    await self._listeners.gave_up(session, self._workspace_id, self._endpoint_id, ended.given_up)
                if ended.redelivered:
                    await self._listeners.delivered(session, self._workspace_id, self._endpoint_id, ended.redelivered)
                if is_lasting or any(each.error == "gone" for each in made):
                    await self._disable(session, "failing" if is_lasting else "gone")
            else:
                self._standing = None
        self._made = self._made[len(made) :]
        self._retry_after = None
        self._held.difference_update(each.delivery_id for each in made)
        self._count(made)

    async def _disable(self, session: Session, reason: DisabledReason) -> None:
        if await endpoints.disable(session, self._workspace_id, self._endpoint_id, reason):
            log.warning("webhook endpoint disabled", endpoint_id=str(self._endpoint_id), reason=reason)
            target = ("webhook", str(self._endpoint_id))
            after = {"enabled": False, "disabled_reason": reason}
            await audit_log.record(session, self._workspace_id, None, "webhook.disable", target, after=after)
        self._standing = await endpoints.look(session, self._workspace_id, self._endpoint_id)

    async def _fail_pending(self) -> None:
        """Of an endpoint that is disabled: what waits for it has failed, and can be recovered."""
        while self._standing is not None and not self._standing.enabled:
            async with self._sessions.for_workspace(self._workspace_id) as session:
                given_up = await deliveries.fail_pending(
                    session, self._workspace_id, self._endpoint_id, error="endpoint_disabled", limit=_FAIL_BATCH
                )
                if given_up:
                    await self._listeners.gave_up(session, self._workspace_id, self._endpoint_id, given_up)
            if len(given_up) < _FAIL_BATCH:
                return

    def _count(self, made: Sequence[Attempt]) -> None:
        delivered = sum(each.error is None for each in made)
        self._attempts += len(made)
        self._delivered += delivered
        self._courier.attempts.labels("delivered").inc(delivered)
        self._courier.attempts.labels("failed").inc(len(made) - delivered)


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


def _health_of(made: Sequence[Attempt], retry_after: float | None) -> Health:
    failures, recovered = 0, False
    for each in made:
        if each.error is None:
            failures, recovered = 0, True
        else:
            failures += 1
    return Health(recovered, failures, retry_after)
