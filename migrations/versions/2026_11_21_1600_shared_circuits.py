"""Share circuits between processes: their state, their probe, and the hand of the operator."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "shared_circuits"
down_revision = "tenants"
branch_labels = None
depends_on = None


def _columns() -> list["sa.Column[Any]"]:
    return [
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("cause", JSONB(), server_default="{}", nullable=False),
        sa.Column("probes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("probe_by", sa.Uuid()),
        sa.Column("probe_until", sa.DateTime(timezone=True)),
        sa.Column("forced", sa.Text()),
        sa.Column("disabled", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("hand_reason", sa.Text()),
        sa.Column("hand_at", sa.DateTime(timezone=True)),
        sa.Column("announced", sa.Boolean(), server_default="true", nullable=False),
    ]


def upgrade() -> None:
    for column in _columns():
        op.add_column("provider_health", column)
    op.execute("UPDATE provider_health SET changed_at = coalesce(opened_at, updated_at)")
    op.create_check_constraint("forced", "provider_health", "forced = 'open'")


def downgrade() -> None:
    for column in _columns():
        op.drop_column("provider_health", column.name)
