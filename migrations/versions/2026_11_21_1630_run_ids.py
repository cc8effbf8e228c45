"""Keep the id of the workflow run that does a job: with it the job is found in Temporal."""

import sqlalchemy as sa
from alembic import op

revision = "run_ids"
down_revision = "outages"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # NULL of jobs that were planned before: their last run is found by the workflow's id.
    op.add_column("enrichment_jobs", sa.Column("run_id", sa.Uuid()))


def downgrade() -> None:
    op.drop_column("enrichment_jobs", "run_id")
