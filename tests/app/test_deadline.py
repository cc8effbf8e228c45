"""The time limit of calls: it ends what is late, and nothing else."""

import asyncio

import pytest

from app.deadline import Deadline


async def forever(deadline: Deadline) -> None:
    with deadline.running():
        await asyncio.Event().wait()


async def test_what_is_late_gets_a_timeout_and_the_task_goes_on() -> None:
    with pytest.raises(TimeoutError):
        await forever(Deadline(0.01))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_is_in_time_is_left_alone() -> None:
    deadline = Deadline(0.05)
    with deadline.running():
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)


async def test_each_of_many_tasks_has_its_own_time() -> None:
    deadline = Deadline(0.05)
    first = asyncio.create_task(forever(deadline))
    await asyncio.sleep(0.03)
    second = asyncio.create_task(forever(deadline))
    done, _ = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
    assert done == {first}
    with pytest.raises(TimeoutError):
        await second


async def test_a_cancellation_from_outside_stays_a_cancellation() -> None:
    deadline = Deadline(10)
    task = asyncio.create_task(forever(deadline))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_in_the_moment_of_expiry_wins() -> None:
    deadline = Deadline(0.01)
    task = asyncio.create_task(forever(deadline))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.01, task.cancel)
    with pytest.raises((asyncio.CancelledError, TimeoutError)):
        await task


async def test_an_error_of_its_own_passes_through() -> None:
    with pytest.raises(ValueError, match="mine"), Deadline(1).running():
        raise ValueError("mine")
