"""Billing: what the payment provider said last, what followed from it, and what differed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "billing"
down_revision = "dead_letters"
branch_labels = None
depends_on = None

OWN_WORKSPACE = "(SELECT nullif(current_setting('holdfast.workspace_id', true), '')::uuid)"

# Table → what holdfast_app may do to rows of the transaction's workspace, and holdfast_platform to all: find whom to
# wake, compare everybody with what Stripe has, sweep. What Stripe sent it never reads.
TENANT_TABLES = {
    "billing_customers": (
        "SELECT, INSERT, UPDATE",
        "SELECT, UPDATE (due_at, woken_at, checked_at, listed_at)",
    ),
    "billing_subscriptions": ("SELECT, INSERT, UPDATE", "SELECT"),
    "billing_invoices": ("SELECT, INSERT, UPDATE", "SELECT"),
    "billing_grants": ("SELECT, INSERT", None),
    "billing_events": (
        "SELECT, UPDATE (state, reason, applied_at)",
        (
            "SELECT (id, workspace_id, type, customer_id, state, reason, received_at),"
            " UPDATE (workspace_id, state, reason), DELETE"
        ),
    ),
    "billing_pages": ("SELECT, INSERT, UPDATE", "SELECT (workspace_id, id, created_at), DELETE"),
    "billing_syncs": ("SELECT, INSERT, UPDATE", "SELECT, INSERT, UPDATE"),
    "billing_drift": ("SELECT, INSERT", None),
}

# The API knows a customer before it knows the workspace, and stores what Stripe sent without a look at anything else:
# whether it is new. An event of a customer that we know makes that one due. A dispute names no customer; the payment
# that it is about stands with the invoice that it was made for.
STORE_EVENT = """
    CREATE FUNCTION store_billing_event(
        event text, kind text, customer text, payment text, happened timestamptz, content bytea
    )
    RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        owner uuid;
    BEGIN
        IF customer IS NOT NULL THEN
            SELECT c.workspace_id INTO owner FROM public.billing_customers AS c WHERE c.id = customer;
        ELSIF payment IS NOT NULL THEN
            SELECT i.workspace_id INTO owner FROM public.billing_invoices AS i
            WHERE i.payment_ids @> ARRAY[payment] LIMIT 1;
        END IF;
        INSERT INTO public.billing_events (id, workspace_id, type, customer_id, body, state, reason, created_at)
        VALUES (event, owner, kind, customer, content,
                CASE WHEN owner IS NULL THEN 'ignored' ELSE 'pending' END,
                CASE WHEN owner IS NOT NULL THEN NULL
                     WHEN customer IS NULL AND payment IS NULL THEN 'not_about_a_customer'
                     ELSE 'unknown_customer' END,
                happened)
        ON CONFLICT (id) DO NOTHING;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        UPDATE public.billing_customers AS c SET due_at = clock_timestamp() WHERE c.workspace_id = owner;
        RETURN true;
    END
    $$"""
STORE_EVENT_SIGNATURE = "store_billing_event(text, text, text, text, timestamptz, bytea)"

# What came before we knew the customer belongs to no workspace, and so is seen by none. It becomes that of the one
# whose customer it is, and of no other: who calls this chooses nothing.
ADOPT_EVENTS = """
    CREATE FUNCTION adopt_billing_events(customer text)
    RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        owner uuid;
        adopted integer;
    BEGIN
        SELECT c.workspace_id INTO owner FROM public.billing_customers AS c WHERE c.id = customer;
        IF owner IS NULL THEN
            RETURN 0;
        END IF;
        UPDATE public.billing_events AS e SET workspace_id = owner, state = 'pending', reason = NULL
        WHERE e.customer_id = customer AND e.reason = 'unknown_customer';
        GET DIAGNOSTICS adopted = ROW_COUNT;
        IF adopted > 0 THEN
            UPDATE public.billing_customers AS c SET due_at = clock_timestamp() WHERE c.workspace_id = owner;
        END IF;
        RETURN adopted;
    END
    $$"""
ADOPT_EVENTS_SIGNATURE = "adopt_billing_events(text)"


def upgrade() -> None:
    _tables()
    for table, (app, platform) in TENANT_TABLES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")
        op.execute(f"GRANT {app} ON {table} TO holdfast_app")
        op.execute(
            f"CREATE POLICY own_workspace ON {table} TO holdfast_app"
            f" USING (workspace_id = {OWN_WORKSPACE}) WITH CHECK (workspace_id = {OWN_WORKSPACE})"
        )
        if platform is not None:
            op.execute(f"GRANT {platform} ON {table} TO holdfast_platform")
            op.execute(f"CREATE POLICY platform ON {table} TO holdfast_platform USING (true) WITH CHECK (true)")
    op.execute("GRANT SELECT, INSERT, UPDATE ON billing_reconciliations TO holdfast_platform")
    op.execute(STORE_EVENT)
    op.execute(f"REVOKE ALL ON FUNCTION {STORE_EVENT_SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {STORE_EVENT_SIGNATURE} TO holdfast_app")
    op.execute(ADOPT_EVENTS)
    op.execute(f"REVOKE ALL ON FUNCTION {ADOPT_EVENTS_SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {ADOPT_EVENTS_SIGNATURE} TO holdfast_app, holdfast_platform")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {ADOPT_EVENTS_SIGNATURE}")
    op.execute(f"DROP FUNCTION {STORE_EVENT_SIGNATURE}")
    for table in (
        "billing_drift",
        "billing_syncs",
        "billing_reconciliations",
        "billing_pages",
        "billing_events",
        "billing_grants",
        "billing_invoices",
        "billing_subscriptions",
        "billing_customers",
    ):
        op.drop_table(table)


def _tables() -> None:
    op.create_table(
        "billing_customers",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Text(collation="C")),
        sa.Column("name", sa.Text()),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("creating_at", sa.DateTime(timezone=True)),
        sa.Column("is_deleted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("seen_at", sa.DateTime(timezone=True)),
        sa.Column("woken_at", sa.DateTime(timezone=True)),
        sa.Column("checked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("synced_at", sa.DateTime(timezone=True)),
        sa.Column("listed_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_billing_customers_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_billing_customers")),
        sa.UniqueConstraint("id", name=op.f("uq_billing_customers_id")),
    )
    op.create_index(
        "ix_billing_customers_due", "billing_customers", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.create_table(
        "billing_subscriptions",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("price_id", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cancel_at_period_end", sa.Boolean(), nullable=False),
        sa.Column("cancel_at", sa.DateTime(timezone=True)),
        sa.Column("canceled_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["billing_customers.workspace_id"],
            name=op.f("fk_billing_subscriptions_billing_customers"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_billing_subscriptions")),
    )
    op.create_table(
        "billing_invoices",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("subscription_id", sa.Text(collation="C")),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("number", sa.Text()),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_due", sa.BigInteger(), nullable=False),
        sa.Column("amount_paid", sa.BigInteger(), nullable=False),
        sa.Column("amount_refunded", sa.BigInteger(), nullable=False),
        sa.Column("dispute", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True)),
        sa.Column("hosted_url", sa.Text()),
        sa.Column(
            "payment_ids", postgresql.ARRAY(sa.Text(collation="C")), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("credits_granted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("credits_clawed_back", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("corrections", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True)),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "credits_clawed_back BETWEEN 0 AND credits_granted", name=op.f("ck_billing_invoices_clawed_back")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["billing_customers.workspace_id"],
            name=op.f("fk_billing_invoices_billing_customers"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_billing_invoices")),
    )
    op.create_index(
        op.f("ix_billing_invoices_workspace_id_created_at_id"), "billing_invoices", ["workspace_id", "created_at", "id"]
    )
    op.create_index(
        op.f("ix_billing_invoices_payment_ids"), "billing_invoices", ["payment_ids"], postgresql_using="gin"
    )
    op.create_table(
        "billing_grants",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Text(collation="C"), nullable=False),
        sa.Column("line_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('period', 'upgrade')", name=op.f("ck_billing_grants_kind")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "invoice_id"],
            ["billing_invoices.workspace_id", "billing_invoices.id"],
            name=op.f("fk_billing_grants_billing_invoices"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "invoice_id", "line_id", name=op.f("pk_billing_grants")),
    )
    op.create_table(
        "billing_events",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("workspace_id", sa.Uuid()),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(collation="C")),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("(state = 'ignored') = (reason IS NOT NULL)", name=op.f("ck_billing_events_ignored")),
        sa.CheckConstraint(
            "reason IN ('unknown_customer', 'not_about_a_customer')", name=op.f("ck_billing_events_reason")
        ),
        sa.CheckConstraint("state IN ('pending', 'applied', 'ignored')", name=op.f("ck_billing_events_state")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_billing_events_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_events")),
    )
    op.create_index(
        "ix_billing_events_pending", "billing_events", ["workspace_id"], postgresql_where=sa.text("state = 'pending'")
    )
    op.create_index(op.f("ix_billing_events_received_at"), "billing_events", ["received_at"])
    op.create_index(
        "ix_billing_events_unknown",
        "billing_events",
        ["customer_id"],
        postgresql_where=sa.text("reason = 'unknown_customer'"),
    )
    op.create_table(
        "billing_pages",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text()),
        sa.Column("price_id", sa.Text()),
        sa.Column("success_url", sa.Text()),
        sa.Column("return_url", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("url", sa.Text()),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(kind = 'checkout') = (plan IS NOT NULL AND price_id IS NOT NULL)", name=op.f("ck_billing_pages_plan")
        ),
        sa.CheckConstraint("kind IN ('checkout', 'portal')", name=op.f("ck_billing_pages_kind")),
        sa.CheckConstraint("status IN ('pending', 'open', 'failed')", name=op.f("ck_billing_pages_status")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_billing_pages_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_billing_pages")),
    )
    op.create_index(op.f("ix_billing_pages_created_at"), "billing_pages", ["created_at"])
    op.create_table(
        "billing_reconciliations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True)),
        sa.Column("list", sa.Text()),
        sa.Column("cursor", sa.Text(collation="C")),
        sa.Column("customers", sa.Integer(), server_default="0", nullable=False),
        sa.Column("subscriptions", sa.Integer(), server_default="0", nullable=False),
        sa.Column("invoices", sa.Integer(), server_default="0", nullable=False),
        sa.Column("payments", sa.Integer(), server_default="0", nullable=False),
        sa.Column("events", sa.Integer(), server_default="0", nullable=False),
        sa.Column("calls", sa.Integer(), server_default="0", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_reconciliations")),
    )
    op.create_table(
        "billing_syncs",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reconciliation_id", sa.Uuid()),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column("differences", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "(status = 'completed') = (finished_at IS NOT NULL)", name=op.f("ck_billing_syncs_finished")
        ),
        sa.CheckConstraint("status IN ('running', 'completed')", name=op.f("ck_billing_syncs_status")),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"],
            ["billing_reconciliations.id"],
            name=op.f("fk_billing_syncs_billing_reconciliations"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_billing_syncs_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_billing_syncs")),
    )
    op.create_index(op.f("ix_billing_syncs_reconciliation_id"), "billing_syncs", ["reconciliation_id"])
    op.create_index(
        "ix_billing_syncs_running",
        "billing_syncs",
        ["workspace_id"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "billing_drift",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sync_id", sa.Uuid(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("ours", postgresql.JSONB()),
        sa.Column("theirs", postgresql.JSONB()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "what IN ('customer', 'subscription', 'invoice', 'credits')", name=op.f("ck_billing_drift_what")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "sync_id"],
            ["billing_syncs.workspace_id", "billing_syncs.id"],
            name=op.f("fk_billing_drift_billing_syncs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_billing_drift")),
    )
    op.create_index(
        op.f("ix_billing_drift_workspace_id_sync_id_id"), "billing_drift", ["workspace_id", "sync_id", "id"]
    )
