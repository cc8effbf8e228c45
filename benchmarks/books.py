"""Whether all adds up after what was done to a job: the audit of its workspace, held against the sandbox's bills."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from pydantic import SecretStr

from app.cli.auditor import bill
from app.db import Sessions, create_engine
from app.enrichment.audit import answered_subjects, audit
from app.settings import Settings
from benchmarks.rig import Rig


@dataclass(frozen=True, slots=True)
class Books:
    """Of one workspace: `lost` counts records without an end and things bought without an answer, `doubled` charges
    for what was charged before, `again` what the providers billed more than once: our cost, charged to nobody."""

    lost: int
    doubled: int
    again: int
    violations: list[str]


async def books(rig: Rig, records: int, billed: Mapping[str, Mapping[str, int]]) -> Books:
    """The books of the rig's workspace, which has submitted so many records in all; `billed` is what the sandbox
    charged for them, by provider and key."""
    settings = Settings(database_url=SecretStr(rig.state.database_url))
    engine = create_engine(settings.database_url, settings.database, application="benchmark")
    try:
        sessions, workspace_id = Sessions(engine), UUID(rig.workspace_id)
        figures = await audit(sessions, workspace_id)
        bills = bill(billed, await answered_subjects(sessions, workspace_id))
    finally:
        await engine.dispose()
    return Books(records - figures.records_out + bills.lost, figures.doubled, bills.again, figures.violations)
