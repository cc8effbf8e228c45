"""The table of provider health: what people see of circuits. It belongs to the installation, not to a workspace."""

from sqlalchemy import CheckConstraint, Column, DateTime, Float, Table, Text, func

from app.db import metadata

provider_health = Table(
    "provider_health",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("circuit", Text, nullable=False),
    Column("opened_at", DateTime(timezone=True)),
    Column("opens_until", DateTime(timezone=True)),
    Column("success_rate", Float),
    Column("p95_seconds", Float),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("circuit IN ('closed', 'open', 'half_open')", name="circuit"),
)
