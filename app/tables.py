"""Every table of every domain, for the migrations and for the checks that walk the schema."""

from app.auth.models import api_keys
from app.credits.models import credit_accounts, credit_entries
from app.db import metadata
from app.enrichment.models import (
    enrichment_answers,
    enrichment_job_providers,
    enrichment_jobs,
    enrichment_records,
    enrichment_reservations,
)
from app.idempotency.models import idempotency_keys
from app.outbox.models import outbox_commands
from app.providers.models import provider_health
from app.workspaces.models import workspaces

TABLES = (
    workspaces,
    api_keys,
    credit_accounts,
    credit_entries,
    idempotency_keys,
    outbox_commands,
    provider_health,
    enrichment_jobs,
    enrichment_job_providers,
    enrichment_records,
    enrichment_answers,
    enrichment_reservations,
)

__all__ = ["TABLES", "metadata"]
