"""What could not be done, of every process, and what became of trying it again."""

import sqlalchemy as sa
from alembic import op

revision = "dead_letters"
down_revision = "webhook_deliveries"
branch_labels = None
depends_on = None

OWN_WORKSPACE = "(SELECT nullif(current_setting('holdfast.workspace_id', true), '')::uuid)"

# What holdfast_platform may do to the rows of all workspaces: count what is open, and find redrives that went silent.
PLATFORM = {
    "dead_letters": "SELECT (workspace_id, process, payload_id, state)",
    "dead_letter_redrives": "SELECT (workspace_id, id, alive_at, finished_at), UPDATE (alive_at)",
}


def upgrade() -> None:
    _letters()
    _redrives()
    _items()
    for table in ("dead_letters", "dead_letter_redrives", "dead_letter_redrive_items"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO holdfast_app")
        op.execute(
            f"CREATE POLICY own_workspace ON {table} TO holdfast_app"
            f" USING (workspace_id = {OWN_WORKSPACE}) WITH CHECK (workspace_id = {OWN_WORKSPACE})"
        )
    for table, granted in PLATFORM.items():
        op.execute(f"GRANT {granted} ON {table} TO holdfast_platform")
        op.execute(f"CREATE POLICY platform ON {table} TO holdfast_platform USING (true) WITH CHECK (true)")


def downgrade() -> None:
    op.drop_table("dead_letter_redrive_items")
    op.drop_table("dead_letter_redrives")
    op.drop_table("dead_letters")


def _letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("reference_id", sa.Text(collation="C"), nullable=False),
        sa.Column("payload_id", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Uuid()),
        sa.Column("discard_reason", sa.Text()),
        sa.Column("first_failed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_failed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_dead_letters")),
        sa.UniqueConstraint(
            "workspace_id",
            "process",
            "reference_id",
            name=op.f("uq_dead_letters_workspace_id_process_reference_id"),
        ),
        sa.UniqueConstraint(
            "workspace_id", "process", "payload_id", name=op.f("uq_dead_letters_workspace_id_process_payload_id")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_dead_letters_workspaces"), ondelete="CASCADE"
        ),
        sa.CheckConstraint(
            "process IN ('enrichment', 'webhook', 'billing', 'replication')", name=op.f("ck_dead_letters_process")
        ),
        sa.CheckConstraint(
            "state IN ('open', 'redriven', 'resolved', 'discarded')", name=op.f("ck_dead_letters_state")
        ),
        sa.CheckConstraint(
            "(discard_reason IS NOT NULL) = (state = 'discarded')", name=op.f("ck_dead_letters_discard_reason")
        ),
    )
    op.create_index(
        "ix_dead_letters_open",
        "dead_letters",
        ["workspace_id", "process", "payload_id"],
        postgresql_where=sa.text("state = 'open'"),
    )


def _redrives() -> None:
    op.create_table(
        "dead_letter_redrives",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("requested_by", sa.Uuid(), nullable=False),
        sa.Column("by_key", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("alive_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_dead_letter_redrives")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_dead_letter_redrives_workspaces"), ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_dead_letter_redrives_unfinished",
        "dead_letter_redrives",
        ["alive_at"],
        postgresql_where=sa.text("finished_at IS NULL"),
    )


def _items() -> None:
    op.create_table(
        "dead_letter_redrive_items",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("redrive_id", sa.Uuid(), nullable=False),
        sa.Column("letter_id", sa.Uuid(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Text(collation="C"), nullable=False),
        sa.Column("result", sa.Text(), server_default="pending", nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("resource_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("workspace_id", "redrive_id", "letter_id", name=op.f("pk_dead_letter_redrive_items")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "redrive_id"],
            ["dead_letter_redrives.workspace_id", "dead_letter_redrives.id"],
            name=op.f("fk_dead_letter_redrive_items_dead_letter_redrives"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "letter_id"],
            ["dead_letters.workspace_id", "dead_letters.id"],
            name=op.f("fk_dead_letter_redrive_items_dead_letters"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "result IN ('pending', 'redriven', 'refused', 'skipped')", name=op.f("ck_dead_letter_redrive_items_result")
        ),
    )
    op.create_index(
        op.f("ix_dead_letter_redrive_items_workspace_id_letter_id"),
        "dead_letter_redrive_items",
        ["workspace_id", "letter_id"],
    )
    op.create_index(
        "ix_dead_letter_redrive_items_pending",
        "dead_letter_redrive_items",
        ["workspace_id", "redrive_id", "process", "group_id"],
        postgresql_where=sa.text("result = 'pending'"),
    )
