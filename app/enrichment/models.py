"""The tables of enrichment: jobs, their records, what each provider answered, how a job stands with a provider; what
vendors said in their own words, and whom it was erased of."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
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
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB

from app.db import metadata

enrichment_jobs = Table(
    "enrichment_jobs",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    Column("id", Uuid, primary_key=True),
    Column("retry_of", Uuid),
    Column("entity", Text, nullable=False),
    # queued, running, paused, completed, cancelled, failed; "waiting" is derived where it is read.
    Column("status", Text, nullable=False, server_default="queued"),
    Column("desired_state", Text, nullable=False, server_default="running"),
    Column("error", Text),
    # The input's own columns, in order, for the export.
    Column("columns", ARRAY(Text), nullable=False),
    Column("fields", ARRAY(Text), nullable=False),
    Column("on_outage", Text, nullable=False),
    Column("max_wait_seconds", Float, nullable=False),
    Column("max_credits", BigInteger),
    Column("min_confidence", Float, nullable=False),
    Column("reuse_within_seconds", Float, nullable=False),
    Column("max_credits_per_record", BigInteger),
    Column("chunk", Integer, nullable=False),
    Column("window", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("matched", Integer, nullable=False, server_default="0"),
    Column("partial", Integer, nullable=False, server_default="0"),
    Column("not_found", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("cancelled", Integer, nullable=False, server_default="0"),
    Column("held", BigInteger, nullable=False),
    # The most that the listed providers could cost: when `held` covers it, no call needs a reservation.
    Column("worst_case", BigInteger, nullable=False),
    Column("charged", BigInteger, nullable=False, server_default="0"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    # Last committed answer, and last sign of life of any kind (the reconciler looks for silence).
    Column("answered_at", DateTime(timezone=True)),
    Column("alive_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # The workflow run that planned last.
    Column("run_id", Uuid),
    UniqueConstraint("workspace_id", "id"),
    ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["workspace_id", "retry_of"], ["enrichment_jobs.workspace_id", "enrichment_jobs.id"]),
    # Not on alive_at: each flush writes that, and an update of an indexed column cannot stay on its page.
    Index("ix_enrichment_jobs_unfinished", "id", postgresql_where=text("finished_at IS NULL")),
    CheckConstraint("status IN ('queued', 'running', 'paused', 'completed', 'cancelled', 'failed')", name="status"),
    CheckConstraint("desired_state IN ('running', 'paused', 'cancelled')", name="desired_state"),
    CheckConstraint("on_outage IN ('wait', 'skip')", name="on_outage"),
    CheckConstraint("total >= matched + partial + not_found + failed + cancelled", name="counts"),
)

# One row for each provider of a job, in the order in which they are asked.
enrichment_job_providers = Table(
    "enrichment_job_providers",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    Column("job_id", Uuid, nullable=False),
    Column("provider", Text, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("credit_cost", Integer, nullable=False),
    # Whether the workspace's own credential is used, or else the platform's: the price was chosen by it.
    Column("own_credential", Boolean, nullable=False, server_default=false()),
    # It fills nothing: it is asked of each e-mail address that another one finds whether it works.
    Column("verifies", Boolean, nullable=False, server_default=false()),
    # Answers that were bought before this job: calls that it saved.
    Column("reused", BigInteger, nullable=False, server_default="0"),
    Column("calls", BigInteger, nullable=False, server_default="0"),
    Column("matches", BigInteger, nullable=False, server_default="0"),
    Column("errors", BigInteger, nullable=False, server_default="0"),
    # Since when the job waits for the provider's recovery, to its next answer.
    Column("parked_since", DateTime(timezone=True)),
    # Of that what counts: the part that is going on, and what earlier parts and waits came to.
    Column("waiting_since", DateTime(timezone=True)),
    Column("waiting_until", DateTime(timezone=True)),
    Column("waited_seconds", Float, nullable=False, server_default="0"),
    Column("last_error", Text),
    PrimaryKeyConstraint("job_id", "provider"),
    ForeignKeyConstraint(
        ["workspace_id", "job_id"], ["enrichment_jobs.workspace_id", "enrichment_jobs.id"], ondelete="CASCADE"
    ),
)

enrichment_records = Table(
    "enrichment_records",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    Column("job_id", Uuid, nullable=False),
    Column("position", Integer, nullable=False),
    Column("key", Text, nullable=False),
    # As it came, column order kept (json, not jsonb).
    Column("input", JSON, nullable=False),
    # What it is looked up by, normalised, and the name of that; NULL where there is nothing to look up by.
    Column("subject", JSON),
    Column("subject_key", Text),
    # The first record of the job with the same subject_key: it pays, the others reuse its answers.
    Column("leader", Integer, nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("reason", Text),
    # {"code", "field", "message"} of an invalid record.
    Column("error", JSONB),
    PrimaryKeyConstraint("job_id", "position"),
    UniqueConstraint("job_id", "key"),
    ForeignKeyConstraint(
        ["workspace_id", "job_id"], ["enrichment_jobs.workspace_id", "enrichment_jobs.id"], ondelete="CASCADE"
    ),
    # None on the status: each record's changes, and an update of an indexed column cannot stay on its page.
    Index("ix_enrichment_records_followers", "job_id", "leader", postgresql_where=text("leader <> position")),
    # What was asked about the same subject before.
    Index("ix_enrichment_records_subjects", "workspace_id", "subject_key", postgresql_where=text("leader = position")),
    CheckConstraint("status IN ('pending', 'matched', 'partial', 'not_found', 'failed', 'cancelled')", name="status"),
)

# What one provider answered about one record. The primary key is the business key of the charge.
enrichment_answers = Table(
    "enrichment_answers",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    Column("job_id", Uuid, nullable=False),
    Column("position", Integer, nullable=False),
    Column("provider", Text, nullable=False),
    # found, missed, unreachable, skipped_outage, gave_up, rejected, malformed, budget are final; others are not:
    # retrying (`tries` calls failed so far), pending (the vendor works it out, and is asked by `handle` at `poll_at`),
    # unverified (found, but its e-mail address has not passed the verifier).
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    # {field: [value, confidence]} of a found answer.
    Column("found", JSONB),
    Column("credits", Integer, nullable=False, server_default="0"),
    Column("tries", SmallInteger, nullable=False, server_default="1"),
    Column("answered_at", DateTime(timezone=True), nullable=False),
    Column("handle", Text),
    Column("poll_at", DateTime(timezone=True)),
    # When it was taken over from an earlier job, which had it at `answered_at`.
    Column("reused_at", DateTime(timezone=True)),
    # The workflow run that asked.
    Column("run_id", Uuid),
    PrimaryKeyConstraint("job_id", "position", "provider"),
    ForeignKeyConstraint(
        ["workspace_id", "job_id"], ["enrichment_jobs.workspace_id", "enrichment_jobs.id"], ondelete="CASCADE"
    ),
    CheckConstraint(
        "outcome IN ('found', 'missed', 'unreachable', 'skipped_outage', 'gave_up', 'rejected', 'malformed',"
        " 'budget', 'retrying', 'pending', 'unverified')",
        name="outcome",
    ),
)

# Credits set aside for the calls of a running lookup, where the job's hold is smaller than its worst case.
enrichment_reservations = Table(
    "enrichment_reservations",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    Column("job_id", Uuid, nullable=False),
    Column("provider", Text, nullable=False),
    Column("first", Integer, nullable=False),
    Column("credits", BigInteger, nullable=False),
    PrimaryKeyConstraint("job_id", "provider", "first"),
    ForeignKeyConstraint(
        ["workspace_id", "job_id"], ["enrichment_jobs.workspace_id", "enrichment_jobs.id"], ondelete="CASCADE"
    ),
)

# Who is about to buy an answer that others may want too: they wait for it, to `until` at the most.
enrichment_claims = Table(
    "enrichment_claims",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    Column("provider", Text, nullable=False),
    Column("subject_key", Text, nullable=False),
    Column("job_id", Uuid, nullable=False),
    Column("position", Integer, nullable=False),
    Column("until", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("workspace_id", "provider", "subject_key"),
    ForeignKeyConstraint(
        ["workspace_id", "job_id"], ["enrichment_jobs.workspace_id", "enrichment_jobs.id"], ondelete="CASCADE"
    ),
    Index("ix_enrichment_claims_job_id", "job_id", "provider", "position"),
)

# How often each provider was asked for a field, and filled it: of the installation, not of a workspace.
provider_hit_rates = Table(
    "provider_hit_rates",
    metadata,
    Column("provider", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("asked", BigInteger, nullable=False),
    Column("filled", BigInteger, nullable=False),
    PrimaryKeyConstraint("provider", "entity", "field"),
    CheckConstraint("filled BETWEEN 0 AND asked", name="filled"),
)

# What a vendor answered about some records of a job, in its own words: one row for each flush of a lookup.
enrichment_raw_answers = Table(
    "enrichment_raw_answers",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    # UUIDv7: in order of time.
    Column("id", Uuid, nullable=False),
    Column("job_id", Uuid, nullable=False),
    Column("provider", Text, nullable=False),
    # Positions of the records: the lowest and the highest.
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    # How many were too long to be kept.
    Column("oversized", Integer, nullable=False),
    # As app/enrichment/raw_answers.py packs them.
    Column("body", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("workspace_id", "id"),
    ForeignKeyConstraint(
        ["workspace_id", "job_id"], ["enrichment_jobs.workspace_id", "enrichment_jobs.id"], ondelete="CASCADE"
    ),
    Index(None, "job_id", "first"),
    # For the sweep.
    Index(None, "created_at"),
)

# Who was erased: known by name while that goes on, by a digest afterwards. The counts say where something was.
enrichment_erasures = Table(
    "enrichment_erasures",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text),
    # SHA-256 of "<id>:<kind>:<subject>".
    Column("digest", LargeBinary, nullable=False),
    Column("inputs", BigInteger, nullable=False, server_default="0"),
    Column("results", BigInteger, nullable=False, server_default="0"),
    Column("raw_answers", BigInteger, nullable=False, server_default="0"),
    Column("reuse", BigInteger, nullable=False, server_default="0"),
    Column("events", BigInteger, nullable=False, server_default="0"),
    Column("remembered_answers", BigInteger, nullable=False, server_default="0"),
    Column("receivers_answers", BigInteger, nullable=False, server_default="0"),
    Column("dead_letters", BigInteger, nullable=False, server_default="0"),
    # Jobs that had not ended when something was erased from them.
    Column("running_jobs", ARRAY(Uuid), nullable=False, server_default="{}"),
    # The key, or the person.
    Column("requested_by", Uuid, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # Last sign of life (the reconciler looks for silence).
    Column("alive_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("finished_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("workspace_id", "id"),
    Index("ix_enrichment_erasures_unfinished", "alive_at", postgresql_where=text("finished_at IS NULL")),
    CheckConstraint("kind IN ('email', 'domain')", name="kind"),
    CheckConstraint("(subject IS NULL) = (finished_at IS NOT NULL)", name="subject"),
)
