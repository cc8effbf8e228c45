"""Pending, verified and reused answers; claims on subjects that are being asked about; a limit for each record."""

import sqlalchemy as sa
from alembic import op

revision = "waterfall"
down_revision = "audit_log_index"
branch_labels = None
depends_on = None

OWN_WORKSPACE = "(SELECT nullif(current_setting('holdfast.workspace_id', true), '')::uuid)"
FINAL = "'found', 'missed', 'unreachable', 'skipped_outage', 'gave_up', 'rejected', 'malformed', 'budget'"


def upgrade() -> None:
    op.add_column("enrichment_jobs", sa.Column("max_credits_per_record", sa.BigInteger()))
    op.add_column(
        "enrichment_job_providers", sa.Column("verifies", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("enrichment_job_providers", sa.Column("reused", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("enrichment_answers", sa.Column("handle", sa.Text()))
    op.add_column("enrichment_answers", sa.Column("poll_at", sa.DateTime(timezone=True)))
    op.add_column("enrichment_answers", sa.Column("reused_at", sa.DateTime(timezone=True)))
    op.add_column("enrichment_answers", sa.Column("run_id", sa.Uuid()))
    # It said so in the place of a reason.
    op.execute("UPDATE enrichment_answers SET reused_at = answered_at, reason = NULL WHERE reason = 'reused'")
    _outcomes(f"{FINAL}, 'retrying', 'pending', 'unverified'")
    op.create_index(
        "ix_enrichment_records_subjects",
        "enrichment_records",
        ["workspace_id", "subject_key"],
        postgresql_where=sa.text("leader = position"),
    )
    op.create_table(
        "enrichment_claims",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("subject_key", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "provider", "subject_key", name=op.f("pk_enrichment_claims")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "job_id"],
            ["enrichment_jobs.workspace_id", "enrichment_jobs.id"],
            name=op.f("fk_enrichment_claims_enrichment_jobs"),
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_enrichment_claims_job_id", "enrichment_claims", ["job_id", "provider", "position"])
    op.execute("ALTER TABLE enrichment_claims ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE enrichment_claims FORCE ROW LEVEL SECURITY")
    op.execute("CREATE POLICY owner ON enrichment_claims TO CURRENT_USER USING (true) WITH CHECK (true)")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON enrichment_claims TO holdfast_app")
    op.execute(
        f"CREATE POLICY own_workspace ON enrichment_claims TO holdfast_app"
        f" USING (workspace_id = {OWN_WORKSPACE}) WITH CHECK (workspace_id = {OWN_WORKSPACE})"
    )


def downgrade() -> None:
    op.drop_table("enrichment_claims")
    op.drop_index("ix_enrichment_records_subjects", "enrichment_records")
    # What is not final is asked again; of what was found but not verified the address is as good as before.
    op.execute("UPDATE enrichment_answers SET outcome = 'retrying', found = NULL WHERE outcome = 'pending'")
    op.execute("UPDATE enrichment_answers SET outcome = 'found' WHERE outcome = 'unverified'")
    op.execute("UPDATE enrichment_answers SET reason = 'reused' WHERE reused_at IS NOT NULL AND outcome = 'found'")
    _outcomes(f"{FINAL}, 'retrying'")
    for column in ("run_id", "reused_at", "poll_at", "handle"):
        op.drop_column("enrichment_answers", column)
    op.drop_column("enrichment_job_providers", "reused")
    op.drop_column("enrichment_job_providers", "verifies")
    op.drop_column("enrichment_jobs", "max_credits_per_record")


def _outcomes(names: str) -> None:
    op.drop_constraint(op.f("ck_enrichment_answers_outcome"), "enrichment_answers")
    op.create_check_constraint(op.f("ck_enrichment_answers_outcome"), "enrichment_answers", f"outcome IN ({names})")
