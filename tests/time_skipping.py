"""A Temporal whose waiting takes no time: the server's per-workflow clocks jump to the next timer or retry.

The SDK marks the feature as experimental (temporalio 1.35), so tests know it through this file only.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from app.local.process import script

_FLAGS = {
    # The name up to server 1.32, and the name after it.
    "frontend.WorkflowTimeSkippingEnabled": "true",
    "system.workflowTimeSkippingEnabled": "true",
    "history.timerProcessorMaxTimeShift": '"20ms"',
}


@asynccontextmanager
async def skipping_time() -> AsyncIterator[Client]:
    """A client of a server of its own; workflows that it starts do not wait."""
    environment = await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=str(script("temporal")),
        dev_server_log_level="error",
        dev_server_extra_args=[
            part for name, value in _FLAGS.items() for part in ("--dynamic-config-value", f"{name}={value}")
        ],
    )
    async with environment:
        yield environment.client
