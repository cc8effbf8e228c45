"""Charged credits in batches, as they are reported to the payment provider's meter."""

import sqlalchemy as sa
from alembic import op

revision = "billing_usage"
down_revision = "billing"
branch_labels = None
depends_on = None

OWN_WORKSPACE = "(SELECT nullif(current_setting('holdfast.workspace_id', true), '')::uuid)"


def upgrade() -> None:
    op.create_table(
        "billing_usage_batches",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("after_seq", sa.BigInteger(), nullable=False),
        sa.Column("through_seq", sa.BigInteger(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempted_at", sa.DateTime(timezone=True)),
        sa.Column("reported_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint("reported_at IS NULL OR error IS NULL", name=op.f("ck_billing_usage_batches_outcome")),
        sa.CheckConstraint("credits > 0 AND through_seq > after_seq", name=op.f("ck_billing_usage_batches_range")),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["billing_customers.workspace_id"],
            name=op.f("fk_billing_usage_batches_billing_customers"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_billing_usage_batches")),
        sa.UniqueConstraint("workspace_id", "after_seq", name=op.f("uq_billing_usage_batches_workspace_id_after_seq")),
    )
    op.create_index(
        "ix_billing_usage_batches_unreported",
        "billing_usage_batches",
        ["workspace_id", "used_at"],
        postgresql_where=sa.text("reported_at IS NULL AND error IS NULL"),
    )
    op.execute("ALTER TABLE billing_usage_batches ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE billing_usage_batches FORCE ROW LEVEL SECURITY")
    op.execute("CREATE POLICY owner ON billing_usage_batches TO CURRENT_USER USING (true) WITH CHECK (true)")
    op.execute("GRANT SELECT, INSERT, UPDATE ON billing_usage_batches TO holdfast_app")
    op.execute(
        "CREATE POLICY own_workspace ON billing_usage_batches TO holdfast_app"
        f" USING (workspace_id = {OWN_WORKSPACE}) WITH CHECK (workspace_id = {OWN_WORKSPACE})"
    )
    op.execute("GRANT SELECT ON billing_usage_batches TO holdfast_platform")
    op.execute("CREATE POLICY platform ON billing_usage_batches TO holdfast_platform USING (true) WITH CHECK (true)")


def downgrade() -> None:
    op.drop_table("billing_usage_batches")
