"""The result of a job as a stream: CSV or JSON lines, in input order, whatever its size in little memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Literal, TypeAlias
from uuid import UUID

import orjson

from app.db import Sessions
from app.enrichment import csv_output
from app.enrichment.repository import Job
from app.enrichment.service import Record, get_job, read_records
from app.enrichment.traces import ERASED
from app.providers.ports import JsonValue

ExportFormat: TypeAlias = Literal["csv", "jsonl"]

_BATCH = 1000


async def export(sessions: Sessions, workspace_id: UUID, job_id: UUID, format_: ExportFormat) -> AsyncIterator[bytes]:
    """What is known of the job's records, as blocks of text: their own columns, the wanted fields, the status.

    A field whose name the input has too becomes ``enriched_<field>``; the status of a record that was erased is that.
    The blocks are read as they are asked for, each in a transaction of its own. Raises NotFound at once; Unavailable
    between blocks.
    """
    job = await get_job(sessions, workspace_id, job_id)
    return _blocks(sessions, workspace_id, job, format_)


async def _blocks(sessions: Sessions, workspace_id: UUID, job: Job, format_: ExportFormat) -> AsyncIterator[bytes]:
    names = csv_output.column_names(job.columns, [*job.fields, "status"])
    if format_ == "csv":
        yield csv_output.lines([names]).encode()
    after = 0
    while True:
        async with sessions.for_workspace(workspace_id) as session:
            records = await read_records(session, job, after=after, limit=_BATCH)
        if not records:
            return
        after = records[-1].position
        yield await asyncio.to_thread(_block, job, names, records, format_)


def _block(job: Job, names: Sequence[str], records: Sequence[Record], format_: ExportFormat) -> bytes:
    rows = [_row(job, record) for record in records]
    if format_ == "csv":
        return csv_output.lines(rows).encode()
    return b"".join(orjson.dumps(dict(zip(names, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _row(job: Job, record: Record) -> list[JsonValue]:
    own = [record.input.get(column) for column in job.columns]
    found = [record.fields[field].value if field in record.fields else None for field in job.fields]
    return [*own, *found, ERASED if record.reason == ERASED else record.status]
