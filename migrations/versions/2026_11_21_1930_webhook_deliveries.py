"""Where events go, and what came of each attempt."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "webhook_deliveries"
down_revision = "raw_answers"
branch_labels = None
depends_on = None

OWN_WORKSPACE = "(SELECT nullif(current_setting('holdfast.workspace_id', true), '')::uuid)"

# Table → what holdfast_app may do to rows of the transaction's workspace, and holdfast_platform to all: fan out the
# events that it tells, find whom to wake, and wrap secrets with another key, without a look at what is told where.
TENANT_TABLES = {
    "webhook_endpoints": (
        "SELECT, INSERT, UPDATE, DELETE",
        (
            "SELECT (workspace_id, id, enabled, event_types, paused_until, watched_until, woken_at, checked_at),"
            " UPDATE (woken_at, checked_at)"
        ),
    ),
    "webhook_secrets": (
        "SELECT, INSERT, UPDATE, DELETE",
        "SELECT (workspace_id, endpoint_id, id, kind, key_id, wrapped_key), UPDATE (key_id, wrapped_key)",
    ),
    "webhook_deliveries": (
        "SELECT, INSERT, UPDATE",
        "SELECT (workspace_id, id, endpoint_id, event_id, state, next_attempt_at, claimed_at), INSERT",
    ),
    "webhook_attempts": ("SELECT, INSERT, UPDATE (answer)", None),
}


def upgrade() -> None:
    op.create_index(op.f("ix_events_workspace_id_created_at_id"), "events", ["workspace_id", "created_at", "id"])
    _endpoints()
    _secrets()
    _deliveries()
    _attempts()
    for table, (own, all_tenants) in TENANT_TABLES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")
        op.execute(f"GRANT {own} ON {table} TO holdfast_app")
        op.execute(
            f"CREATE POLICY own_workspace ON {table} TO holdfast_app"
            f" USING (workspace_id = {OWN_WORKSPACE}) WITH CHECK (workspace_id = {OWN_WORKSPACE})"
        )
        if all_tenants is not None:
            op.execute(f"GRANT {all_tenants} ON {table} TO holdfast_platform")
            op.execute(f"CREATE POLICY platform ON {table} TO holdfast_platform USING (true) WITH CHECK (true)")


def downgrade() -> None:
    op.drop_table("webhook_attempts")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_secrets")
    op.drop_table("webhook_endpoints")
    op.drop_index(op.f("ix_events_workspace_id_created_at_id"), "events")


def _endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event_types", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("header_names", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("disabled_reason", sa.Text()),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.Column("owners_told_at", sa.DateTime(timezone=True)),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True)),
        sa.Column("paused_until", sa.DateTime(timezone=True)),
        sa.Column("watched_until", sa.DateTime(timezone=True)),
        sa.Column("woken_at", sa.DateTime(timezone=True)),
        sa.Column("checked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.Uuid()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_webhook_endpoints")),
        sa.UniqueConstraint("id", name=op.f("uq_webhook_endpoints_id")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_webhook_endpoints_workspaces"), ondelete="CASCADE"
        ),
        sa.CheckConstraint(
            "disabled_reason IN ('by_hand', 'gone', 'failing')", name=op.f("ck_webhook_endpoints_disabled_reason")
        ),
        sa.CheckConstraint("enabled = (disabled_reason IS NULL)", name=op.f("ck_webhook_endpoints_enabled")),
    )


def _secrets() -> None:
    op.create_table(
        "webhook_secrets",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "endpoint_id", "id", name=op.f("pk_webhook_secrets")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "endpoint_id"],
            ["webhook_endpoints.workspace_id", "webhook_endpoints.id"],
            name=op.f("fk_webhook_secrets_webhook_endpoints"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("kind IN ('signing', 'headers')", name=op.f("ck_webhook_secrets_kind")),
        sa.CheckConstraint("kind = 'signing' OR expires_at IS NULL", name=op.f("ck_webhook_secrets_expires")),
    )
    op.create_index(
        "uq_webhook_secrets_current",
        "webhook_secrets",
        ["workspace_id", "endpoint_id", "kind"],
        unique=True,
        postgresql_where=sa.text("expires_at IS NULL"),
    )


def _deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()")),
        sa.Column("claimed_at", sa.DateTime(timezone=True)),
        sa.Column("redelivered_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.Text()),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint(
            "workspace_id",
            "event_id",
            "endpoint_id",
            name=op.f("uq_webhook_deliveries_workspace_id_event_id_endpoint_id"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "event_id"],
            ["events.workspace_id", "events.id"],
            name=op.f("fk_webhook_deliveries_events"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "endpoint_id"],
            ["webhook_endpoints.workspace_id", "webhook_endpoints.id"],
            name=op.f("fk_webhook_deliveries_webhook_endpoints"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_deliveries_state")),
        sa.CheckConstraint(
            "(state = 'pending') = (next_attempt_at IS NOT NULL)", name=op.f("ck_webhook_deliveries_pending")
        ),
        sa.CheckConstraint("(state = 'pending') = (ended_at IS NULL)", name=op.f("ck_webhook_deliveries_ended")),
    )
    op.create_index(
        op.f("ix_webhook_deliveries_workspace_id_endpoint_id_id"),
        "webhook_deliveries",
        ["workspace_id", "endpoint_id", "id"],
    )
    op.create_index(
        "ix_webhook_deliveries_failed",
        "webhook_deliveries",
        ["workspace_id", "endpoint_id", "id"],
        postgresql_where=sa.text("state = 'failed'"),
    )
    op.create_index(
        "ix_webhook_deliveries_pending",
        "webhook_deliveries",
        ["endpoint_id", "next_attempt_at"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_webhook_deliveries_unclaimed",
        "webhook_deliveries",
        ["endpoint_id"],
        postgresql_where=sa.text("state = 'pending' AND claimed_at IS NULL"),
    )


def _attempts() -> None:
    op.create_table(
        "webhook_attempts",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("status", sa.SmallInteger()),
        sa.Column("error", sa.Text()),
        sa.Column("answer", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "delivery_id", "id", name=op.f("pk_webhook_attempts")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "delivery_id"],
            ["webhook_deliveries.workspace_id", "webhook_deliveries.id"],
            name=op.f("fk_webhook_attempts_webhook_deliveries"),
            ondelete="CASCADE",
        ),
    )
