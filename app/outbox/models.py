"""The table of commands to Temporal that a transaction left behind."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.db import metadata

# Commands to one workflow go in order of id. A delivered command is deleted.
outbox_commands = Table(
    "outbox_commands",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("workflow_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    # A start says workflow, argument, summary and process; a signal says its name.
    Column("body", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Column("claimed_by", Uuid),
    Column("claimed_until", DateTime(timezone=True)),
    # Refused for longer than HOLDFAST_OUTBOX__DEAD_AFTER_SECONDS: kept for people, not sent any more.
    Column("dead_at", DateTime(timezone=True)),
    Index(None, "workflow_id", "id"),
    Index(None, "due_at"),
)
