"""Find closings of workspaces that Temporal lost; erase the credentials of those that were closed."""

import sqlalchemy as sa
from alembic import op

revision = "closings"
down_revision = "run_ids"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workspaces", sa.Column("closing_checked_at", sa.DateTime(timezone=True)))
    # From now on a closing does it.
    op.execute("""
        DELETE FROM provider_credentials AS c USING workspaces AS w
        WHERE w.id = c.workspace_id AND w.closed_at IS NOT NULL
    """)
    op.execute("GRANT UPDATE (closing_checked_at) ON workspaces TO holdfast_platform")


def downgrade() -> None:
    op.drop_column("workspaces", "closing_checked_at")
