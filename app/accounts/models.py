"""The tables of people and their sign-ins. A transaction sees those of one user: `sessions.for_user(id)`."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    false,
    func,
)

from app.db import metadata

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    # argon2id in PHC form; NULL for whoever signs in by mail only.
    Column("password_hash", Text),
    Column("email_verified_at", DateTime(timezone=True)),
    Column("is_superadmin", Boolean, nullable=False, server_default=false()),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("email = lower(email)", name="email"),
)

# One sign-in: a family of refresh tokens, each good for one use. The id is in the access tokens (`sid`).
user_sessions = Table(
    "user_sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    # SHA-256 of the refresh token that is good now, and of those before it: one of these again is a theft.
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("used_token_hashes", ARRAY(LargeBinary), nullable=False, server_default="{}"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("refreshed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
    Index("ix_user_sessions_used_token_hashes", "used_token_hashes", postgresql_using="gin"),
)

# What a link in a mail carries, hashed.
one_time_tokens = Table(
    "one_time_tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("purpose", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used_at", DateTime(timezone=True)),
    CheckConstraint("purpose IN ('magic_link', 'password_reset')", name="purpose"),
)

# Attempts to sign in and the like that were not successful (yet), under the hash of an address or of a source. The API
# reaches them by begin_attempt() and end_attempt() alone.
attempts = Table(
    "attempts",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("count", Integer, nullable=False, server_default="0"),
    Column("last_at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    Column("locked_until", DateTime(timezone=True)),
)
