"""What vendors answered, in their own words, and the erasures of a person or company."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "raw_answers"
down_revision = "provider_hit_rates"
branch_labels = None
depends_on = None

OWN_WORKSPACE = "(SELECT nullif(current_setting('holdfast.workspace_id', true), '')::uuid)"

# Table → what holdfast_app may do to rows of the transaction's workspace, and holdfast_platform to all: delete what was
# kept long enough, and find erasures that went silent, not whom they are about.
TENANT_TABLES = {
    "enrichment_raw_answers": ("SELECT, INSERT, UPDATE, DELETE", "SELECT (workspace_id, id, created_at), DELETE"),
    "enrichment_erasures": (
        "SELECT, INSERT, UPDATE",
        "SELECT (workspace_id, id, alive_at, finished_at), UPDATE (alive_at)",
    ),
}


def upgrade() -> None:
    _raw_answers()
    _erasures()
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
    # What was told is rewritten for this alone.
    op.execute("GRANT UPDATE (data) ON events TO holdfast_app")


def downgrade() -> None:
    op.execute("REVOKE UPDATE (data) ON events FROM holdfast_app")
    op.drop_table("enrichment_erasures")
    op.drop_table("enrichment_raw_answers")


def _raw_answers() -> None:
    op.create_table(
        "enrichment_raw_answers",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("oversized", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_enrichment_raw_answers")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "job_id"],
            ["enrichment_jobs.workspace_id", "enrichment_jobs.id"],
            name=op.f("fk_enrichment_raw_answers_enrichment_jobs"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(op.f("ix_enrichment_raw_answers_job_id_first"), "enrichment_raw_answers", ["job_id", "first"])
    op.create_index(op.f("ix_enrichment_raw_answers_created_at"), "enrichment_raw_answers", ["created_at"])
    # Compressed already.
    op.execute("ALTER TABLE enrichment_raw_answers ALTER COLUMN body SET STORAGE EXTERNAL")


def _erasures() -> None:
    op.create_table(
        "enrichment_erasures",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("inputs", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("results", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("raw_answers", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reuse", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("events", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("remembered_answers", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("receivers_answers", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("dead_letters", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("running_jobs", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
        sa.Column("requested_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("alive_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_enrichment_erasures")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_enrichment_erasures_workspaces"), ondelete="CASCADE"
        ),
        sa.CheckConstraint("kind IN ('email', 'domain')", name=op.f("ck_enrichment_erasures_kind")),
        sa.CheckConstraint(
            "(subject IS NULL) = (finished_at IS NOT NULL)", name=op.f("ck_enrichment_erasures_subject")
        ),
    )
    op.create_index(
        "ix_enrichment_erasures_unfinished",
        "enrichment_erasures",
        ["alive_at"],
        postgresql_where=sa.text("finished_at IS NULL"),
    )
