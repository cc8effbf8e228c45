"""Workspaces, keys, credits, outbox, provider health and enrichment, with row-level security from the start."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "first_slice"
down_revision = None
branch_labels = None
depends_on = None

# Rows of a tenant: the runtime role sees those of the workspace that its transaction was opened for.
# nullif: after a SET LOCAL ended, the setting is '' on that connection, not NULL.
OWN_WORKSPACE = "(SELECT nullif(current_setting('holdfast.workspace_id', true), '')::uuid)"

# Table → what holdfast_app may do. Entries of the ledger and answers bought are never deleted by it.
TENANT_TABLES = {
    "api_keys": "SELECT",
    "credit_accounts": "SELECT, INSERT, UPDATE",
    "credit_entries": "SELECT, INSERT",
    "idempotency_keys": "SELECT, INSERT, DELETE",
    "outbox_commands": "INSERT",
    "enrichment_jobs": "SELECT, INSERT, UPDATE",
    "enrichment_job_providers": "SELECT, INSERT, UPDATE",
    "enrichment_records": "SELECT, INSERT, UPDATE",
    "enrichment_answers": "SELECT, INSERT, UPDATE",
    "enrichment_reservations": "SELECT, INSERT, UPDATE, DELETE",
}

# Table → what the relay and the sweeps may do in every workspace.
PLATFORM_TABLES = {
    "outbox_commands": "SELECT, INSERT, UPDATE, DELETE",
    "enrichment_jobs": "SELECT, UPDATE",
    "idempotency_keys": "SELECT, DELETE",
}

# Before a workspace is known the API asks this function, and nothing else.
RESOLVE_API_KEY = """
CREATE FUNCTION resolve_api_key(hash bytea)
RETURNS TABLE (api_key_id uuid, workspace_id uuid, scopes text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.id, k.workspace_id, k.scopes
    FROM public.api_keys AS k
    WHERE k.secret_hash = hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
$$
"""


def upgrade() -> None:
    op.create_table(
        "provider_health",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("circuit", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opens_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("success_rate", sa.Float(), nullable=True),
        sa.Column("p95_seconds", sa.Float(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("circuit IN ('closed', 'open', 'half_open')", name=op.f("ck_provider_health_circuit")),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_provider_health")),
    )
    op.create_table(
        "workspaces",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("last_four", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_api_keys_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_keys_secret_hash")),
        sa.UniqueConstraint("workspace_id", "id", name=op.f("uq_api_keys_workspace_id_id")),
    )
    op.create_table(
        "credit_accounts",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("held >= 0", name=op.f("ck_credit_accounts_held_not_negative")),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_credit_accounts_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_credit_accounts")),
    )
    op.create_table(
        "enrichment_jobs",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("retry_of", sa.Uuid(), nullable=True),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column("desired_state", sa.Text(), server_default="running", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("columns", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("fields", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("on_outage", sa.Text(), nullable=False),
        sa.Column("max_wait_seconds", sa.Float(), nullable=False),
        sa.Column("max_credits", sa.BigInteger(), nullable=True),
        sa.Column("min_confidence", sa.Float(), nullable=False),
        sa.Column("reuse_within_seconds", sa.Float(), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("window", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("matched", sa.Integer(), server_default="0", nullable=False),
        sa.Column("partial", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_found", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cancelled", sa.Integer(), server_default="0", nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("worst_case", sa.BigInteger(), nullable=False),
        sa.Column("charged", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("alive_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "desired_state IN ('running', 'paused', 'cancelled')",
            name=op.f("ck_enrichment_jobs_desired_state"),
        ),
        sa.CheckConstraint("on_outage IN ('wait', 'skip')", name=op.f("ck_enrichment_jobs_on_outage")),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'paused', 'completed', 'cancelled', 'failed')",
            name=op.f("ck_enrichment_jobs_status"),
        ),
        sa.CheckConstraint(
            "total >= matched + partial + not_found + failed + cancelled",
            name=op.f("ck_enrichment_jobs_counts"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "retry_of"],
            ["enrichment_jobs.workspace_id", "enrichment_jobs.id"],
            name=op.f("fk_enrichment_jobs_enrichment_jobs"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_enrichment_jobs_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrichment_jobs")),
        sa.UniqueConstraint("workspace_id", "id", name=op.f("uq_enrichment_jobs_workspace_id_id")),
    )
    op.create_index(
        "ix_enrichment_jobs_unfinished",
        "enrichment_jobs",
        ["id"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("caller_id", sa.Uuid(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_idempotency_keys_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "caller_id", "route", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "outbox_commands",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("claimed_by", sa.Uuid(), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dead_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_outbox_commands_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_commands")),
    )
    op.create_index(op.f("ix_outbox_commands_due_at"), "outbox_commands", ["due_at"], unique=False)
    op.create_index(op.f("ix_outbox_commands_workflow_id_id"), "outbox_commands", ["workflow_id", "id"], unique=False)
    op.create_table(
        "credit_entries",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("held_amount", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("held_after", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("reference_type", sa.Text(), nullable=False),
        sa.Column("reference_id", sa.Text(), nullable=False),
        sa.Column("business_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('grant', 'hold', 'charge', 'release', 'refund', 'expiry', 'clawback')",
            name=op.f("ck_credit_entries_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["credit_accounts.workspace_id"],
            name=op.f("fk_credit_entries_credit_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "seq", name=op.f("pk_credit_entries")),
        sa.UniqueConstraint("workspace_id", "business_key", name=op.f("uq_credit_entries_workspace_id_business_key")),
    )
    op.create_table(
        "enrichment_answers",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("found", postgresql.JSONB(), nullable=True),
        sa.Column("credits", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('found', 'missed', 'unreachable', 'skipped_outage', 'gave_up', 'rejected', 'malformed',"
            " 'budget', 'retrying')",
            name=op.f("ck_enrichment_answers_outcome"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "job_id"],
            ["enrichment_jobs.workspace_id", "enrichment_jobs.id"],
            name=op.f("fk_enrichment_answers_enrichment_jobs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "position", "provider", name=op.f("pk_enrichment_answers")),
    )
    op.create_table(
        "enrichment_job_providers",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("credit_cost", sa.Integer(), nullable=False),
        sa.Column("calls", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("matches", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("errors", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waiting_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waited_seconds", sa.Float(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id", "job_id"],
            ["enrichment_jobs.workspace_id", "enrichment_jobs.id"],
            name=op.f("fk_enrichment_job_providers_enrichment_jobs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "provider", name=op.f("pk_enrichment_job_providers")),
    )
    op.create_table(
        "enrichment_records",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("input", postgresql.JSON(), nullable=False),
        sa.Column("subject", postgresql.JSON(), nullable=True),
        sa.Column("subject_key", sa.Text(), nullable=True),
        sa.Column("leader", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("error", postgresql.JSONB(), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'matched', 'partial', 'not_found', 'failed', 'cancelled')",
            name=op.f("ck_enrichment_records_status"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "job_id"],
            ["enrichment_jobs.workspace_id", "enrichment_jobs.id"],
            name=op.f("fk_enrichment_records_enrichment_jobs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("pk_enrichment_records")),
        sa.UniqueConstraint("job_id", "key", name=op.f("uq_enrichment_records_job_id_key")),
    )
    op.create_index(
        "ix_enrichment_records_followers",
        "enrichment_records",
        ["job_id", "leader"],
        unique=False,
        postgresql_where=sa.text("leader <> position"),
    )
    op.create_index(
        "ix_enrichment_records_pending",
        "enrichment_records",
        ["job_id", "position"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "enrichment_reservations",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "job_id"],
            ["enrichment_jobs.workspace_id", "enrichment_jobs.id"],
            name=op.f("fk_enrichment_reservations_enrichment_jobs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "provider", "first", name=op.f("pk_enrichment_reservations")),
    )
    _roles()
    _policies()


def _roles() -> None:
    for role in ("holdfast_app", "holdfast_platform"):
        op.execute(
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN"
            f" CREATE ROLE {role} NOLOGIN NOBYPASSRLS; END IF; END $$"
        )
        op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")


def _policies() -> None:
    for table, grants in TENANT_TABLES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"GRANT {grants} ON {table} TO holdfast_app")
        op.execute(
            f"CREATE POLICY own_workspace ON {table} TO holdfast_app"
            f" USING (workspace_id = {OWN_WORKSPACE}) WITH CHECK (workspace_id = {OWN_WORKSPACE})"
        )
        # The owner makes the first keys and grants, and looks after the tables: FORCE binds it too.
        op.execute(f"CREATE POLICY owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")
    op.execute("ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE workspaces FORCE ROW LEVEL SECURITY")
    op.execute("GRANT SELECT ON workspaces TO holdfast_app")
    op.execute(f"CREATE POLICY own_workspace ON workspaces TO holdfast_app USING (id = {OWN_WORKSPACE})")
    op.execute("CREATE POLICY owner ON workspaces TO CURRENT_USER USING (true) WITH CHECK (true)")
    for table, grants in PLATFORM_TABLES.items():
        op.execute(f"GRANT {grants} ON {table} TO holdfast_platform")
        op.execute(f"CREATE POLICY platform ON {table} TO holdfast_platform USING (true) WITH CHECK (true)")
    for role in ("holdfast_app", "holdfast_platform"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON provider_health TO {role}")
    op.execute(RESOLVE_API_KEY)
    op.execute("REVOKE EXECUTE ON FUNCTION resolve_api_key(bytea) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION resolve_api_key(bytea) TO holdfast_app")


def downgrade() -> None:
    # The roles stay: other databases of the cluster may use them.
    op.execute("DROP FUNCTION resolve_api_key(bytea)")
    op.drop_table("enrichment_reservations")
    op.drop_index(
        "ix_enrichment_records_pending",
        table_name="enrichment_records",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.drop_index(
        "ix_enrichment_records_followers",
        table_name="enrichment_records",
        postgresql_where=sa.text("leader <> position"),
    )
    op.drop_table("enrichment_records")
    op.drop_table("enrichment_job_providers")
    op.drop_table("enrichment_answers")
    op.drop_table("credit_entries")
    op.drop_index(op.f("ix_outbox_commands_workflow_id_id"), table_name="outbox_commands")
    op.drop_index(op.f("ix_outbox_commands_due_at"), table_name="outbox_commands")
    op.drop_table("outbox_commands")
    op.drop_index(op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index(
        "ix_enrichment_jobs_unfinished",
        table_name="enrichment_jobs",
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.drop_table("enrichment_jobs")
    op.drop_table("credit_accounts")
    op.drop_table("api_keys")
    op.drop_table("workspaces")
    op.drop_table("provider_health")
    for role in ("holdfast_app", "holdfast_platform"):
        op.execute(f"REVOKE USAGE ON SCHEMA public FROM {role}")
