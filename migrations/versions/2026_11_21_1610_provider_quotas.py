"""Lease quotas of providers in blocks, for all processes together."""

revision = "provider_quotas"
down_revision = "shared_circuits"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
