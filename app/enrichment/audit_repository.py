"""The SQL of the audit: figures counted from the rows themselves, and checks of which every row is a violation."""

from dataclasses import dataclass

from sqlalchemy import text

from app.credits.audit_repository import Difference
from app.db import Session


@dataclass(frozen=True, slots=True)
class Audit:
    """What the rows of one workspace say at one moment.

    `records_in` is what its jobs were given; of these `records_out` have an end, `records_pending` belong to a job
    that still runs, and the rest is `lost`. `found` are results that cost something, `charges` the entries that
    charge for them, `doubled` those charges that are not the first for the same subject of a job. `entries_balance`
    and `entries_held` are sums over the ledger, `lots` is what is left of grants. `waited_seconds` is how long jobs
    waited for providers that were away, each counted by itself. `violations` has a line for each rule that does not
    hold: none, as long as all is well.
    """

    jobs: int
    unfinished_jobs: int
    records_in: int
    records_out: int
    records_pending: int
    lost: int
    found: int
    found_credits: int
    charges: int
    charged_credits: int
    doubled: int
    balance: int
    held: int
    entries_balance: int
    entries_held: int
    lots: int
    waited_seconds: float
    violations: list[str]


# Each is right at any moment, also while jobs run: what belongs together is written in one transaction. These hold the
# ledger against what was done for it.
_CHARGE_CHECKS = """
    SELECT 'uncharged_result' AS rule, 'an answer that costs has no charge' AS problem FROM enrichment_answers AS a
    WHERE credits > 0 AND NOT EXISTS (
        SELECT FROM credit_entries AS e
        WHERE e.business_key = format('charge:%s:%s:%s', a.job_id, a.position, a.provider) AND e.amount = -a.credits)
    UNION ALL
    SELECT 'charge_without_result', 'a charge has no result' FROM credit_entries AS e
    WHERE kind = 'charge' AND NOT EXISTS (
        SELECT FROM enrichment_answers AS a WHERE a.credits > 0
        AND e.business_key = format('charge:%s:%s:%s', a.job_id, a.position, a.provider))
    UNION ALL
    SELECT 'charged_twice', 'something is charged twice' FROM bought WHERE charges > 1
    UNION ALL
    SELECT 'held', 'what is held is not what unfinished jobs hold' FROM credit_accounts AS a
    WHERE held <> (SELECT coalesce(sum(j.held - j.charged), 0) FROM enrichment_jobs AS j
                   WHERE j.workspace_id = a.workspace_id AND j.finished_at IS NULL)
"""
_JOB_CHECKS = """
    SELECT 'the records of a job are not as many as it was given' AS problem FROM enrichment_jobs AS j
    WHERE total <> (SELECT count(*) FROM enrichment_records AS r WHERE r.job_id = j.id)
    UNION ALL
    SELECT 'the counts of a job do not match its records' FROM enrichment_jobs AS j
    WHERE (matched, partial, not_found, failed, cancelled) <> (
        SELECT count(*) FILTER (WHERE r.status = 'matched'), count(*) FILTER (WHERE r.status = 'partial'),
               count(*) FILTER (WHERE r.status = 'not_found'), count(*) FILTER (WHERE r.status = 'failed'),
               count(*) FILTER (WHERE r.status = 'cancelled')
        FROM enrichment_records AS r WHERE r.job_id = j.id)
    UNION ALL
    SELECT 'what a job charged is not the sum of its results' FROM enrichment_jobs AS j
    WHERE charged <> (SELECT coalesce(sum(credits), 0) FROM enrichment_answers AS a WHERE a.job_id = j.id)
    UNION ALL
    SELECT 'a record of a finished job has no end' FROM enrichment_jobs AS j
    WHERE finished_at IS NOT NULL
      AND EXISTS (SELECT FROM enrichment_records AS r WHERE r.job_id = j.id AND r.status = 'pending')
"""
# What can be bought once in a job is not a record but a subject: by that, and by what a charge refers to rather than by
# its unique key, doubles are counted. Of a subject that was erased there is but the record.
_BOUGHT = """
    SELECT count(*) AS charges
    FROM credit_entries AS e
         JOIN enrichment_answers AS a ON e.reference_id = format('%s:%s:%s', a.job_id, a.position, a.provider)
         JOIN enrichment_records AS r ON (r.job_id, r.position) = (a.job_id, a.position)
    WHERE e.kind = 'charge'
    GROUP BY a.job_id, coalesce(r.subject_key, r.position::text), a.provider
"""
_DIFFERENCES = text(f"""
    WITH bought AS ({_BOUGHT}), problems AS ({_CHARGE_CHECKS})
    SELECT rule, problem, count(*) AS count FROM problems GROUP BY rule, problem ORDER BY rule
""")
# One statement, so that all of it is said of one moment.
_AUDIT = text(f"""
    WITH bought AS ({_BOUGHT}), jobs AS (
        SELECT count(*) AS jobs, count(*) FILTER (WHERE finished_at IS NULL) AS unfinished_jobs,
               coalesce(sum(total), 0)::bigint AS records_in
        FROM enrichment_jobs
    ), records AS (
        SELECT count(*) FILTER (WHERE r.status <> 'pending') AS records_out,
               count(*) FILTER (WHERE r.status = 'pending' AND j.finished_at IS NULL) AS records_pending
        FROM enrichment_records AS r JOIN enrichment_jobs AS j ON j.id = r.job_id
    ), results AS (
        SELECT count(*) AS found, coalesce(sum(credits), 0)::bigint AS found_credits
        FROM enrichment_answers WHERE credits > 0
    ), entries AS (
        SELECT count(*) FILTER (WHERE kind = 'charge') AS charges,
               coalesce(-sum(amount) FILTER (WHERE kind = 'charge'), 0)::bigint AS charged_credits,
               coalesce(sum(amount), 0)::bigint AS entries_balance,
               coalesce(sum(held_amount), 0)::bigint AS entries_held
        FROM credit_entries
    ), accounts AS (
        SELECT coalesce(sum(balance), 0)::bigint AS balance, coalesce(sum(held), 0)::bigint AS held FROM credit_accounts
    ), grants AS (
        SELECT coalesce(sum(remaining), 0)::bigint AS lots FROM credit_lots
    ), waits AS (
        SELECT coalesce(sum(waited_seconds + coalesce(extract(epoch FROM now() - waiting_since), 0)), 0)::float8
               AS waited_seconds
        FROM enrichment_job_providers
    ), problems AS ({_JOB_CHECKS})
    SELECT jobs.*, records.*, records_in - records_out - records_pending AS lost, results.*, entries.*, accounts.*,
           grants.*, waits.*, (SELECT coalesce(sum(charges - 1), 0)::bigint FROM bought) AS doubled,
           ARRAY(SELECT format('%s (%s)', problem, count(*)) FROM problems GROUP BY problem ORDER BY problem)
           AS violations
    FROM jobs, records, results, entries, accounts, grants, waits
""")
_NO_NESTED_LOOPS = text("SET LOCAL enable_nestloop = off")
_ANSWERED = text("""
    SELECT DISTINCT a.provider, r.subject_key
    FROM enrichment_answers AS a JOIN enrichment_records AS r ON (r.job_id, r.position) = (a.job_id, a.position)
    WHERE a.outcome NOT IN ('retrying', 'pending')
""")


async def audit(session: Session) -> Audit:
    """Of the session's workspace; the violations are those of jobs, without what their ledger says."""
    # Tables that were filled a moment ago have no statistics yet: the planner believes them empty, and would compare
    # each answer with each entry.
    await session.execute(_NO_NESTED_LOOPS)
    return Audit(**(await session.execute(_AUDIT)).mappings().one())


async def differences(session: Session) -> list[Difference]:
    """Where the ledger contradicts the jobs and answers of the session's workspace."""
    await session.execute(_NO_NESTED_LOOPS)
    return [Difference(**row) for row in (await session.execute(_DIFFERENCES)).mappings()]


async def answered_subjects(session: Session) -> list[tuple[str, str]]:
    """(provider, subject key) of every answer, also that nothing was found, in the session's workspace."""
    return [(provider, subject_key) for provider, subject_key in await session.execute(_ANSWERED)]
