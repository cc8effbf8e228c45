"""Find the workspace that a request with an Idempotency-Key made before."""

from alembic import op

revision = "workspaces_once"
down_revision = "closings"
branch_labels = None
depends_on = None

# The key of such a request belongs to no workspace before there is one: then it is kept in the one that was made.
# One that was deleted since is found too, as long as the person has not left it.
MADE_ONCE = """
    CREATE FUNCTION workspace_made_once(person uuid, made_by_route text, made_by_key text)
    RETURNS TABLE (workspace_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT i.workspace_id
        FROM public.memberships AS m JOIN public.idempotency_keys AS i ON i.workspace_id = m.workspace_id
        WHERE m.user_id = person AND i.caller_id = person AND i.route = made_by_route AND i.key = made_by_key
        ORDER BY i.created_at DESC LIMIT 1
    $$
"""
SIGNATURE = "workspace_made_once(uuid, text, text)"


def upgrade() -> None:
    op.execute(MADE_ONCE)
    op.execute(f"REVOKE EXECUTE ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO holdfast_app")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {SIGNATURE}")
