"""The plan that a workspace has; what it allows stands in the file of plans."""

import sqlalchemy as sa
from alembic import op

revision = "plan_limits"
down_revision = "billing_usage"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workspaces", sa.Column("plan", sa.Text()))


def downgrade() -> None:
    op.drop_column("workspaces", "plan")
