"""How many calls of one workspace are under way: all that it may alone, fewer beside others, in the order of asking."""

import asyncio
from uuid import UUID

from app.enrichment.places import Calls, Places

OURS, THEIRS = UUID(int=1), UUID(int=2)


async def under_way(calls: Calls, wanted: int) -> tuple[int, asyncio.Event, list[asyncio.Task[None]]]:
    """How many of so many calls get a place at once; they keep it until the event."""
    begun, end = 0, asyncio.Event()

    async def call() -> None:
        nonlocal begun
        async with calls:
            begun += 1
            await end.wait()

    tasks = [asyncio.create_task(call()) for _ in range(wanted)]
    for _ in range(3):
        await asyncio.sleep(0)
    return begun, end, tasks


async def test_a_workspace_alone_has_all_places_of_each_provider():
    places = Places(10, 4, shared_calls=3)
    for provider in ("hunter", "apollo"):
        calls = places.calls(OURS, provider)
        begun, end, tasks = await under_way(calls, 20)
        assert begun == 10
        end.set()
        await asyncio.gather(*tasks)


async def test_beside_another_it_has_its_share():
    places = Places(10, 4, shared_calls=3)
    places.see(THEIRS)
    calls = places.calls(OURS, "hunter")
    begun, end, tasks = await under_way(calls, 20)
    assert begun in (1, 2, 3)
    end.set()
    await asyncio.gather(*tasks)


async def test_who_is_cancelled_while_waiting_takes_nobodys_place():
    places = Places(1, 4, shared_calls=1)
    calls = places.calls(OURS, "hunter")
    _, end, tasks = await under_way(calls, 3)
    tasks[1].cancel()
    end.set()
    await asyncio.gather(tasks[0], tasks[2])
    begun, end, more = await under_way(calls, 2)
    assert begun == 1
    end.set()
    await asyncio.gather(*more)
