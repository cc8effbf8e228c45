"""Enrichment of a list of records through a waterfall of providers, as one workflow a job."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from workflows import options
from workflows.attributes import OUTCOME, PROVIDER
from workflows.contracts.enrichment import (
    EnrichmentActivities,
    JobPlan,
    JobRef,
    Lookup,
    LookupDone,
    Settle,
    Settled,
    Standing,
    Waits,
)

# A flapping provider begins and ends many waits: people need no more than this, and each look is ten events.
_BETWEEN_LOOKS = timedelta(seconds=2)
_BETWEEN_TURNS = timedelta(seconds=30)


@workflow.defn(name="EnrichRecords")
class EnrichRecords:
    """Plan, look up chunk by chunk, settle.

    PostgreSQL knows where the job stands and what people want of it. A wake carries no data: it stops the lookups
    (they flush what they have), and the next plan reads what to do. Whom the job waits for is shown to operators, as
    the search attribute Provider and in the current details, and changes nothing about how it goes on.
    """

    def __init__(self) -> None:
        self._woken = False
        self._stopping = False
        self._next = 0
        self._chunks = 0
        self._waits_changed = False
        self._over = False
        # What the run before has left.
        self._waiting_for = tuple(workflow.info().typed_search_attributes.get(PROVIDER, ()))

    @workflow.signal(name="wake")
    def wake(self) -> None:
        """Look again: somebody wants the job paused, resumed or cancelled."""
        self._woken = True

    @workflow.signal(name="waits_changed")
    def waits_changed(self) -> None:
        """A wait for a provider has begun, or ended."""
        self._waits_changed = True

    @workflow.run
    async def run(self, job: JobRef) -> Settled:
        # It is of the moment of the start: what the run goes on with, and as, plans anew.
        self._given_plan, job = job.plan, replace(job, plan=None)
        # Kept, because the loop itself keeps no task alive.
        self._watching = asyncio.create_task(self._watch_waits(job))
        try:
            finished = await self._process(job)
        except BaseException as error:  # also CancelledError: however the run ends, the job is settled
            cancelled = is_cancelled_exception(error)
            await self._settle(Settle(job.workspace_id, job.job_id, "cancelled" if cancelled else "failed"))
            raise
        if not finished:
            workflow.continue_as_new(job)
        return await self._settle(Settle(job.workspace_id, job.job_id))

    async def _process(self, job: JobRef) -> bool:
        """Work until every record has an end or nobody wants it any more; False: the run must continue as new."""
        while True:
            given, self._given_plan = None if self._woken else self._given_plan, None
            self._woken = False
            plan = given or await self._plan(job)
            self._show(plan.standings)
            if plan.desired == "paused":
                await workflow.wait_condition(lambda: self._woken)
            elif plan.desired == "queued":
                await self._await_turn()
            elif plan.desired != "running" or plan.first > plan.last:
                return True
            else:
                await self._look_up_all(plan, job)
                if not self._woken:
                    return self._next > plan.last
            if workflow.info().is_continue_as_new_suggested():
                return False

    async def _plan(self, job: JobRef) -> JobPlan:
        """Read where the job stands: at hand, or else by whoever can."""
        plan: JobPlan
        if job.plans_at_hand:
            try:
                plan = await workflow.execute_local_activity_method(
                    EnrichmentActivities.plan, job, summary="plan", **options.at_hand()
                )
            except FailureError:
                # Not an ActivityError: of one that took too long a replay raises the TimeoutError itself.
                if workflow.cancellation_reason() is not None:
                    raise
            else:
                return plan
        plan = await workflow.execute_activity_method(
            EnrichmentActivities.plan, job, summary="plan", **options.database()
        )
        return plan

    async def _await_turn(self) -> None:
        """Until a job that ends hands its turn on, or one that began to wait for a provider may have left room."""
        workflow.set_current_details(
            "Other jobs of the workspace are under way; this one begins when one of them ends."
        )
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._woken, timeout=_BETWEEN_TURNS)

    async def _look_up_all(self, plan: JobPlan, job: JobRef) -> None:
        """Keep `window` chunks going until none is left, the run is long enough, or something stops them.

        When this returns or raises, no lookup is running.
        """
        self._stopping = False
        self._next, self._chunks = plan.first, 0
        lanes = [asyncio.create_task(self._lane(plan, job)) for _ in range(plan.window)]
        try:
            await workflow.wait_condition(lambda: self._woken or self._stopping or all(lane.done() for lane in lanes))
        finally:
            self._stopping = True
            for lane in lanes:
                lane.cancel()
            await workflow.wait_condition(lambda: all(lane.done() for lane in lanes))
        for lane in lanes:
            if not lane.cancelled() and (error := lane.exception()) and not _was_stopped(error):
                raise error

    async def _lane(self, plan: JobPlan, job: JobRef) -> None:
        try:
            while self._next <= plan.last and not self._is_over(plan):
                first = self._next
                self._next += self._chunk_size(plan)
                self._chunks += 1
                await self._look_up_chunk(plan, job, first, min(self._next - 1, plan.last))
        except BaseException:
            self._stopping = True
            raise

    async def _look_up_chunk(self, plan: JobPlan, job: JobRef, first: int, last: int) -> None:
        """The waterfall: each provider in turn gets what the ones before could not fill."""
        for provider in plan.providers:
            is_last = provider == plan.providers[-1]
            done = await self._look_up(Lookup(job.workspace_id, job.job_id, provider, first, last, is_last))
            # A lookup that ended well although it was cancelled must not be followed by another.
            if done.open_records == 0 or self._stopping:
                break

    async def _look_up(self, lookup: Lookup) -> LookupDone:
        """One provider's turn with a chunk, which takes as long as the provider works out answers."""
        while True:
            done: LookupDone = await workflow.execute_activity_method(
                EnrichmentActivities.lookup,
                lookup,
                summary=f"{lookup.provider} · rows {lookup.first}–{lookup.last}",
                **options.provider(lookup.provider),
            )
            if done.pending_seconds is None or self._stopping:
                return done
            await workflow.sleep(done.pending_seconds, summary=f"{lookup.provider} works out answers")

    def _chunk_size(self, plan: JobPlan) -> int:
        """The lanes begin with chunks of different sizes: were they all to end in the same moment, the providers would
        idle while the next lookups start. At the end they get smaller, for no lane to work on long after the others."""
        share = min(self._chunks + 1, plan.window)
        size = -(-plan.chunk * share // plan.window)
        if plan.smallest_chunk is None:
            return size
        left = plan.last - self._next + 1
        return min(size, max(plan.smallest_chunk, -(-left // plan.window)))

    def _is_over(self, plan: JobPlan) -> bool:
        return self._stopping or self._chunks >= plan.chunks_per_run or workflow.info().is_continue_as_new_suggested()

    async def _settle(self, command: Settle) -> Settled:
        self._over = True
        settled: Settled = await workflow.execute_activity_method(
            EnrichmentActivities.settle, command, summary="settle", **options.database()
        )
        workflow.upsert_search_attributes([OUTCOME.value_set(settled.status)])
        self._show(settled.standings)
        return settled

    async def _watch_waits(self, job: JobRef) -> None:
        """Show whom the job waits for whenever that changed, until it is being settled: what is shown last is how it
        ended."""
        next_look = workflow.now()
        while True:
            await workflow.wait_condition(lambda: self._waits_changed or self._over)
            if not self._over and (early := next_look - workflow.now()) > timedelta():
                with suppress(TimeoutError):
                    await workflow.wait_condition(lambda: self._over, timeout=early)
            if self._over:
                return
            self._waits_changed = False
            waits: Waits = await workflow.execute_activity_method(
                EnrichmentActivities.waits, job, summary="waits", **options.database()
            )
            next_look = workflow.now() + _BETWEEN_LOOKS
            if not self._over:
                self._show(waits.standings)
            # Outages without end would fill the history of a run that does not end meanwhile.
            if workflow.info().is_continue_as_new_suggested():
                self._woken = True

    def _show(self, standings: tuple[Standing, ...]) -> None:
        if standings:
            workflow.set_current_details(_details(standings, workflow.now()))
        waiting_for = tuple(each.provider for each in standings if each.waiting_until)
        if waiting_for != self._waiting_for:
            self._waiting_for = waiting_for
            workflow.upsert_search_attributes(
                [PROVIDER.value_set(waiting_for) if waiting_for else PROVIDER.value_unset()]
            )


def _details(standings: tuple[Standing, ...], now: datetime) -> str:
    """Markdown for people. It is of one moment, and says of which."""
    rows = (f"| {each.provider} | {each.calls} | {each.found} | {each.waiting_until or ''} |" for each in standings)
    lines = [f"At {now:%H:%M:%S} UTC:", "", "| provider | calls | found | waiting until |", "|---|---|---|---|", *rows]
    if any(each.waiting_until for each in standings):
        lines += ["", "It is asked again every 30 seconds at the most; the pending activities say when next."]
    return "\n".join(lines)


def _was_stopped(error: BaseException) -> bool:
    """Whether a lookup ended because we cancelled it. What it would have been retried for is final by then: the server
    retries nothing whose cancellation was requested."""
    if not isinstance(error, ActivityError):
        return is_cancelled_exception(error)
    return not (isinstance(error.cause, ApplicationError) and error.cause.non_retryable)
