"""How often each provider fills each field."""

import sqlalchemy as sa
from alembic import op

revision = "provider_hit_rates"
down_revision = "waterfall"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "provider_hit_rates",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("asked", sa.BigInteger(), nullable=False),
        sa.Column("filled", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("filled BETWEEN 0 AND asked", name=op.f("ck_provider_hit_rates_filled")),
        sa.PrimaryKeyConstraint("provider", "entity", "field", name=op.f("pk_provider_hit_rates")),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON provider_hit_rates TO holdfast_app")


def downgrade() -> None:
    op.drop_table("provider_hit_rates")
