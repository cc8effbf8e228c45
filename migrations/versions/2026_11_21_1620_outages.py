"""Keep outages, what waits in them, and the events that tell of them."""

revision = "outages"
down_revision = "provider_quotas"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
