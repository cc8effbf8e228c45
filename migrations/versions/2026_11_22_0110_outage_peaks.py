"""What waited in an outage at most: its last park may be that of the few records that were left."""

import sqlalchemy as sa
from alembic import op

revision = "outage_peaks"
down_revision = "plan_limits"
branch_labels = None
depends_on = None

# For the platform's staff, whoever the caller says that it is: what waits, and waited, in each outage, of all tenants.
OUTAGE_TOTALS = """
CREATE OR REPLACE FUNCTION outage_totals(superadmin uuid, outages uuid[])
RETURNS TABLE (outage_id uuid, workspaces bigint, jobs bigint, records bigint, credits_held bigint,
               all_workspaces bigint, all_jobs bigint, all_records bigint, all_credits_held bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.outage_id, count(DISTINCT w.workspace_id) FILTER (WHERE w.ended_at IS NULL),
           count(*) FILTER (WHERE w.ended_at IS NULL),
           coalesce(sum(w.records) FILTER (WHERE w.ended_at IS NULL), 0)::bigint,
           coalesce(sum(w.credits_held) FILTER (WHERE w.ended_at IS NULL), 0)::bigint,
           count(DISTINCT w.workspace_id), count(*), sum(w.{records})::bigint, sum(w.{credits_held})::bigint
    FROM public.outage_waits AS w
    WHERE w.outage_id = ANY (outages)
      AND EXISTS (SELECT FROM public.users AS u WHERE u.id = superadmin AND u.is_superadmin)
    GROUP BY w.outage_id
$$
"""


def upgrade() -> None:
    for column in ("records", "credits_held"):
        op.add_column("outage_waits", sa.Column(f"most_{column}", sa.BigInteger()))
    # What it was at most is no longer known of those that parked before.
    op.execute("UPDATE outage_waits SET most_records = records, most_credits_held = credits_held")
    for column in ("records", "credits_held"):
        op.alter_column("outage_waits", f"most_{column}", nullable=False)
    op.execute(OUTAGE_TOTALS.format(records="most_records", credits_held="most_credits_held"))


def downgrade() -> None:
    op.execute(OUTAGE_TOTALS.format(records="records", credits_held="credits_held"))
    op.drop_column("outage_waits", "most_records")
    op.drop_column("outage_waits", "most_credits_held")
