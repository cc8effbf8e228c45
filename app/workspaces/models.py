"""The tables of workspaces."""

from sqlalchemy import Column, DateTime, Table, Text, Uuid, func

from app.db import metadata

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
