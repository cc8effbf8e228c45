"""What the plan of a workspace allows it."""

revision = "plan_limits"
down_revision = "billing"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
