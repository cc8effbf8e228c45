"""Every table of every domain, for the migrations and for the checks that walk the schema."""

from app.accounts.models import attempts, one_time_tokens, user_sessions, users
from app.audit_log.models import audit_entries
from app.auth.models import api_keys
from app.billing.models import (
    billing_customers,
    billing_drift,
    billing_events,
    billing_grants,
    billing_invoices,
    billing_pages,
    billing_reconciliations,
    billing_subscriptions,
    billing_syncs,
    billing_usage_batches,
)
from app.credentials.models import provider_credentials
from app.credits.models import credit_accounts, credit_entries, credit_lots
from app.db import metadata
from app.deadletters.models import dead_letter_redrive_items, dead_letter_redrives, dead_letters
from app.enrichment.models import (
    enrichment_answers,
    enrichment_claims,
    enrichment_erasures,
    enrichment_job_providers,
    enrichment_jobs,
    enrichment_raw_answers,
    enrichment_records,
    enrichment_reservations,
    provider_hit_rates,
)
from app.idempotency.models import idempotency_keys
from app.outages.models import outage_waits, provider_outages
from app.outbox.models import outbox_commands
from app.providers.models import provider_health, provider_quota_windows, provider_quotas, provider_ramps
from app.team.models import invitations, memberships
from app.webhooks.models import (
    events,
    webhook_attempts,
    webhook_deliveries,
    webhook_endpoints,
    webhook_secrets,
)
from app.workspaces.models import workspaces

TABLES = (
    users,
    user_sessions,
    one_time_tokens,
    attempts,
    workspaces,
    memberships,
    invitations,
    audit_entries,
    provider_credentials,
    api_keys,
    credit_accounts,
    credit_entries,
    credit_lots,
    idempotency_keys,
    outbox_commands,
    provider_health,
    provider_quotas,
    provider_quota_windows,
    provider_ramps,
    provider_outages,
    outage_waits,
    events,
    webhook_endpoints,
    webhook_secrets,
    webhook_deliveries,
    webhook_attempts,
    enrichment_jobs,
    enrichment_job_providers,
    enrichment_records,
    enrichment_answers,
    enrichment_reservations,
    enrichment_claims,
    enrichment_raw_answers,
    enrichment_erasures,
    provider_hit_rates,
    dead_letters,
    dead_letter_redrives,
    dead_letter_redrive_items,
    billing_customers,
    billing_subscriptions,
    billing_invoices,
    billing_grants,
    billing_events,
    billing_pages,
    billing_reconciliations,
    billing_syncs,
    billing_drift,
    billing_usage_batches,
)

__all__ = ["TABLES", "metadata"]
