"""What vendors answered, in their own words, and the erasures of a person or company."""

revision = "raw_answers"
down_revision = "provider_hit_rates"
branch_labels = None
depends_on = None


def upgrade() -> None: ...


def downgrade() -> None: ...
