"""The table of the workspaces' own keys to providers, encrypted."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    func,
)

from app.db import metadata

provider_credentials = Table(
    "provider_credentials",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("provider", Text, nullable=False),
    # The key-encryption key that wraps this row's data key, by its id in the settings.
    Column("key_id", Text, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    # The last characters of the secret, for people to recognise it.
    Column("hint", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="unverified"),
    Column("status_reason", Text),
    # Raised by each new secret: a verdict about an older one is no verdict about this one.
    Column("generation", Integer, nullable=False, server_default="1"),
    # The check that is under way, and since when.
    Column("verification_id", Uuid),
    Column("verification_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("checked_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("workspace_id", "provider"),
    CheckConstraint("status IN ('unverified', 'valid', 'rejected')", name="status"),
)
