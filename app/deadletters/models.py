"""The tables of dead letters: what could not be done, and what became of trying it again."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

from app.db import metadata

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    # UUIDv7: in order of the first failures.
    Column("id", Uuid, nullable=False),
    Column("process", Text, nullable=False),
    # Ids with colons between them, the widest first ("<job>:<position>"): what lies within a job begins with its id.
    Column("reference_id", Text(collation="C"), nullable=False),
    # What stands for it now: another one of the same form once it was redriven as something new.
    Column("payload_id", Text(collation="C"), nullable=False),
    Column("state", Text, nullable=False, server_default="open"),
    Column("reason", Text, nullable=False),
    # Our own words, the same for all that failed for the same reason: nothing of a tenant's data.
    Column("message", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    # The workflow run in which it failed last.
    Column("run_id", Uuid),
    Column("discard_reason", Text),
    Column("first_failed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("last_failed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "process", "reference_id"),
    UniqueConstraint("workspace_id", "process", "payload_id"),
    # What waits for people: counted by runs, and over all workspaces for a metric.
    Index("ix_dead_letters_open", "workspace_id", "process", "payload_id", postgresql_where=text("state = 'open'")),
    CheckConstraint("process IN ('enrichment', 'webhook', 'billing', 'replication')", name="process"),
    CheckConstraint("state IN ('open', 'redriven', 'resolved', 'discarded')", name="state"),
    CheckConstraint("(discard_reason IS NOT NULL) = (state = 'discarded')", name="discard_reason"),
)

# A request to try letters again; the work is the workflow RedriveDeadLetters.
dead_letter_redrives = Table(
    "dead_letter_redrives",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("id", Uuid, nullable=False),
    Column("total", Integer, nullable=False),
    # The key, or the person, in whose name the new work is started.
    Column("requested_by", Uuid, nullable=False),
    Column("by_key", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # Last sign of life (the reconciler looks for silence).
    Column("alive_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("finished_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("workspace_id", "id"),
    Index("ix_dead_letter_redrives_unfinished", "alive_at", postgresql_where=text("finished_at IS NULL")),
)

# What became of each letter of a redrive. A row is pending once, and given its result with the new work itself.
dead_letter_redrive_items = Table(
    "dead_letter_redrive_items",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    Column("redrive_id", Uuid, nullable=False),
    Column("letter_id", Uuid, nullable=False),
    Column("process", Text, nullable=False),
    # The first id of the letter's payload: what shares it is tried again together.
    Column("group_id", Text(collation="C"), nullable=False),
    Column("result", Text, nullable=False, server_default="pending"),
    # Why it was refused, or skipped: the code of an error, or the state in which the letter was.
    Column("reason", Text),
    # What was started anew, where that is something new.
    Column("resource_id", Uuid),
    PrimaryKeyConstraint("workspace_id", "redrive_id", "letter_id"),
    ForeignKeyConstraint(
        ["workspace_id", "redrive_id"],
        ["dead_letter_redrives.workspace_id", "dead_letter_redrives.id"],
        ondelete="CASCADE",
    ),
    ForeignKeyConstraint(
        ["workspace_id", "letter_id"], ["dead_letters.workspace_id", "dead_letters.id"], ondelete="CASCADE"
    ),
    # For whoever deletes a letter.
    Index(None, "workspace_id", "letter_id"),
    Index(
        "ix_dead_letter_redrive_items_pending",
        "workspace_id",
        "redrive_id",
        "process",
        "group_id",
        postgresql_where=text("result = 'pending'"),
    ),
    CheckConstraint("result IN ('pending', 'redriven', 'refused', 'skipped')", name="result"),
)
