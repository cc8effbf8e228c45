"""Enrichment over HTTP."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, ValidationError

from app.auth.dependencies import caller
from app.auth.permissions import Caller
from app.credits.errors import InsufficientCredits
from app.deps import (
    BODY_ERRORS,
    UPLOAD_LIMIT_BYTES,
    OffersDep,
    Resources,
    SessionsDep,
    SettingsDep,
    body_stream,
    details_of,
    media_type,
    read_json,
    request_schema,
)
from app.enrichment import progress, service, submit, uploads
from app.enrichment.csv_input import CsvIntake
from app.enrichment.errors import JobCancelling, JobFinished, JobNotFinished, NothingToRetry
from app.enrichment.export import ExportFormat, export
from app.enrichment.intake import RecordsIntake
from app.enrichment.options import choose
from app.enrichment.progress import Watches
from app.enrichment.repository import Job, JobFilter, JobStatus, RecordStatus
from app.enrichment.schemas import JobCursor, JobIn, JobOut, RecordCursor, RecordOut, UploadOptionsIn
from app.enrichment.submit import Door, Once, Submitted
from app.envelope import Envelope, ListEnvelope, envelope, errors, list_envelope
from app.errors import AppError, Detail, InvalidRequest
from app.idempotency import headers as idempotency
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey
from app.idempotency.repository import Remembered, Scope
from app.idempotency.service import fingerprint
from app.pagination import CursorText, Limit, Page, page_of
from app.settings import Settings

router = APIRouter(prefix="/workspaces/{workspace_id}/enrichment/jobs", tags=["Enrichment"])
