"""The SQL of quotes: which answers about the staged records the workspace has."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text

from app.db import Session
from app.enrichment.reuse_repository import UNREACHABLE_SECONDS
from app.providers.ports import Entity

# As app/enrichment/reuse_repository.py finds them, for all providers and records at once.
_REUSABLE = text("""
    SELECT a.provider, count(DISTINCT s.subject_key) AS calls
    FROM (SELECT DISTINCT subject_key FROM staged_records WHERE subject_key IS NOT NULL) AS s
         JOIN enrichment_records AS e ON e.workspace_id = :workspace_id AND e.subject_key = s.subject_key
                                     AND e.leader = e.position
         JOIN enrichment_jobs AS j ON j.id = e.job_id AND j.entity = :entity
         JOIN enrichment_answers AS a ON a.job_id = e.job_id AND a.position = e.position
                                     AND a.outcome IN ('found', 'missed', 'unreachable')
                                     AND a.answered_at > now() - make_interval(secs => :within)
                                     AND (a.outcome <> 'unreachable'
                                          OR a.answered_at > now() - make_interval(secs => :unreachable))
         JOIN unnest(CAST(:providers AS text[]), CAST(:fields AS text[])) AS asked(provider, fields)
              ON asked.provider = a.provider AND j.fields @> string_to_array(asked.fields, ',')
    GROUP BY a.provider
""")


async def reusable(
    session: Session,
    workspace_id: UUID,
    entity: Entity,
    fields: Mapping[str, Sequence[str]],
    *,
    within_seconds: float,
) -> dict[str, int]:
    """By provider, for how many of the staged subjects the workspace has an answer that is young enough; `fields` are
    those that each provider is to be asked for."""
    rows = await session.execute(
        _REUSABLE,
        {
            "workspace_id": workspace_id,
            "entity": entity,
            "within": within_seconds,
            "unreachable": UNREACHABLE_SECONDS,
            "providers": list(fields),
            "fields": [",".join(names) for names in fields.values()],
        },
    )
    return {row.provider: row.calls for row in rows}
