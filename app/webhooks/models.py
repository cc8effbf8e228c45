"""The table of events: what a workspace is told of, stored with the fact itself."""

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.db import metadata

events = Table(
    "events",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    # UUIDv7, or derived from what names the fact.
    Column("id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    # Of the shape of `data`.
    Column("version", SmallInteger, nullable=False, server_default="1"),
    Column("data", JSONB, nullable=False),
    # Of one transaction too, they are in the order in which they were told.
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    PrimaryKeyConstraint("workspace_id", "id"),
    # For the sweep.
    Index(None, "created_at"),
)
