"""Starting a job: its rows, the command that starts its workflow and its hold, in one transaction.

A new request and a retry of an older job differ only in where their rows come from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.audit_log import service as audit_log
from app.auth.permissions import Caller
from app.credentials import service as credentials
from app.credits import service as credits
from app.credits.errors import InsufficientCredits
from app.db import Session, Sessions, new_id
from app.enrichment import letters, staging
from app.enrichment import repository as jobs
from app.enrichment import submit_repository as repository
from app.enrichment.errors import JobNotFinished, NothingToRetry
from app.enrichment.intake import Intake
from app.enrichment.options import Choice, JobOptions, choose
from app.enrichment.repository import Job
from app.enrichment.start import start_job
from app.enrichment.submit_repository import Staged
from app.errors import NotFound
from app.idempotency import service as idempotency
from app.idempotency.answers import Once, Remembered
from app.plan_limits import service as plan_limits
from app.plan_limits.limits import LimitsByPlan
from app.providers.ports import SUBJECT_KEYS, Offer
from app.settings import EnrichmentSettings
from app.workspaces import service as workspaces


@dataclass(frozen=True, slots=True)
class Door:
    """What is the same for every submission of a request: who sent it, the shape of jobs, and how it is answered.

    `answer` is what the caller is told of the new job; it is remembered under `once`.
    """

    caller: Caller
    settings: EnrichmentSettings
    answer: Callable[[Job], Remembered]
    once: Once | None = None
    # Below how many available credits the workspace is told.
    low_threshold: int = 0
    # Whom the workspace wants asked where a job does not say it; None: all there are.
    default_providers: Sequence[str] | None = None
    # Those of the plans that are sold here. What was accepted once may be tried again under another plan.
    plan_limits: LimitsByPlan | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to the request. `replayed`: an earlier one with the same key had it, and nothing was started."""

    answer: Remembered
    replayed: bool


async def submit(
    sessions: Sessions,
    door: Door,
    intake: Intake,
    options: JobOptions,
    offers: Mapping[str, Offer],
    *,
    within: str = "",
) -> Submitted:
    """Start a job of these rows, with providers from the installation's `offers`; `within` is put before the paths of
    options that are wrong.

    Raises InvalidRequest for options that cannot be had, and for rows that are wrong as a whole (the same key twice; an
    invalid row where options.strict), PlanLimitExceeded, InsufficientCredits, IdempotencyInProgress,
    IdempotencyKeyReused, Unavailable. Then nothing was stored.
    """
    async with sessions.for_workspace(door.caller.workspace_id) as session:
        if first := await _first_answer(session, door):
            return first
        workspace_id, defaults = door.caller.workspace_id, door.default_providers
        choice = await staging.choice(session, workspace_id, options, offers, defaults, within=within)
        await plan_limits.allow_records(session, workspace_id, door.plan_limits, intake.total)
        await _refuse_without_credits(session, door, intake, options, choice)
        staged = await staging.stage(session, intake, strict=options.strict)
        return await _start(session, door, staged, options, choice, columns=intake.columns, retry_of=None)


async def retry(sessions: Sessions, door: Door, job_id: UUID, offers: Mapping[str, Offer]) -> Submitted:
    """Start a new job of what failed or was skipped in this one: the same options, today's prices, its own hold.

    Raises NotFound, JobNotFinished, NothingToRetry, and what `submit` raises.
    """
    async with sessions.for_workspace(door.caller.workspace_id) as session:
        if first := await _first_answer(session, door):
            return first
        return await retry_in(session, door, job_id, offers)


