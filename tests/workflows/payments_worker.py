"""A worker process that serves the queue of the payment provider alone, with a provider in memory whose answers it
keeps back: ``python -m tests.workflows.payments_worker WORKSPACE CUSTOMER`` with the settings of a worker.

Says ``ready``, and ``read`` when it was asked for the last of what a look reads, which it answers when it is told
something on stdin. It has the customer, and nothing that the customer bought.
"""

import asyncio
import sys
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from temporalio.worker import Worker

from activities import catalog as activities
from app.providers.payments import Page, PayingCustomer, Payment
from app.resources import open_worker
from app.settings import load_settings
from tests.fakes_payments import FakePayments
from workflows import options

QUEUE = options.provider_queue("stripe")


class HeldPayments(FakePayments):
    async def payments(self, customer_id: str | None = None, **which: object) -> Page[Payment]:  # type: ignore[override]
        _say("read")
        await asyncio.to_thread(sys.stdin.readline)
        return await super().payments(customer_id, **which)  # type: ignore[arg-type]


async def _serve(workspace_id: UUID, customer_id: str) -> None:
    payments = HeldPayments()
    payments.put(PayingCustomer(customer_id, workspace_id))
    async with open_worker(load_settings()) as resources:
        worker = Worker(
            resources.temporal,
            task_queue=resources.settings.temporal.task_queue_prefix + QUEUE,
            activities=activities.build(replace(resources, payments=payments))[QUEUE],
            # While it is at a look it takes no other, which would be lost for a while to a process that stands still.
            max_concurrent_activities=1,
            max_heartbeat_throttle_interval=timedelta(seconds=1),
            default_heartbeat_throttle_interval=timedelta(seconds=1),
        )
        _say("ready")
        await worker.run()


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(UUID(sys.argv[1]), sys.argv[2]))
