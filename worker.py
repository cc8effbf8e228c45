"""The worker process: settings → resources → one Worker per task queue, and the relay → run until a signal."""

import asyncio
import signal
import sys
from datetime import timedelta

import structlog
import uvloop
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities import catalog as activities
from app.background import loops
from app.billing.plans import load_plans
from app.collector import tune_collector
from app.errors import Unavailable
from app.logging import configure_logging
from app.metrics import serve
from app.outages.service import circuit_changed
from app.resources import WorkerResources, open_worker
from app.settings import Settings, SettingsError, load_settings
from app.temporal import bootstrap
from workflows import catalog as workflows
from workflows import options

GRACE = timedelta(seconds=20)
DATABASE_SLOTS = 100
# A lookup waits for its workspace's places with its slot, and Temporal gives the next free one to the workspace that
# has had the fewest. With 400, which all beat, a small job did not end beside a hundred large ones (measured).
PROVIDER_SLOTS = 16
# One is held by each endpoint that something is sent to, for as long as that takes.
DELIVERY_SLOTS = 200
SLOTS = {options.DATABASE: DATABASE_SLOTS, options.DELIVERY: DELIVERY_SLOTS}
# To import these anew for each workflow is three quarters of what its start takes (measured); they hold constants and
# types alone. What decides anything, the workflows themselves, is checked by the sandbox as ever.
PLAIN_MODULES = ("workflows.contracts", "workflows.options", "workflows.attributes", "workflows.ids")


def build_workers(resources: WorkerResources) -> list[Worker]:
    """One worker for the workflows and one for each activity queue, all on one client."""
    prefix = resources.settings.temporal.task_queue_prefix
    bound = dict(activities.build(resources))
    return [
        Worker(
            resources.temporal,
            task_queue=prefix + options.WORKFLOWS,
            workflows=workflows.WORKFLOWS,
            workflow_runner=SandboxedWorkflowRunner(
                restrictions=SandboxRestrictions.default.with_passthrough_modules(*PLAIN_MODULES)
            ),
            activities=bound.pop(options.WORKFLOWS),
            # What is done at hand has no queue.
            no_remote_activities=True,
            max_cached_workflows=2000,
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
            graceful_shutdown_timeout=GRACE,
        ),
        *(
            Worker(
                resources.temporal,
                task_queue=prefix + queue,
                activities=served,
                max_concurrent_activities=SLOTS.get(queue, PROVIDER_SLOTS),
                # What a stopped process has polled for is lost to it for a heartbeat timeout each: poll for little.
                max_concurrent_activity_task_polls=2,
                # A beat carries nothing: it goes out often, because a cancellation comes back with it.
                max_heartbeat_throttle_interval=timedelta(seconds=1),
                default_heartbeat_throttle_interval=timedelta(seconds=1),
                graceful_shutdown_timeout=GRACE,
            )
            for queue, served in bound.items()
        ),
    ]


async def run(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    plans = load_plans(settings.billing.plans_file)
    async with open_worker(settings, circuit_changed, plans.limits) as resources:
        await bootstrap(resources.temporal)
        workers = build_workers(resources)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each.run()) for each in workers]
            background = [tasks.create_task(loop) for loop in loops(resources)]
            if settings.worker_metrics_port is not None:
                serve(resources.metrics, settings.worker_metrics_port)
            tune_collector()
            structlog.get_logger("worker").info("worker ready", queues=len(workers))
            await stop.wait()
            await asyncio.gather(*(each.shutdown() for each in workers))
            for task in (*running, *background):
                task.cancel()


def main() -> None:
    # Each workflow imports its module anew. Where no bytecode is written that is compiled each time, which is half of
    # what a workflow's start takes (measured).
    sys.dont_write_bytecode = False
    try:
        settings = load_settings()
        configure_logging(settings.log_level)
        uvloop.run(run(settings))
    except (SettingsError, Unavailable) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
