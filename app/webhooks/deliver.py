"""One look at an endpoint: send what is due, and what becomes due meanwhile.

Attempts are committed as they end, some at a time, and only then is the next of a delivery due. Whatever was under way
in a process that died is due still, and is sent again with the same ``webhook-id``.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from time import perf_counter
from typing import Any, cast
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter

from app.audit_log import service as audit_log
from app.credentials.opening import Opener
from app.db import Session, Sessions
from app.errors import Unavailable
from app.providers.ports import Deliverer
from app.settings import WebhookSettings
from app.webhooks import delivery_repository as deliveries
from app.webhooks import endpoint_repository as endpoints
from app.webhooks.attempt import attempt
from app.webhooks.delivery_repository import Attempt, Due, GivenUp
from app.webhooks.endpoint_repository import DisabledReason, Health, Standing
from app.webhooks.schedule import FAILING_DAYS, OPENS_AFTER
from app.webhooks.target import Target, open_target
from workflows.contracts.webhooks import EndpointRef, Sent

log = structlog.get_logger(__name__)

# Deliveries in memory; more are read when half of them have gone.
_HELD = 500
_FLUSH_ATTEMPTS = 100
_FLUSH_SECONDS = 0.1
# Between two looks for what has become due: doubled by each that finds nothing.
_SHORTEST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.05, 1.0
# Where there was an event there is soon another: to wait for it here spares a wake and two tasks of Temporal.
_LINGER_SECONDS = 2.0
# Whether the process is to stop is looked at so often.
_LONGEST_WAIT_SECONDS = 0.5
_LONGEST_SECONDS = 60.0
_WATCH = timedelta(seconds=10)
_WATCH_AGAIN_SECONDS = 3.0
# Of an endpoint that fails: between two probes.
_PAUSES = (timedelta(seconds=30), timedelta(minutes=30))
_FAIL_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears of a workspace's deliveries to an endpoint that have ended, in the transaction that says so: of those
    that were given up, and of the ids of those that were taken when they were delivered again."""

    gave_up: Callable[[Session, UUID, UUID, Sequence[GivenUp]], Awaitable[None]]
    delivered: Callable[[Session, UUID, UUID, Sequence[UUID]], Awaitable[None]]


class Courier:
    """Delivers for one process. In `watched` stand the endpoints that it looks after, with what wakes who does."""

    def __init__(
        self,
        sessions: Sessions,
        deliverer: Deliverer,
        opener: Opener,
        settings: WebhookSettings,
        registry: CollectorRegistry,
        watched: dict[UUID, asyncio.Event],
        listeners: Listeners,
    ) -> None:
        self.sessions = sessions
        self.deliverer = deliverer
        self.opener = opener
        self.settings = settings
        self.watched = watched
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
        endpoint_id = UUID(endpoint.endpoint_id)
        event = self.watched[endpoint_id] = asyncio.Event()
        look = _Look(self, UUID(endpoint.workspace_id), endpoint_id, event, stopping)
        try:
            await look.run()
        except BaseException:
            await look.abort()
            raise
        finally:
            look.close()
            # A second one for the same endpoint, which a lost heartbeat may bring, keeps its own.
            if self.watched.get(endpoint_id) is event:
                del self.watched[endpoint_id]
        return await look.end()


class _Look:
    def __init__(
        self,
        courier: Courier,
        workspace_id: UUID,
        endpoint_id: UUID,
        event: asyncio.Event,
        stopping: Callable[[], bool],
    ) -> None:
        self._courier = courier
        self._sessions = courier.sessions
        self._listeners = courier.listeners
        self._workspace_id = workspace_id
        self._endpoint_id = endpoint_id
        self._stopping = stopping
        self._standing: Standing | None = None
        self._target: Target | None = None
        self._target_of: datetime | None = None
        self._failures = 0
        # What may begin; by subject, what waits for a first attempt that has not ended; all that is in memory.
        self._ready: deque[Due] = deque()
        self._behind: dict[str, deque[Due]] = {}
        self._held: set[UUID] = set()
        self._flying: dict[asyncio.Task[Attempt], Due] = {}
        self._made: list[Attempt] = []
        self._retry_after: float | None = None
        self._event = event
        self._news = asyncio.create_task(event.wait())
        self._flush_at = 0.0
        # The next look and the last one, and how long after a look the next may be.
        self._look_at = self._looked_at = 0.0
        self._pause = _SHORTEST_LOOK_SECONDS
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
            if self._made and (
                not self._flying or perf_counter() >= self._flush_at or len(self._made) >= _FLUSH_ATTEMPTS
            ):
                await self._flush()
                continue
            if not self._flying and self._is_over():
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

    def close(self) -> None:
        self._news.cancel()

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
            if standing is not None and standing.updated_at != self._target_of:
                self._target = await open_target(session, self._courier.opener, self._workspace_id, self._endpoint_id)
                self._target_of = standing.updated_at
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
        self._looked_at = perf_counter()
        if found:
            self._busy_at = now
            self._pause = _SHORTEST_LOOK_SECONDS
        else:
            self._pause = min(self._pause * 2, _LONGEST_LOOK_SECONDS)
        # There may be more than one look takes.
        self._look_at = self._looked_at + self._pause if found else inf

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
        made, retry_after = await attempt(self._courier.deliverer, due, target)
        if retry_after is not None:
            self._retry_after = max(retry_after, self._retry_after or 0.0)
        return made

    async def _wait(self) -> None:
        """Until an attempt has ended, something may have become due, or it is time for something else."""
        moments = [self._watch_at, self._next_look(), *([self._flush_at] if self._made else [])]
        if not self._held:
            moments.append(self._busy_at + _LINGER_SECONDS)
        seconds = min(max(min(moments) - perf_counter(), 0.0), _LONGEST_WAIT_SECONDS)
        waiting: set[asyncio.Task[Any]] = {self._news, *self._flying}
        done, _ = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task is not self._news:
                self._take(cast("asyncio.Task[Attempt]", task))
        if self._news in done:
            self._hear()

    def _hear(self) -> None:
        """Something is due that nobody waits for. It may be what is under way here: so looks in vain become fewer."""
        self._event.clear()
        self._news = asyncio.create_task(self._event.wait())
        self._look_at = min(self._look_at, max(self._looked_at + self._pause, perf_counter()))

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


def _health_of(made: Sequence[Attempt], retry_after: float | None) -> Health:
    failures, recovered = 0, False
    for each in made:
        if each.error is None:
            failures, recovered = 0, True
        else:
            failures += 1
    return Health(recovered, failures, retry_after)
