"""The tables of outages: of the installation, and of what waits in them of each workspace."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.db import metadata

provider_outages = Table(
    "provider_outages",
    metadata,
    # UUIDv7: in order of time.
    Column("id", Uuid, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    # Of what opened it, see CircuitChange.
    Column("cause", JSONB, nullable=False, server_default="{}"),
    Column("probes", Integer, nullable=False, server_default="0"),
    Column("closed_at", DateTime(timezone=True)),
    # When it was closed and nothing waited in it any more.
    Column("drained_at", DateTime(timezone=True)),
    CheckConstraint("closed_at >= opened_at", name="closed"),
    CheckConstraint("drained_at IS NULL OR closed_at IS NOT NULL", name="drained"),
    Index("ix_provider_outages_provider_id", "provider", "id"),
    # At most one is open, however many processes tell of it.
    Index("uq_provider_outages_open", "provider", unique=True, postgresql_where=text("closed_at IS NULL")),
    Index("ix_provider_outages_undrained", "provider", postgresql_where=text("drained_at IS NULL")),
)

# What waits in an outage: `reference_id` of a `process`, as a job of the process "enrichment".
outage_waits = Table(
    "outage_waits",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("outage_id", Uuid, ForeignKey("provider_outages.id", ondelete="CASCADE"), nullable=False),
    Column("process", Text, nullable=False),
    Column("reference_id", Uuid, nullable=False),
    # As they were when it last parked.
    Column("records", BigInteger, nullable=False),
    Column("credits_held", BigInteger, nullable=False),
    # The same of the park with which most waited.
    Column("most_records", BigInteger, nullable=False),
    Column("most_credits_held", BigInteger, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True)),
    # Whether the workspace was told of the outage's end.
    Column("told", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("workspace_id", "reference_id", "process", "outage_id"),
    Index(None, "outage_id"),
)