async def retry_in(
    session: Session, door: Door, job_id: UUID, offers: Mapping[str, Offer], *, positions: Sequence[int] | None = None
) -> Submitted:
    """`retry` in the caller's transaction, of the records at these positions alone where they are given. Their dead
    letters are redriven.

    Raises NotFound, JobNotFinished, NothingToRetry, InsufficientCredits, NoSuchWorkspace.
    """
    job = await jobs.job(session, job_id)
    if job is None:
        raise NotFound("There is no such job.")
    if job.finished_at is None:
        raise JobNotFinished("The job has not ended: wait for its end, or cancel it, before you retry it.")
    offers = await credentials.offers_to(session, door.caller.workspace_id, offers)
    options = _options_of(job, offers)
    if not options.providers:
        raise NothingToRetry("None of the job's providers is available now.")
    await repository.create_stage(session)
    rows = await repository.stage_retry(session, job_id, positions)
    staged = await repository.staged(session, rows)
    if staged.total == 0:
        raise NothingToRetry("No record of the job failed or was skipped in a way that another try could change.")
    choice = choose(options, offers)
    return await _start(session, door, staged, options, choice, columns=job.columns, retry_of=job_id)


async def _first_answer(session: Session, door: Door) -> Submitted | None:
    if door.once is None:
        return None
    first = await idempotency.replay_or_begin(session, door.once)
    return Submitted(first, replayed=True) if first else None


async def _start(
    session: Session,
    door: Door,
    staged: Staged,
    options: JobOptions,
    choice: Choice,
    *,
    columns: Sequence[str],
    retry_of: UUID | None,
) -> Submitted:
    # The caller was let in before the rows were read: meanwhile the workspace may have been deleted.
    await workspaces.keep_open(session, door.caller.workspace_id)
    job_id = new_id()
    worst_case = choice.worst_case(staged.leaders)
    held = options.limited(worst_case)
    await repository.insert_job(
        session,
        door.caller.workspace_id,
        job_id,
        options=options,
        choice=choice,
        columns=columns,
        staged=staged,
        worst_case=worst_case,
        held=held,
        settings=door.settings,
        retry_of=retry_of,
    )
    if retry_of is not None:
        await repository.keep_answers(session, door.caller.workspace_id, job_id, retry_of=retry_of)
        await letters.tried_again(session, door.caller.workspace_id, job_id, retry_of=retry_of)
    await audit_log.record(
        session,
        door.caller.workspace_id,
        door.caller,
        "enrichment_job.retry" if retry_of else "enrichment_job.start",
        ("enrichment_job", str(job_id)),
        after={
            "retry_of": retry_of,
            "entity": options.entity,
            "fields": choice.fields,
            "providers": [offer.name for offer in choice.providers],
            "records": staged.total,
            "held": held,
        },
    )
    is_one = staged.total == 1 and staged.invalid == 0
    await start_job(
        session,
        door.caller.workspace_id,
        job_id,
        total=staged.total,
        only_ask=[offer.name for offer in choice.providers] if is_one else (),
    )
    answer = door.answer(await jobs.existing_job(session, job_id))
    if door.once:
        await idempotency.remember(session, door.once, answer)
    # Last: the balance row is locked for the shortest time, and too few credits roll everything back.
    await credits.hold(
        session,
        door.caller.workspace_id,
        held,
        key=f"hold:{job_id}",
        reason="the most that the job may cost",
        reference=("enrichment_job", str(job_id)),
        low_threshold=door.low_threshold,
    )
    return Submitted(answer, replayed=False)


async def _refuse_without_credits(
    session: Session, door: Door, intake: Intake, options: JobOptions, choice: Choice
) -> None:
    """A cheap look before the rows are read; what they cost exactly is known, and held, at the end."""
    most = options.limited(intake.total * choice.cost(SUBJECT_KEYS[choice.entity]))
    available = (await credits.balance(session, door.caller.workspace_id)).available
    if available < 0 or (available == 0 and most > 0):
        raise InsufficientCredits(most, available)


def _options_of(job: Job, offers: Mapping[str, Offer]) -> JobOptions:
    """The options of a job that was started before, with those of its providers that are available today."""
    return JobOptions(
        entity=job.entity,
        fields=job.fields,
        providers=[
            each.name
            for each in job.providers
            if not each.verifies and each.name in offers and offers[each.name].available
        ],
        on_outage=job.on_outage,
        max_wait_seconds=job.max_wait_seconds,
        max_credits=job.max_credits,
        min_confidence=job.min_confidence,
        reuse_within_seconds=job.reuse_within_seconds,
        max_credits_per_record=job.max_credits_per_record,
        verify_email=any(each.verifies for each in job.providers),
    )
