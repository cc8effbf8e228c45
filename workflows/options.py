"""Task queues, and what each is allowed: time limits, retries. An option at a call is named here or is a mistake.

A stack's queues share a prefix (tests run many stacks on one server): the workflow queue is ``<prefix>workflows``,
so a workflow finds its siblings' prefix in its own queue's name.
"""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

WORKFLOWS = "workflows"
DATABASE = "database"
DELIVERY = "delivery"

# A worker that is gone is noticed by its silence, not by the end of what its work may take.
_HEARTBEAT_TIMEOUT = timedelta(seconds=4)

# Retried until the database is back: none of these activities waits for anything else.
DATABASE_OPTIONS: dict[str, Any] = {
    "start_to_close_timeout": timedelta(minutes=2),
    "heartbeat_timeout": _HEARTBEAT_TIMEOUT,
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=0.2), backoff_coefficient=1.5, maximum_interval=timedelta(seconds=5)
    ),
}

# Of the database too, done once and at once in the worker that has the workflow: that spares a task of each kind, which
# is a fifth of what a job of one record takes. What does not end well so is done by DATABASE_OPTIONS.
AT_HAND_OPTIONS: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=2),
    "retry_policy": RetryPolicy(maximum_attempts=1),
}

# Reads all that a workspace ever did, and nobody waits for it.
AUDIT_OPTIONS: dict[str, Any] = {**DATABASE_OPTIONS, "start_to_close_timeout": timedelta(minutes=20)}

# What a lookup that was asked for before some moment writes, it has written so long after that moment.
LONGEST_LOOKUP = timedelta(minutes=10)

# No schedule_to_close: how long a job waits for a provider is counted by the job, in its own rows.
# WAIT_CANCELLATION_COMPLETED: a cancelled lookup flushes what is in flight before the job goes on.
PROVIDER_OPTIONS: dict[str, Any] = {
    "start_to_close_timeout": LONGEST_LOOKUP,
    "heartbeat_timeout": _HEARTBEAT_TIMEOUT,
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    # Waits for a provider carry their own delay; this one is for workers that died, and so is short.
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=0.5), backoff_coefficient=1.5, maximum_interval=timedelta(seconds=5)
    ),
}

# One look sends for as long as there is something to send, a minute at the most; an answer may take 20 seconds.
DELIVERY_OPTIONS: dict[str, Any] = {**PROVIDER_OPTIONS, "start_to_close_timeout": timedelta(minutes=3)}

# A mail server may be away for a while; what a mail says is old news after a day.
MAIL_OPTIONS: dict[str, Any] = {
    "start_to_close_timeout": timedelta(minutes=2),
    "schedule_to_close_timeout": timedelta(days=1),
    "heartbeat_timeout": _HEARTBEAT_TIMEOUT,
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=5), backoff_coefficient=2, maximum_interval=timedelta(hours=1)
    ),
}

# Somebody may be waiting for the answer: past a minute nobody cares any more.
VERIFICATION_OPTIONS: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=40),
    "schedule_to_close_timeout": timedelta(minutes=1),
    "heartbeat_timeout": _HEARTBEAT_TIMEOUT,
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=0.5), backoff_coefficient=2, maximum_interval=timedelta(seconds=10)
    ),
}

# What was used is summed up every hour, whatever the provider does: what cannot be reported by then is by the next one.
USAGE_OPTIONS: dict[str, Any] = {**PROVIDER_OPTIONS, "schedule_to_close_timeout": timedelta(minutes=40)}

WORKFLOW_TASK_TIMEOUT = timedelta(seconds=5)


def provider_queue(provider: str) -> str:
    """The activity queue of one provider: its bulkhead and its visible backlog."""
    return f"provider-{provider}"


def at_hand() -> dict[str, Any]:
    """AT_HAND_OPTIONS, on no queue at all."""
    return AT_HAND_OPTIONS


def database() -> dict[str, Any]:
    """DATABASE_OPTIONS on this stack's database queue. To be called in a workflow."""
    return {"task_queue": _sibling(DATABASE), **DATABASE_OPTIONS}


def audit() -> dict[str, Any]:
    """AUDIT_OPTIONS on this stack's database queue. To be called in a workflow."""
    return {"task_queue": _sibling(DATABASE), **AUDIT_OPTIONS}


def provider(name: str) -> dict[str, Any]:
    """PROVIDER_OPTIONS on this stack's queue of the provider. To be called in a workflow."""
    return {"task_queue": _sibling(provider_queue(name)), **PROVIDER_OPTIONS}


def delivery() -> dict[str, Any]:
    """DELIVERY_OPTIONS on this stack's queue of deliveries. To be called in a workflow."""
    return {"task_queue": _sibling(DELIVERY), **DELIVERY_OPTIONS}


def mail() -> dict[str, Any]:
    """MAIL_OPTIONS on this stack's queue of deliveries. To be called in a workflow."""
    return {"task_queue": _sibling(DELIVERY), **MAIL_OPTIONS}


def verification(provider: str) -> dict[str, Any]:
    """VERIFICATION_OPTIONS on this stack's queue of the provider. To be called in a workflow."""
    return {"task_queue": _sibling(provider_queue(provider)), **VERIFICATION_OPTIONS}


def usage(provider: str) -> dict[str, Any]:
    """USAGE_OPTIONS on this stack's queue of the provider. To be called in a workflow."""
    return {"task_queue": _sibling(provider_queue(provider)), **USAGE_OPTIONS}


def _sibling(queue: str) -> str:
    return workflow.info().task_queue.removesuffix(WORKFLOWS) + queue
