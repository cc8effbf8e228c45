"""Share circuits between processes: their state, their probe, and the hand of the operator."""

revision = "shared_circuits"
down_revision = "tenants"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
