"""The queue before a provider: as many as there are places, nobody lost, and workspaces in turn."""

import asyncio
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.providers.bulkhead import Bulkhead
from app.providers.turns import Who

LARGE, SMALL, THIRD = (UUID(int=number) for number in (1, 2, 3))


class Queue:
    """A bulkhead, and in which order it let its callers in."""

    def __init__(self, places: int) -> None:
        self.bulkhead = Bulkhead(places)
        self.entered: list[str] = []
        self.inside = 0
        self.most = 0

    async def call(self, who: Who, name: str, leave: asyncio.Event | None = None) -> None:
        if not self.bulkhead.enter():
            await self.bulkhead.wait(who)
        self.entered.append(name)
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await (leave.wait() if leave else asyncio.sleep(0))
        finally:
            self.inside -= 1
            self.bulkhead.leave()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_small_workspace_is_not_behind_the_queue_of_a_large_one() -> None:
    queue = Queue(1)
    held = asyncio.Event()
    calls = [asyncio.create_task(queue.call(LARGE, "first", held))]
    await settle()
    calls += [asyncio.create_task(queue.call(LARGE, f"large{n}")) for n in range(1000)]
    await settle()
    calls += [asyncio.create_task(queue.call(SMALL, f"small{n}")) for n in range(3)]
    await settle()
    held.set()
    await asyncio.gather(*calls)
    assert queue.entered[:8] == ["first", "large0", "small0", "large1", "small1", "large2", "small2", "large3"]
    assert queue.entered[8:] == [f"large{n}" for n in range(4, 1000)]


async def test_calls_of_no_workspace_have_one_turn_among_the_others() -> None:
    queue = Queue(1)
    held = asyncio.Event()
    calls = [asyncio.create_task(queue.call(None, "first", held))]
    await settle()
    for who, name in ((None, "none"), (LARGE, "large"), (None, "none"), (LARGE, "large"), (None, "none")):
        calls.append(asyncio.create_task(queue.call(who, name)))
    await settle()
    held.set()
    await asyncio.gather(*calls)
    assert queue.entered == ["first", "none", "large", "none", "large", "none"]


async def test_a_place_that_is_given_to_a_caller_who_is_cancelled_in_that_moment_goes_to_the_next() -> None:
    queue = Queue(1)
    assert queue.bulkhead.enter()
    cancelled, next_one = (asyncio.create_task(queue.call(LARGE, name)) for name in ("cancelled", "next"))
    await settle()
    queue.bulkhead.leave()  # to the first of them, who is cancelled before it runs
    cancelled.cancel()
    await next_one
    assert queue.entered == ["next"]
    assert queue.bulkhead.enter()


async def test_who_leaves_the_queue_is_forgotten_at_once() -> None:
    queue = Queue(1)
    assert queue.bulkhead.enter()
    calls = [asyncio.create_task(queue.call(LARGE, "call")) for _ in range(100)]
    await settle()
    assert queue.bulkhead.waiting == 100
    for call in calls:
        call.cancel()
    await settle()
    assert queue.bulkhead.waiting == 0


@given(
    places=st.integers(1, 4),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("call"), st.sampled_from([LARGE, SMALL, THIRD, None])),
            st.tuples(st.sampled_from(["leave", "cancel", "both"]), st.integers(0, 30)),
        ),
        max_size=60,
    ),
)
def test_no_place_is_lost_or_given_twice(places: int, steps: list[tuple[str, UUID | int | None]]) -> None:
    async def run() -> None:
        queue = Queue(places)
        releases: list[asyncio.Event] = []
        calls: list[asyncio.Task[None]] = []
        for step, argument in steps:
            if not isinstance(argument, int):
                releases.append(asyncio.Event())
                calls.append(asyncio.create_task(queue.call(argument, step, releases[-1])))
            elif calls:
                index = argument % len(calls)
                if step != "cancel":
                    releases[index].set()
                    await asyncio.sleep(0)
                if step != "leave":
                    calls[index].cancel()
            await settle()
            running = sum(not call.done() for call in calls)
            assert queue.inside == min(places, running)
            assert queue.bulkhead.waiting == running - queue.inside
        for release in releases:
            release.set()
        await asyncio.gather(*calls, return_exceptions=True)
        assert queue.most <= places
        assert all(queue.bulkhead.enter() for _ in range(places))
        assert not queue.bulkhead.enter()

    asyncio.run(run())


@given(
    loads=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    shuffled=st.randoms(use_true_random=False),
)
def test_workspaces_that_wait_are_served_round_robin_and_each_in_its_order(loads: list[int], shuffled: Random) -> None:
    async def run() -> None:
        queue = Queue(1)
        assert queue.bulkhead.enter()
        arrivals = [who for who, load in enumerate(loads) for _ in range(load)]
        shuffled.shuffle(arrivals)
        turns = [(who, arrivals[:place].count(who)) for place, who in enumerate(arrivals)]
        calls = [asyncio.create_task(queue.call(UUID(int=who), f"{who}:{turn}")) for who, turn in turns]
        await settle()
        queue.bulkhead.leave()
        await asyncio.gather(*calls)
        # One of each in every round, by who came first; the n-th of a workspace in the n-th round.
        ring = list(dict.fromkeys(arrivals))
        assert queue.entered == [f"{who}:{turn}" for turn in range(12) for who in ring if turn < loads[who]]

    asyncio.run(run())
