"""The audit finds what was tampered with, and counts."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.credentials.opening import Opener
from app.db import Sessions, create_engine
from app.enrichment.audit import answered_subjects, audit
from app.enrichment.lookup import look_up
from app.enrichment.places import Places
from app.enrichment.settle import settle
from app.settings import DatabaseSettings, EnrichmentSettings
from tests.api import owner_sessions
from tests.builders import make_job, make_workspace
from tests.fakes import FakeSource, misses
from tests.servers import Database
from workflows.contracts.enrichment import Lookup

SETTINGS = EnrichmentSettings()


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Sessions]:
    """Who may tamper with everything."""
    async with owner_sessions(database) as sessions:
        yield sessions


@pytest.fixture
async def sessions(database: Database) -> AsyncIterator[Sessions]:
    """The role of the API, which sees one workspace."""
    engine = create_engine(SecretStr(database.app_url), DatabaseSettings(), application="test")
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
async def workspace(owner: Sessions, sessions: Sessions) -> UUID:
    """A workspace with one finished job: ten records, ten results of two credits."""
    workspace_id = await make_workspace(owner, credit=100)
    job_id = await run_job(sessions, workspace_id, FakeSource(), [f"company-{n}.com" for n in range(10)])
    await settle(sessions, workspace_id, job_id, interrupted="")
    return workspace_id


async def run_job(sessions: Sessions, workspace_id: UUID, source: FakeSource, domains: list[str]) -> UUID:
    job_id = await make_job(sessions, workspace_id, domains, [source])
    command = Lookup(str(workspace_id), str(job_id), source.name, 1, len(domains), is_last=True)
    await look_up(
        sessions,
        {source.name: source},
        command,
        SETTINGS,
        opener=Opener({}),
        places=Places(100, 4, shared_calls=100),
        stopping=lambda: False,
    )
    return job_id


async def test_a_finished_job_adds_up(sessions: Sessions, workspace: UUID):
    figures = await audit(sessions, workspace)
    assert figures.violations == []
    assert (figures.records_in, figures.records_out, figures.lost, figures.doubled) == (10, 10, 0, 0)
    assert (figures.found, figures.charges, figures.found_credits, figures.charged_credits) == (10, 10, 20, 20)
    assert (figures.balance, figures.entries_balance, figures.held, figures.entries_held) == (80, 80, 0, 0)
    assert figures.lots == 80


async def test_what_is_under_way_is_not_lost(sessions: Sessions, workspace: UUID):
    await make_job(sessions, workspace, ["later-1.com", "later-2.com"], [FakeSource()])
    figures = await audit(sessions, workspace)
    assert (figures.jobs, figures.unfinished_jobs) == (2, 1)
    assert (figures.records_in, figures.records_out, figures.records_pending, figures.lost) == (12, 10, 2, 0)
    assert figures.violations == []


async def test_records_of_the_same_subject_share_a_charge(sessions: Sessions, workspace: UUID):
    await run_job(sessions, workspace, FakeSource("beta"), ["same.com", "same.com", "same.com"])
    figures = await audit(sessions, workspace)
    assert (figures.records_out, figures.charges, figures.doubled) == (13, 11, 0)


async def test_other_workspaces_are_not_counted(owner: Sessions, sessions: Sessions, workspace: UUID):
    figures = await audit(sessions, await make_workspace(owner, credit=7))
    assert (figures.jobs, figures.records_in, figures.charges, figures.balance) == (0, 0, 0, 7)
    assert (await audit(sessions, workspace)).balance == 80


async def test_misses_are_answers_too(sessions: Sessions, workspace: UUID):
    await run_job(sessions, workspace, FakeSource("beta", misses), ["unknown.com"])
    answered = await answered_subjects(sessions, workspace)
    assert answered["beta"] == {"domain:unknown.com"}
    assert len(answered["alpha"]) == 10


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        (
            "UPDATE credit_accounts SET balance = balance + 1",
            {"the balance is not the sum of its entries (1)", "what is left of grants is not the balance (1)"},
        ),
        ("UPDATE credit_lots SET remaining = remaining - 1", {"what is left of grants is not the balance (1)"}),
        (
            "UPDATE credit_entries SET balance_after = balance_after + 1 WHERE reference_id LIKE '%:1:%'",
            {"an entry does not follow from the one before (2)"},
        ),
        (
            "DELETE FROM credit_entries WHERE kind = 'charge' AND reference_id LIKE '%:1:%'",
            {
                "the balance is not the sum of its entries (1)",
                "an entry does not follow from the one before (1)",
                "an answer that costs has no charge (1)",
            },
        ),
        (
            "DELETE FROM enrichment_answers WHERE position > 7",
            {"a charge has no result (3)", "what a job charged is not the sum of its results (1)"},
        ),
        (
            """
            INSERT INTO credit_entries (workspace_id, id, kind, amount, held_amount, balance_after, held_after, reason,
                                        reference_type, reference_id, business_key)
            SELECT workspace_id, gen_random_uuid(), kind, 0, 0, balance_after, held_after, reason,
                   reference_type, reference_id, 'charge again'
            FROM credit_entries WHERE kind = 'charge' AND reference_id LIKE '%:1:%'
            """,
            {
                "something is charged twice (1)",
                "a charge has no result (1)",
                "an entry does not follow from the one before (1)",
            },
        ),
        (
            "DELETE FROM enrichment_records WHERE position = 3",
            {
                "the records of a job are not as many as it was given (1)",
                "the counts of a job do not match its records (1)",
            },
        ),
        (
            "UPDATE enrichment_records SET status = 'pending' WHERE position = 3",
            {"a record of a finished job has no end (1)", "the counts of a job do not match its records (1)"},
        ),
        (
            "UPDATE credit_accounts SET held = 5",
            {
                "the balance is not the sum of its entries (1)",
                "what is held is not what unfinished jobs hold (1)",
            },
        ),
    ],
)
async def test_what_was_tampered_with_is_found(
    owner: Sessions, sessions: Sessions, workspace: UUID, tampering: str, found: set[str]
):
    async with owner.for_workspace(workspace) as session:
        assert (await session.execute(text(tampering))).rowcount
    assert set((await audit(sessions, workspace)).violations) == found


@pytest.mark.parametrize(
    ("tampering", "lost", "doubled"),
    [
        ("DELETE FROM enrichment_records WHERE position = 3", 1, 0),
        ("UPDATE enrichment_records SET status = 'pending' WHERE position > 8", 2, 0),
        ("UPDATE enrichment_records SET subject_key = 'domain:company-0.com' WHERE position < 4", 0, 2),
    ],
)
async def test_what_is_lost_or_doubled_is_counted(
    owner: Sessions, sessions: Sessions, workspace: UUID, tampering: str, lost: int, doubled: int
):
    async with owner.for_workspace(workspace) as session:
        await session.execute(text(tampering))
    figures = await audit(sessions, workspace)
    assert (figures.lost, figures.doubled) == (lost, doubled)
