"""The tables of events, of the endpoints that are told of them, and of what came of telling."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
    true,
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
    # For the list.
    Index(None, "workspace_id", "created_at", "id"),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("id", Uuid, nullable=False),
    Column("url", Text, nullable=False),
    Column("event_types", ARRAY(Text), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    # What people see of the headers: their values are sealed.
    Column("header_names", ARRAY(Text), nullable=False, server_default="{}"),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    # "by_hand": a person or key; "gone": it answered 410; "failing": nothing was delivered for days.
    Column("disabled_reason", Text),
    Column("disabled_at", DateTime(timezone=True)),
    # When the owners were told that Holdfast disabled it.
    Column("owners_told_at", DateTime(timezone=True)),
    # The circuit: attempts that failed since the last that did not, since when, and until when none is made.
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("failing_since", DateTime(timezone=True)),
    Column("paused_until", DateTime(timezone=True)),
    # Until then an activity looks for what is due by itself: nobody has to wake its workflow.
    Column("watched_until", DateTime(timezone=True)),
    Column("woken_at", DateTime(timezone=True)),
    # The last look of the reconciler.
    Column("checked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Uuid),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # Of what people say about it: address, secrets, headers, whether it is enabled.
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("workspace_id", "id"),
    CheckConstraint("disabled_reason IN ('by_hand', 'gone', 'failing')", name="disabled_reason"),
    CheckConstraint("enabled = (disabled_reason IS NULL)", name="enabled"),
    # Its workflow and the relay know an endpoint by its id alone.
    UniqueConstraint("id"),
)

# What is sealed of an endpoint, as credentials are: the keys that it is signed with, and the headers that go with it.
webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    Column("endpoint_id", Uuid, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    # The key-encryption key that wraps this row's data key, by its id in the settings.
    Column("key_id", Text, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    # NULL but for a signing key that another has replaced, and which signs until then.
    Column("expires_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("workspace_id", "endpoint_id", "id"),
    ForeignKeyConstraint(
        ["workspace_id", "endpoint_id"], ["webhook_endpoints.workspace_id", "webhook_endpoints.id"], ondelete="CASCADE"
    ),
    CheckConstraint("kind IN ('signing', 'headers')", name="kind"),
    CheckConstraint("kind = 'signing' OR expires_at IS NULL", name="expires"),
    Index(
        "uq_webhook_secrets_current",
        "workspace_id",
        "endpoint_id",
        "kind",
        unique=True,
        postgresql_where=text("expires_at IS NULL"),
    ),
)

# One event for one endpoint. The row is written with the event; its attempts begin when somebody sees that it is due.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    # In order of time: UUIDv7, made by the statement that fans the event out.
    Column("id", Uuid, nullable=False),
    Column("endpoint_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    # What the event is about (a job): of one subject, first attempts are made one after the other. NULL: no order.
    Column("subject", Text),
    Column("state", Text, nullable=False, server_default="pending"),
    # Since it was told, or redelivered.
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    # NULL unless pending.
    Column("next_attempt_at", DateTime(timezone=True), server_default=func.clock_timestamp()),
    # When a run of its workflow took it upon itself to wait for the next attempt. NULL: whoever finds it due wakes one.
    Column("claimed_at", DateTime(timezone=True)),
    # When somebody last had it delivered again.
    Column("redelivered_at", DateTime(timezone=True)),
    # Of the last attempt, or why there will be none; NULL where it was taken.
    Column("error", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("ended_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("workspace_id", "id"),
    # By event first: with it deliveries are deleted.
    UniqueConstraint("workspace_id", "event_id", "endpoint_id"),
    ForeignKeyConstraint(["workspace_id", "event_id"], ["events.workspace_id", "events.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(
        ["workspace_id", "endpoint_id"], ["webhook_endpoints.workspace_id", "webhook_endpoints.id"], ondelete="CASCADE"
    ),
    CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
    CheckConstraint("(state = 'pending') = (next_attempt_at IS NOT NULL)", name="pending"),
    CheckConstraint("(state = 'pending') = (ended_at IS NULL)", name="ended"),
    # For the list.
    Index(None, "workspace_id", "endpoint_id", "id"),
    # For the list of these alone, and to recover them.
    Index(
        "ix_webhook_deliveries_failed",
        "workspace_id",
        "endpoint_id",
        "id",
        postgresql_where=text("state = 'failed'"),
    ),
    Index(
        "ix_webhook_deliveries_pending", "endpoint_id", "next_attempt_at", postgresql_where=text("state = 'pending'")
    ),
    Index(
        "ix_webhook_deliveries_unclaimed",
        "endpoint_id",
        postgresql_where=text("state = 'pending' AND claimed_at IS NULL"),
    ),
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    Column("delivery_id", Uuid, nullable=False),
    # In order of time: UUIDv7.
    Column("id", Uuid, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("milliseconds", Integer, nullable=False),
    # NULL where no answer came.
    Column("status", SmallInteger),
    # A code; NULL where it was taken.
    Column("error", Text),
    # The beginning of what was answered.
    Column("answer", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("workspace_id", "delivery_id", "id"),
    ForeignKeyConstraint(
        ["workspace_id", "delivery_id"],
        ["webhook_deliveries.workspace_id", "webhook_deliveries.id"],
        ondelete="CASCADE",
    ),
)
