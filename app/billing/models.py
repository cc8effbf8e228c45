"""The tables of billing: what the payment provider said last, what followed from it, and what differed."""

from sqlalchemy import (
    BigInteger,
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
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.db import metadata

billing_customers = Table(
    "billing_customers",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    # Stripe's; NULL until it is made.
    Column("id", Text(collation="C"), unique=True),
    # The name that it is made with: with its idempotency key goes one request only.
    Column("name", Text),
    # Of the idempotency key that it is made with, and when that was first tried.
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("creating_at", DateTime(timezone=True)),
    Column("is_deleted", Boolean, nullable=False, server_default=false()),
    # Raised before each read of what Stripe has: only what the last one read is applied.
    Column("fence", BigInteger, nullable=False, server_default="0"),
    # When somebody is to look what Stripe has: at once after an event, or when a period or a grace ends.
    Column("due_at", DateTime(timezone=True)),
    # The `due_at` that a run of its workflow took upon itself. Another one: whoever finds it due wakes one.
    Column("seen_at", DateTime(timezone=True)),
    Column("woken_at", DateTime(timezone=True)),
    # The last look of the reconciler.
    Column("checked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # When what Stripe had was last applied.
    Column("synced_at", DateTime(timezone=True)),
    # When a reconciliation that lists all of Stripe's customers last came across it.
    Column("listed_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_billing_customers_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)

billing_subscriptions = Table(
    "billing_subscriptions",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("billing_customers.workspace_id", ondelete="CASCADE"), nullable=False),
    Column("id", Text(collation="C"), nullable=False),
    Column("status", Text, nullable=False),
    Column("price_id", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("period_start", DateTime(timezone=True), nullable=False),
    Column("period_end", DateTime(timezone=True), nullable=False),
    Column("cancel_at_period_end", Boolean, nullable=False),
    Column("cancel_at", DateTime(timezone=True)),
    Column("canceled_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("workspace_id", "id"),
)

billing_invoices = Table(
    "billing_invoices",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("billing_customers.workspace_id", ondelete="CASCADE"), nullable=False),
    Column("id", Text(collation="C"), nullable=False),
    Column("subscription_id", Text(collation="C")),
    Column("status", Text, nullable=False),
    Column("number", Text),
    Column("currency", Text, nullable=False),
    # Minor units of the currency.
    Column("amount_due", BigInteger, nullable=False),
    Column("amount_paid", BigInteger, nullable=False),
    Column("amount_refunded", BigInteger, nullable=False),
    # Of its payments: none, open, won or lost.
    Column("dispute", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", DateTime(timezone=True)),
    Column("hosted_url", Text),
    # By which events about payments, and reconciliation in the list of them all, find it again.
    Column("payment_ids", ARRAY(Text(collation="C")), nullable=False, server_default=text("'{}'")),
    # Credits that it granted in all, and how many of them were taken back, in how many corrections.
    Column("credits_granted", BigInteger, nullable=False, server_default="0"),
    Column("credits_clawed_back", BigInteger, nullable=False, server_default="0"),
    Column("corrections", Integer, nullable=False, server_default="0"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("paid_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("workspace_id", "id"),
    CheckConstraint("credits_clawed_back BETWEEN 0 AND credits_granted", name="clawed_back"),
    # For the list.
    Index(None, "workspace_id", "created_at", "id"),
    # For events about a payment that name no customer.
    Index(None, "payment_ids", postgresql_using="gin"),
)

# What a line of an invoice granted; its key in the ledger names the same.
billing_grants = Table(
    "billing_grants",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    Column("invoice_id", Text(collation="C"), nullable=False),
    Column("line_id", Text(collation="C"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("credits", BigInteger, nullable=False),
    # NULL: what is not spent of them stays.
    Column("expires_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("workspace_id", "invoice_id", "line_id"),
    ForeignKeyConstraint(
        ["workspace_id", "invoice_id"], ["billing_invoices.workspace_id", "billing_invoices.id"], ondelete="CASCADE"
    ),
    CheckConstraint("kind IN ('period', 'upgrade')", name="kind"),
)

# What Stripe sent, as it sent it; `workspace_id` is NULL where nobody knows the customer.
billing_events = Table(
    "billing_events",
    metadata,
    Column("id", Text(collation="C"), primary_key=True),
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE")),
    Column("type", Text, nullable=False),
    Column("customer_id", Text(collation="C")),
    Column("body", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    # Why it was ignored.
    Column("reason", Text),
    # When it happened, and when it came.
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("applied_at", DateTime(timezone=True)),
    CheckConstraint("state IN ('pending', 'applied', 'ignored')", name="state"),
    CheckConstraint("reason IN ('unknown_customer', 'not_about_a_customer')", name="reason"),
    CheckConstraint("(state = 'ignored') = (reason IS NOT NULL)", name="ignored"),
    Index("ix_billing_events_pending", "workspace_id", postgresql_where=text("state = 'pending'")),
    Index("ix_billing_events_unknown", "customer_id", postgresql_where=text("reason = 'unknown_customer'")),
    # For the sweep.
    Index(None, "received_at"),
)

# Pages of Stripe that somebody asked for. The address opens the page to whoever has it, for a day at most.
billing_pages = Table(
    "billing_pages",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("plan", Text),
    Column("price_id", Text),
    Column("success_url", Text),
    Column("return_url", Text, nullable=False),
    # Of the idempotency key that it is opened with.
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("url", Text),
    Column("expires_at", DateTime(timezone=True)),
    # The code of what kept it from being opened.
    Column("error", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("workspace_id", "id"),
    CheckConstraint("kind IN ('checkout', 'portal')", name="kind"),
    CheckConstraint("(kind = 'checkout') = (plan IS NOT NULL AND price_id IS NOT NULL)", name="plan"),
    CheckConstraint("status IN ('pending', 'open', 'failed')", name="status"),
    # For the sweep.
    Index(None, "created_at"),
)

# A comparison of everything with everything: how far it got, and what it compared.
billing_reconciliations = Table(
    "billing_reconciliations",
    metadata,
    Column("id", Uuid, primary_key=True),
    # What changed since then is compared; NULL: all.
    Column("since", DateTime(timezone=True)),
    # The list that it is at, and where that goes on; NULL: none any more, and at its beginning.
    Column("list", Text),
    Column("cursor", Text(collation="C")),
    Column("customers", Integer, nullable=False, server_default="0"),
    Column("subscriptions", Integer, nullable=False, server_default="0"),
    Column("invoices", Integer, nullable=False, server_default="0"),
    Column("payments", Integer, nullable=False, server_default="0"),
    Column("events", Integer, nullable=False, server_default="0"),
    Column("calls", Integer, nullable=False, server_default="0"),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("finished_at", DateTime(timezone=True)),
)

# A comparison of one workspace, because somebody asked or a reconciliation found a difference.
billing_syncs = Table(
    "billing_syncs",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("id", Uuid, nullable=False),
    Column("reconciliation_id", Uuid, ForeignKey("billing_reconciliations.id", ondelete="SET NULL")),
    Column("status", Text, nullable=False, server_default="running"),
    Column("differences", Integer, nullable=False, server_default="0"),
    # The `due_at` that the customer got for it: whoever has seen that, or a later one, has done it.
    Column("due_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("finished_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("workspace_id", "id"),
    CheckConstraint("status IN ('running', 'completed')", name="status"),
    CheckConstraint("(status = 'completed') = (finished_at IS NOT NULL)", name="finished"),
    # One at a time.
    Index("ix_billing_syncs_running", "workspace_id", unique=True, postgresql_where=text("finished_at IS NULL")),
    Index(None, "reconciliation_id"),
)

# What differed, and what was done about it.
billing_drift = Table(
    "billing_drift",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("sync_id", Uuid, nullable=False),
    Column("what", Text, nullable=False),
    # Stripe's id of it.
    Column("reference", Text, nullable=False),
    # What differed, as each had it; NULL where one had nothing.
    Column("ours", JSONB),
    Column("theirs", JSONB),
    Column("action", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("workspace_id", "id"),
    ForeignKeyConstraint(
        ["workspace_id", "sync_id"], ["billing_syncs.workspace_id", "billing_syncs.id"], ondelete="CASCADE"
    ),
    CheckConstraint("what IN ('customer', 'subscription', 'invoice', 'credits')", name="what"),
    Index(None, "workspace_id", "sync_id", "id"),
)

# Charged credits of a stretch of the ledger, reported as one.
billing_usage_batches = Table(
    "billing_usage_batches",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("billing_customers.workspace_id", ondelete="CASCADE"), nullable=False),
    Column("id", Uuid, nullable=False),
    # The entries of the ledger that it sums up: those behind the first number, up to the second.
    Column("after_seq", BigInteger, nullable=False),
    Column("through_seq", BigInteger, nullable=False),
    Column("credits", BigInteger, nullable=False),
    # What Stripe takes for the time of use.
    Column("used_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # Of the idempotency key that it is reported with, and when that was first tried.
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("attempted_at", DateTime(timezone=True)),
    Column("reported_at", DateTime(timezone=True)),
    # The code of what keeps it from ever being reported; its dead letter says it to people.
    Column("error", Text),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "after_seq"),
    CheckConstraint("credits > 0 AND through_seq > after_seq", name="range"),
    CheckConstraint("reported_at IS NULL OR error IS NULL", name="outcome"),
    Index(
        "ix_billing_usage_batches_unreported",
        "workspace_id",
        "used_at",
        postgresql_where=text("reported_at IS NULL AND error IS NULL"),
    ),
)
