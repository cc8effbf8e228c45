"""Find the entries of the audit log about one thing, by one actor, or of one action."""

from alembic import op

revision = "audit_log_index"
down_revision = "workspaces_once"
branch_labels = None
depends_on = None

FILTERS = ("target_id", "actor_id", "action")


def upgrade() -> None:
    for column in FILTERS:
        name = op.f(f"ix_audit_entries_workspace_id_{column}_id")
        op.create_index(name, "audit_entries", ["workspace_id", column, "id"])


def downgrade() -> None:
    for column in FILTERS:
        op.drop_index(op.f(f"ix_audit_entries_workspace_id_{column}_id"), "audit_entries")
