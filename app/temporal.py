"""The Temporal client: one per process, made in the loop that uses it."""

import asyncio
import gc
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import structlog
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
    RemoveSearchAttributesRequest,
)
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import Priority, SearchAttributePair, TypedSearchAttributes
from temporalio.runtime import Runtime
from temporalio.service import RetryConfig, RPCError, RPCStatusCode

from app.errors import Unavailable
from app.settings import TemporalSettings
from workflows import options
from workflows.attributes import OUTCOME, PROCESS, PROVIDER, WORKSPACE_ID

# A namespace of a server on SQL has room for ten Keyword and three KeywordList.
SEARCH_ATTRIBUTES: "Mapping[str, IndexedValueType.ValueType]" = {
    key.name: cast("IndexedValueType.ValueType", int(key.indexed_value_type))
    for key in (WORKSPACE_ID, PROCESS, PROVIDER, OUTCOME)
}
RETENTION = timedelta(days=30)

# A request waits for its answer: what cannot be sent in about two seconds is refused (default: ten).
_IMPATIENT = RetryConfig(max_elapsed_time_millis=2000, max_retries=5)

_AWAY = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
    }
)
# How Temporal Cloud, and clusters with their own administration, answer to what only their operators may do.
_NOT_OURS = frozenset({RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED})

T = TypeVar("T")

_log = structlog.get_logger(__name__)


async def connect(settings: TemporalSettings, *, lazy: bool, runtime: Runtime | None = None) -> Client:
    """A client of the namespace in `settings`.

    `lazy` suits the API: the server is reached by the first call, and a call gives up after about two seconds. A
    worker needs a client that is not. Raises Unavailable when `lazy` is false and the server cannot be reached.
    """
    with reaching_temporal():
        return await Client.connect(
            settings.address,
            namespace=settings.namespace,
            api_key=settings.api_key.get_secret_value() if settings.api_key else None,
            tls=settings.tls,
            lazy=lazy,
            retry_config=_IMPATIENT if lazy else None,
            runtime=runtime,
        )


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` for a program that ends soon after it used a client.

    The client's native threads may still release Python objects then, which aborts an interpreter that is being torn
    down (sdk-python issue 300): they get the moment that they need.
    """
    try:
        return asyncio.run(main)
    finally:
        gc.collect()
        time.sleep(0.05)


@contextmanager
def reaching_temporal() -> Iterator[None]:
    """Around one call of the client: Unavailable in place of the errors that say that the server is away."""
    try:
        yield
    except RPCError as error:
        if error.status not in _AWAY:
            raise
        raise Unavailable("Temporal is not available; try again.", retry_after=1) from error
    except RuntimeError as error:  # what the client raises while it has no connection at all
        raise Unavailable("Temporal cannot be reached; try again.", retry_after=1) from error


def start_options(
    settings: TemporalSettings, workspace_id: UUID, process: str, *, weight: float | None = None
) -> dict[str, Any]:
    """How a workflow of the workspace is started: on this stack's queue, found by its search attributes, and served in
    turn with those of other workspaces. `weight` is that of its plan; one that the installation gives goes first."""
    return {
        "task_queue": settings.task_queue_prefix + options.WORKFLOWS,
        "task_timeout": options.WORKFLOW_TASK_TIMEOUT,
        # Inherited by all that the workflow starts: its activities, and the run that it continues as.
        "priority": Priority(
            fairness_key=str(workspace_id), fairness_weight=settings.fairness_weights.get(workspace_id, weight)
        ),
        "search_attributes": TypedSearchAttributes(
            [SearchAttributePair(WORKSPACE_ID, str(workspace_id)), SearchAttributePair(PROCESS, process)]
        ),
    }


async def bootstrap(client: Client) -> None:
    """Give the client's namespace our search attributes and at least 30 days of retention. Idempotent.

    Where we may not (Temporal Cloud) this is left to its operators, with a warning in the log. Raises Unavailable.
    """
    try:
        with reaching_temporal():
            await _add_search_attributes(client)
            await _extend_retention(client)
    except RPCError as error:
        if error.status not in _NOT_OURS:
            raise
        _log.warning("temporal namespace left as it is", namespace=client.namespace, reason=error.message)


async def ensure_schedule(
    client: Client,
    settings: TemporalSettings,
    *,
    name: str,
    workflow: str,
    argument: Any,
    every: timedelta,
    process: str,
    is_wanted: bool = True,
) -> None:
    """Have `workflow` started every so often on this stack's queue, never twice at a time, or, where that is not
    wanted, no longer. Idempotent.

    One that is there gets the interval that is wanted now, and stays paused where an operator paused it. Where we may
    not make schedules this is left to the namespace's operators, with a warning in the log. Raises Unavailable.
    """
    if not is_wanted:
        await _remove_schedule(client, settings.task_queue_prefix + name)
        return
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)])
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            workflow,
            argument,
            id=settings.task_queue_prefix + name,
            task_queue=settings.task_queue_prefix + options.WORKFLOWS,
            task_timeout=options.WORKFLOW_TASK_TIMEOUT,
            typed_search_attributes=TypedSearchAttributes([SearchAttributePair(PROCESS, process)]),
        ),
        spec=spec,
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)),
    )

    def changed(found: ScheduleUpdateInput) -> ScheduleUpdate | None:
        if found.description.schedule.spec.intervals == spec.intervals:
            return None
        return ScheduleUpdate(replace(schedule, state=found.description.schedule.state))

    try:
        with reaching_temporal():
            await client.create_schedule(settings.task_queue_prefix + name, schedule)
    except ScheduleAlreadyRunningError:
        with reaching_temporal():
            await client.get_schedule_handle(settings.task_queue_prefix + name).update(changed)
    except RPCError as error:
        if error.status not in _NOT_OURS:
            raise
        _log.warning("temporal schedule not made", schedule=name, reason=error.message)


async def _remove_schedule(client: Client, schedule_id: str) -> None:
    try:
        with reaching_temporal():
            await client.get_schedule_handle(schedule_id).delete()
    except RPCError as error:
        if error.status not in _NOT_OURS and error.status != RPCStatusCode.NOT_FOUND:
            raise


async def _add_search_attributes(client: Client) -> None:
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    # Provider was a Keyword before anything was ever written to it; another type would fail every workflow that waits.
    wrong = [name for name, kind in SEARCH_ATTRIBUTES.items() if known.custom_attributes.get(name, kind) != kind]
    if wrong:
        await client.operator_service.remove_search_attributes(
            RemoveSearchAttributesRequest(namespace=client.namespace, search_attributes=wrong)
        )
    missing = {
        name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name in wrong or name not in known.custom_attributes
    }
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )


async def _extend_retention(client: Client) -> None:
    namespace = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    if namespace.config.workflow_execution_retention_ttl.ToTimedelta() >= RETENTION:
        return
    retention = Duration()
    retention.FromTimedelta(RETENTION)
    await client.workflow_service.update_namespace(
        UpdateNamespaceRequest(
            namespace=client.namespace, config=NamespaceConfig(workflow_execution_retention_ttl=retention)
        )
    )
