"""What a request for a job comes to: whom it asks for what, and its rows in the stage. A job is made of that, or a
quote."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice
from uuid import UUID

from app.credentials import service as credentials
from app.db import Session
from app.enrichment import hit_rates_repository as hit_rates
from app.enrichment import submit_repository as repository
from app.enrichment.intake import InputRow, Intake
from app.enrichment.options import Choice, JobOptions, choose, with_defaults
from app.enrichment.submit_repository import Staged
from app.errors import Detail, InvalidRequest
from app.providers.ports import Offer

# Rows that are parsed, normalised and sent to PostgreSQL at a time: what a submission holds in memory.
_BATCH = 1000
# Rows that are made sooner than a thread is woken.
_FEW = 20
# Invalid rows that a strict request is told about.
_REFUSALS_TOLD = 100


async def choice(
    session: Session,
    workspace_id: UUID,
    options: JobOptions,
    offers: Mapping[str, Offer],
    default_providers: Sequence[str] | None,
    *,
    within: str = "",
) -> Choice:
    """What the options come to in this workspace, of the installation's `offers`; `default_providers` are whom the
    workspace wants asked where the options do not say it, None: all there are.

    Raises InvalidRequest for options that cannot be had; `within` is put before their paths.
    """
    own_offers = await credentials.offers_to(session, workspace_id, offers)
    options = with_defaults(options, own_offers, default_providers)
    rates = await hit_rates.hit_rates(session, options.entity) if options.auto else None
    return choose(options, own_offers, rates, within=within)


async def stage(session: Session, intake: Intake, *, strict: bool) -> Staged:
    """Put the rows of the request into the stage, where they are to the end of the transaction.

    Raises InvalidRequest for rows that are wrong as a whole: the same key twice, an invalid row where `strict`.
    """
    invalid: list[InputRow] = []
    await repository.create_stage(session)
    rows = await repository.stage(session, _blocks(intake, invalid))
    staged = await repository.staged(session, rows)
    _refuse_same_keys(staged, intake)
    if strict and invalid:
        raise _refusal(intake, staged, invalid)
    return staged


async def _blocks(intake: Intake, invalid: list[InputRow]) -> AsyncIterator[bytes]:
    """The rows, made in a thread where they are many, as blocks for COPY; the first invalid ones are collected on the
    way."""
    rows = intake.rows()

    def next_block() -> bytes:
        batch = list(islice(rows, _BATCH))
        room = _REFUSALS_TOLD - len(invalid)
        invalid.extend(islice((row for row in batch if row.error), room))
        return repository.encode(batch)

    if intake.total <= _FEW:
        yield next_block()
        return
    while block := await asyncio.to_thread(next_block):
        yield block


def _refuse_same_keys(staged: Staged, intake: Intake) -> None:
    if staged.duplicates:
        places = [(intake.place_of_key(first), intake.place_of_key(second)) for first, second in staged.duplicates]
        details = [Detail(second, f"This is the key of {first} already.") for first, second in places]
        raise InvalidRequest(f"Keys must be unique: {' and '.join(places[0])} are the same.", details=details)


def _refusal(intake: Intake, staged: Staged, invalid: Sequence[InputRow]) -> InvalidRequest:
    details = [Detail(intake.place(row.position, row.error.field), row.error.message) for row in invalid if row.error]
    return InvalidRequest(
        f"{staged.invalid} of {staged.total} records cannot be looked up, and the request is strict.", details=details
    )
