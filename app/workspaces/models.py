"""The tables of workspaces."""

from sqlalchemy import Column, DateTime, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

from app.db import metadata

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("settings", JSONB, nullable=False, server_default="{}"),
    # By its name; NULL: the free one. What it allows stands in the file of plans.
    Column("plan", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # From then on nobody gets in; CloseWorkspace ends what runs, and says when nothing was left of it.
    Column("deleted_at", DateTime(timezone=True)),
    Column("closed_at", DateTime(timezone=True)),
    # When the reconciler last asked Temporal how the closing goes on.
    Column("closing_checked_at", DateTime(timezone=True)),
)
