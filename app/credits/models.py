"""The tables of the credit ledger. Entries are append-only; an account is the sum of its entries, always."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

from app.db import metadata

credit_accounts = Table(
    "credit_accounts",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("balance", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    CheckConstraint("held >= 0", name="held_not_negative"),
)

# What is left of each grant and refund: spent soonest to expire first. NULL: it never expires. One of which nothing is
# left is deleted, so that a charge never walks over those of the past.
credit_lots = Table(
    "credit_lots",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("credit_accounts.workspace_id", ondelete="CASCADE"), nullable=False),
    Column("id", Uuid, nullable=False),
    Column("granted", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("workspace_id", "id"),
    CheckConstraint("remaining BETWEEN 1 AND granted", name="remaining"),
    # Not on what remains: each flush writes that, and an update of an indexed column cannot stay on its page.
    Index("ix_credit_lots_expiring", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
)

# `seq` gives the order in which the account moved: it is drawn under the account's row lock.
credit_entries = Table(
    "credit_entries",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("credit_accounts.workspace_id", ondelete="CASCADE"), nullable=False),
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("held_amount", BigInteger, nullable=False),
    Column("balance_after", BigInteger, nullable=False),
    Column("held_after", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("reference_type", Text, nullable=False),
    Column("reference_id", Text, nullable=False),
    # What this entry is the effect of: ``charge:<job>:<record>:<provider>``. A second effect of the same is refused.
    Column("business_key", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("workspace_id", "seq"),
    UniqueConstraint("workspace_id", "business_key"),
    CheckConstraint("kind IN ('grant', 'hold', 'charge', 'release', 'refund', 'expiry', 'clawback')", name="kind"),
)
