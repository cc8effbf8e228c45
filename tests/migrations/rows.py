"""A row of every table, for the tests that walk the schema."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert

from app.db import new_id
from app.tables import metadata


def rows_of(workspace_id: UUID) -> dict[str, dict[str, Any]]:
    """One row for each table, by its name: of this workspace, with keys that nobody else has."""
    job_id = new_id()
    outage_id = new_id()
    letter_id, redrive_id = new_id(), new_id()
    reconciliation_id, sync_id = new_id(), new_id()
    event_id, endpoint_id, delivery_id = new_id(), new_id(), new_id()
    mine = {"workspace_id": workspace_id}
    of_job = {**mine, "job_id": job_id}
    of_user = {"user_id": job_id}
    later = datetime.now(UTC) + timedelta(days=1)
    return {
        "workspaces": {"id": workspace_id, "name": "Acme"},
        "users": {"id": job_id, "email": f"{job_id}@example.com", "name": "Ann"},
        "user_sessions": {**of_user, "id": new_id(), "token_hash": job_id.bytes, "expires_at": later},
        "one_time_tokens": {
            **of_user,
            "id": new_id(),
            "purpose": "magic_link",
            "token_hash": job_id.bytes,
            "expires_at": later,
        },
        "memberships": {**mine, **of_user, "role": "owner"},
        "invitations": {
            **mine,
            "id": new_id(),
            "email": "bob@example.com",
            "role": "member",
            "token_hash": job_id.bytes,
            "expires_at": later,
        },
        "attempts": {"key": job_id.bytes},
        "audit_entries": {
            **mine,
            "id": new_id(),
            "actor_type": "system",
            "action": "workspace.create",
            "target_type": "workspace",
            "target_id": str(workspace_id),
        },
        "provider_credentials": {
            **mine,
            "provider": "hunter",
            "key_id": "1",
            "wrapped_key": b"wrapped",
            "ciphertext": b"sealed",
            "hint": "abcd",
        },
        "credit_lots": {**mine, "id": new_id(), "granted": 10, "remaining": 10},
        "provider_health": {"provider": f"provider-{job_id}", "circuit": "closed"},
        "provider_quotas": {"provider": f"provider-{job_id}", "credential": str(workspace_id)},
        "provider_quota_windows": {
            "provider": f"provider-{job_id}",
            "credential": str(workspace_id),
            "seconds": 60,
            "newest": 1,
            "leased": [0] * 51,
        },
        "provider_ramps": {"provider": f"provider-{job_id}", "closed_at": datetime.now(UTC), "leased": 1},
        "provider_hit_rates": {
            "provider": f"provider-{job_id}",
            "entity": "company",
            "field": "name",
            "asked": 10,
            "filled": 5,
        },
        "provider_outages": {"id": outage_id, "provider": f"provider-{job_id}", "opened_at": datetime.now(UTC)},
        "outage_waits": {
            **mine,
            "outage_id": outage_id,
            "process": "enrichment",
            "reference_id": job_id,
            "records": 1,
            "credits_held": 2,
            "most_records": 1,
            "most_credits_held": 2,
        },
        "events": {**mine, "id": event_id, "type": "credits.low", "data": {"available": 10}},
        "webhook_endpoints": {
            **mine,
            "id": endpoint_id,
            "url": "https://example.com/hook",
            "event_types": ["credits.low"],
        },
        "webhook_secrets": {
            **mine,
            "endpoint_id": endpoint_id,
            "id": new_id(),
            "kind": "signing",
            "key_id": "1",
            "wrapped_key": b"wrapped",
            "ciphertext": b"sealed",
        },
        "webhook_deliveries": {**mine, "id": delivery_id, "endpoint_id": endpoint_id, "event_id": event_id},
        "webhook_attempts": {
            **mine,
            "delivery_id": delivery_id,
            "id": new_id(),
            "started_at": datetime.now(UTC),
            "milliseconds": 20,
            "status": 200,
        },
        "api_keys": {
            **mine,
            "id": new_id(),
            "name": "Test",
            "prefix": "hf",
            "last_four": "abcd",
            "secret_hash": job_id.bytes,
            "scopes": ["enrichment:read"],
        },
        "credit_accounts": {**mine, "balance": 10, "held": 0},
        "credit_entries": {
            **mine,
            "id": new_id(),
            "kind": "grant",
            "amount": 10,
            "held_amount": 0,
            "balance_after": 10,
            "held_after": 0,
            "reason": "test",
            "reference_type": "test",
            "reference_id": "test",
            "business_key": f"grant:{job_id}",
        },
        "idempotency_keys": {
            **mine,
            "caller_id": new_id(),
            "route": "POST jobs",
            "key": "key",
            "fingerprint": b"fingerprint",
            "status": 202,
            "headers": {},
            "data": {},
        },
        "outbox_commands": {**mine, "workflow_id": f"enrichment-{job_id}", "kind": "signal", "body": {"name": "wake"}},
        "enrichment_jobs": {
            **mine,
            "id": job_id,
            "entity": "company",
            "columns": ["domain"],
            "fields": ["name"],
            "on_outage": "wait",
            "max_wait_seconds": 60,
            "min_confidence": 0.5,
            "reuse_within_seconds": 0,
            "chunk": 500,
            "window": 4,
            "total": 1,
            "held": 0,
            "worst_case": 2,
        },
        "enrichment_job_providers": {**of_job, "provider": "hunter", "position": 0, "credit_cost": 2},
        "enrichment_records": {
            **of_job,
            "position": 1,
            "key": "1",
            "input": {"domain": "example.com"},
            "subject": {"domain": "example.com"},
            "subject_key": "domain:example.com",
            "leader": 1,
        },
        "enrichment_answers": {
            **of_job,
            "position": 1,
            "provider": "hunter",
            "outcome": "found",
            "found": {"name": ["Example", 1.0]},
            "credits": 2,
            "answered_at": datetime.now(UTC),
        },
        "enrichment_reservations": {**of_job, "provider": "hunter", "first": 1, "credits": 2},
        "enrichment_claims": {
            **of_job,
            "provider": "hunter",
            "subject_key": "domain:example.com",
            "position": 1,
            "until": later,
        },
        "enrichment_raw_answers": {
            **of_job,
            "id": new_id(),
            "provider": "hunter",
            "first": 1,
            "last": 1,
            "oversized": 0,
            "body": b"packed",
        },
        "dead_letters": {
            **mine,
            "id": letter_id,
            "process": "enrichment",
            "reference_id": f"{job_id}:1",
            "payload_id": f"{job_id}:1",
            "reason": "malformed",
            "message": "A provider's answer could not be read, twice.",
            "attempts": 1,
        },
        "dead_letter_redrives": {
            **mine,
            "id": redrive_id,
            "total": 1,
            "requested_by": new_id(),
            "by_key": True,
        },
        "dead_letter_redrive_items": {
            **mine,
            "redrive_id": redrive_id,
            "letter_id": letter_id,
            "process": "enrichment",
            "group_id": str(job_id),
        },
        "enrichment_erasures": {
            **mine,
            "id": new_id(),
            "kind": "email",
            "subject": "ann@example.com",
            "digest": job_id.bytes,
            "requested_by": new_id(),
        },
        "billing_customers": {**mine, "id": f"cus_{workspace_id}"},
        "billing_subscriptions": {
            **mine,
            "id": "sub_1",
            "status": "active",
            "price_id": "price_1",
            "quantity": 1,
            "period_start": later,
            "period_end": later,
            "cancel_at_period_end": False,
            "created_at": later,
        },
        "billing_invoices": {
            **mine,
            "id": "in_1",
            "status": "paid",
            "currency": "usd",
            "amount_due": 100,
            "amount_paid": 100,
            "amount_refunded": 0,
            "dispute": "none",
            "attempts": 1,
            "created_at": later,
        },
        "billing_grants": {**mine, "invoice_id": "in_1", "line_id": "il_1", "kind": "period", "credits": 10},
        "billing_events": {
            **mine,
            "id": f"evt_{workspace_id}",
            "type": "invoice.paid",
            "body": b"{}",
            "state": "pending",
            "created_at": later,
        },
        "billing_pages": {**mine, "id": new_id(), "kind": "portal", "return_url": "http://127.0.0.1"},
        "billing_reconciliations": {"id": reconciliation_id},
        "billing_syncs": {**mine, "id": sync_id, "reconciliation_id": reconciliation_id},
        "billing_drift": {
            **mine,
            "id": new_id(),
            "sync_id": sync_id,
            "what": "invoice",
            "reference": "in_1",
            "theirs": {"status": "paid"},
            "action": "added",
        },
        "billing_usage_batches": {**mine, "id": new_id(), "after_seq": 0, "through_seq": 1, "credits": 5},
    }


def insert_rows(connection: Connection, workspace_id: UUID) -> None:
    """Put a row into every table. Raises KeyError with the name of a table that has none here."""
    rows = rows_of(workspace_id)
    for table in metadata.sorted_tables:
        connection.execute(insert(table).values(rows[table.name]))
