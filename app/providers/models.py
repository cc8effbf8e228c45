"""The tables of providers: circuits and quotas as all processes share them, and how the calls go. They belong to the
installation, not to a workspace."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, DateTime, Float, Integer, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.db import metadata

# `version` counts the changes of the circuit: who changes it names the one that it knows. `opened_at`, `cause` and
# `probes` are those of the outage that lasts, `closed_at` is when the last one ended. `probe_by` is the process that
# holds the one probe, until `probe_until`. `forced`, `disabled` and `hand_…` are the operator's; `announced` is false
# where a change of theirs has not been told by a worker.
provider_health = Table(
    "provider_health",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("circuit", Text, nullable=False),
    Column("opened_at", DateTime(timezone=True)),
    Column("opens_until", DateTime(timezone=True)),
    Column("success_rate", Float),
    Column("p95_seconds", Float),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("version", BigInteger, nullable=False, server_default="0"),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("closed_at", DateTime(timezone=True)),
    Column("cause", JSONB, nullable=False, server_default="{}"),
    Column("probes", Integer, nullable=False, server_default="0"),
    Column("probe_by", Uuid),
    Column("probe_until", DateTime(timezone=True)),
    Column("forced", Text),
    Column("disabled", Boolean, nullable=False, server_default="false"),
    Column("hand_reason", Text),
    Column("hand_at", DateTime(timezone=True)),
    Column("announced", Boolean, nullable=False, server_default="true"),
    CheckConstraint("circuit IN ('closed', 'open', 'half_open')", name="circuit"),
    CheckConstraint("forced = 'open'", name="forced"),
)

# By `credential`: '' is the installation's, else the id of the workspace whose own it is. No role reads these tables:
# functions lease (`lease_provider_quota`) and block (`block_provider_quota`). `refusals` counts those for the pace that
# came one after the other.
provider_quotas = Table(
    "provider_quotas",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("credential", Text, primary_key=True),
    Column("blocked_until", DateTime(timezone=True)),
    Column("refusals", Integer, nullable=False, server_default="0"),
)

# What was `leased` of a window in each of its last 51 fiftieths; the last one is the fiftieth number `newest` since
# 1970.
provider_quota_windows = Table(
    "provider_quota_windows",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("credential", Text, primary_key=True),
    Column("seconds", Integer, primary_key=True),
    Column("newest", BigInteger, nullable=False),
    Column("leased", ARRAY(Integer), nullable=False),
    CheckConstraint("cardinality(leased) = 51", name="leased"),
)

# What was leased since the circuit closed, of what the slow start allows.
provider_ramps = Table(
    "provider_ramps",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("closed_at", DateTime(timezone=True), nullable=False),
    Column("leased", Integer, nullable=False),
)
