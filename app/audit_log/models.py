"""The table of the audit log: appended to in the transaction of the change, never rewritten."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.db import metadata

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    # UUIDv7: in order of time.
    Column("id", Uuid, nullable=False),
    Column("actor_type", Text, nullable=False),
    Column("actor_id", Uuid),
    Column("action", Text, nullable=False),
    Column("target_type", Text, nullable=False),
    Column("target_id", Text, nullable=False),
    # Without secrets.
    Column("before", JSONB),
    Column("after", JSONB),
    # Of the client, and the request as logs know it.
    Column("address", Text),
    Column("request_id", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("workspace_id", "id"),
    # For the filters of the list, which is in order of id: without one, a rare value is looked for in everybody's rows.
    Index(None, "workspace_id", "target_id", "id"),
    Index(None, "workspace_id", "actor_id", "id"),
    Index(None, "workspace_id", "action", "id"),
    CheckConstraint("actor_type IN ('user', 'api_key', 'superadmin', 'system')", name="actor_type"),
)
