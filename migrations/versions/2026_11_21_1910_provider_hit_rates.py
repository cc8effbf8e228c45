"""How often each provider fills each field."""

revision = "provider_hit_rates"
down_revision = "waterfall"
branch_labels = None
depends_on = None


def upgrade() -> None: ...


def downgrade() -> None: ...
