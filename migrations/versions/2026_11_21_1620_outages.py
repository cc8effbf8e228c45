"""Keep outages, what waits in them, and the events that tell of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "outages"
down_revision = "provider_quotas"
branch_labels = None
depends_on = None

OWN_WORKSPACE = "(SELECT nullif(current_setting('holdfast.workspace_id', true), '')::uuid)"

# Table → what holdfast_app may do to rows of the transaction's workspace, and holdfast_platform to all. What was told
# is never rewritten.
TENANT_TABLES = {
    "outage_waits": ("SELECT, INSERT, UPDATE", "SELECT, UPDATE"),
    "events": ("SELECT, INSERT", "SELECT, INSERT, DELETE"),
}

# For the platform's staff, whoever the caller says that it is: what waits, and waited, in each outage, of all tenants.
OUTAGE_TOTALS = """
CREATE FUNCTION outage_totals(superadmin uuid, outages uuid[])
RETURNS TABLE (outage_id uuid, workspaces bigint, jobs bigint, records bigint, credits_held bigint,
               all_workspaces bigint, all_jobs bigint, all_records bigint, all_credits_held bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.outage_id, count(DISTINCT w.workspace_id) FILTER (WHERE w.ended_at IS NULL),
           count(*) FILTER (WHERE w.ended_at IS NULL),
           coalesce(sum(w.records) FILTER (WHERE w.ended_at IS NULL), 0)::bigint,
           coalesce(sum(w.credits_held) FILTER (WHERE w.ended_at IS NULL), 0)::bigint,
           count(DISTINCT w.workspace_id), count(*), sum(w.records)::bigint, sum(w.credits_held)::bigint
    FROM public.outage_waits AS w
    WHERE w.outage_id = ANY (outages)
      AND EXISTS (SELECT FROM public.users AS u WHERE u.id = superadmin AND u.is_superadmin)
    GROUP BY w.outage_id
$$
"""


def upgrade() -> None:
    _outages()
    _events()
    _policies()
    # Since when the job waits for this provider: until now that was the moment from which its waiting counts.
    op.add_column("enrichment_job_providers", sa.Column("parked_since", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE enrichment_job_providers SET parked_since = waiting_since WHERE waiting_since IS NOT NULL")


def _outages() -> None:
    op.create_table(
        "provider_outages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cause", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("probes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("drained_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("closed_at >= opened_at", name=op.f("ck_provider_outages_closed")),
        sa.CheckConstraint("drained_at IS NULL OR closed_at IS NOT NULL", name=op.f("ck_provider_outages_drained")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_outages")),
    )
    op.create_index("ix_provider_outages_provider_id", "provider_outages", ["provider", "id"])
    op.create_index(
        "uq_provider_outages_open",
        "provider_outages",
        ["provider"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index(
        "ix_provider_outages_undrained",
        "provider_outages",
        ["provider"],
        postgresql_where=sa.text("drained_at IS NULL"),
    )
    op.create_table(
        "outage_waits",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("outage_id", sa.Uuid(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("reference_id", sa.Uuid(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("credits_held", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_outage_waits_workspaces"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["outage_id"], ["provider_outages.id"], name=op.f("fk_outage_waits_provider_outages"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "reference_id", "process", "outage_id", name=op.f("pk_outage_waits")),
    )
    op.create_index("ix_outage_waits_outage_id", "outage_waits", ["outage_id"])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("version", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_events_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_created_at", "events", ["created_at"])


def _policies() -> None:
    # They belong to the installation. What waits holds the row while it joins, which takes a right to change something.
    op.execute("GRANT SELECT, UPDATE (probes) ON provider_outages TO holdfast_app")
    op.execute("GRANT SELECT, INSERT, UPDATE ON provider_outages TO holdfast_platform")
    for table, (own, all_tenants) in TENANT_TABLES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")
        op.execute(f"GRANT {own} ON {table} TO holdfast_app")
        op.execute(
            f"CREATE POLICY own_workspace ON {table} TO holdfast_app"
            f" USING (workspace_id = {OWN_WORKSPACE}) WITH CHECK (workspace_id = {OWN_WORKSPACE})"
        )
        op.execute(f"GRANT {all_tenants} ON {table} TO holdfast_platform")
        op.execute(f"CREATE POLICY platform ON {table} TO holdfast_platform USING (true) WITH CHECK (true)")
    op.execute(OUTAGE_TOTALS)
    op.execute("REVOKE EXECUTE ON FUNCTION outage_totals(uuid, uuid[]) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION outage_totals(uuid, uuid[]) TO holdfast_app")


def downgrade() -> None:
    op.drop_column("enrichment_job_providers", "parked_since")
    op.execute("DROP FUNCTION outage_totals(uuid, uuid[])")
    op.drop_table("events")
    op.drop_table("outage_waits")
    op.drop_table("provider_outages")
