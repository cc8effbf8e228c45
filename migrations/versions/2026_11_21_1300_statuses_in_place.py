"""Let the status of a record change in place: no index holds it, and its page has room for the new version."""

import sqlalchemy as sa
from alembic import op

revision = "statuses_in_place"
down_revision = "first_slice"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_enrichment_records_pending", table_name="enrichment_records")
    op.execute("ALTER TABLE enrichment_records SET (fillfactor = 70)")


def downgrade() -> None:
    op.execute("ALTER TABLE enrichment_records RESET (fillfactor)")
    op.create_index(
        "ix_enrichment_records_pending",
        "enrichment_records",
        ["job_id", "position"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
