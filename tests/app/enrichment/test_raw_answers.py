"""Raw answers: kept in little space for as long as is wanted, seen by their workspace alone."""

from collections.abc import AsyncIterator
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app.enrichment import raw_answers
from tests.builders import make_job, make_workspace
from tests.fakes import FakeSource
from tests.servers import Database
from tests.stack import Stack, open_stack

DOMAINS = ["a.example.com", "b.example.com", "a.example.com"]


@pytest.fixture
async def stack(database: Database, temporal_server: str) -> AsyncIterator[Stack]:
    async with open_stack(database, temporal_server, [FakeSource()]) as stack:
        yield stack


async def job_of(stack: Stack) -> UUID:
    return await make_job(stack.sessions, stack.workspace_id, DOMAINS, [FakeSource()], start=False)


async def keep(stack: Stack, job_id: UUID, provider: str, *answers: tuple[int, bytes]) -> None:
    async with stack.sessions.for_workspace(stack.workspace_id) as session:
        await raw_answers.keep(session, stack.workspace_id, job_id, provider, answers)


async def read(stack: Stack, job_id: UUID, key: str) -> list[tuple[str, bytes]]:
    return await raw_answers.read(stack.sessions, stack.workspace_id, job_id, key)


async def rows(stack: Stack) -> list[tuple[int, int, int]]:
    async with stack.owner.unscoped() as session:
        query = text("SELECT first, last, oversized FROM enrichment_raw_answers ORDER BY id")
        return [tuple(row) for row in await session.execute(query)]


@given(st.dictionaries(st.integers(0, 2**31 - 1), st.binary(max_size=300), max_size=30))
def test_what_was_packed_is_unpacked(answers: dict[int, bytes]) -> None:
    assert raw_answers.unpack(raw_answers.pack(answers)) == answers


def test_what_answers_have_in_common_takes_its_space_once() -> None:
    one = orjson.dumps({f"field_{n}": {"value": None, "source": "https://api.example.com"} for n in range(40)})
    many = dict.fromkeys(range(100), one)
    assert len(raw_answers.pack(many)) < len(one) * 100 / 20


async def test_an_answer_is_read_back_by_the_key_of_its_record_and_of_those_that_share_it(stack: Stack) -> None:
    job_id = await job_of(stack)
    await keep(stack, job_id, "hunter", (2, b'{"two": 1}'), (1, b"\xff not JSON"))
    await keep(stack, job_id, "apollo", (1, b""))

    assert await read(stack, job_id, "1") == [("hunter", b"\xff not JSON"), ("apollo", b"")]
    assert await read(stack, job_id, "2") == [("hunter", b'{"two": 1}')]
    assert await read(stack, job_id, "3") == await read(stack, job_id, "1"), "it has the same subject as the first"
    assert await read(stack, job_id, "4") == []


async def test_an_answer_that_is_too_long_is_counted_and_not_kept(stack: Stack) -> None:
    job_id = await job_of(stack)
    await keep(stack, job_id, "website", (1, bytes(raw_answers.LONGEST)), (2, bytes(raw_answers.LONGEST + 1)))

    assert await rows(stack) == [(1, 2, 1)]
    assert [len(raw) for _, raw in await read(stack, job_id, "1")] == [raw_answers.LONGEST]
    assert await read(stack, job_id, "2") == []


async def test_nothing_to_keep_is_no_row(stack: Stack) -> None:
    await keep(stack, await job_of(stack), "hunter")
    assert await rows(stack) == []


async def test_nobody_elses_workspace_reads_them(stack: Stack) -> None:
    job_id = await job_of(stack)
    await keep(stack, job_id, "hunter", (1, b"{}"))
    other = await make_workspace(stack.owner)
    assert await raw_answers.read(stack.sessions, other, job_id, "1") == []


async def test_what_was_kept_long_enough_is_swept_and_the_rest_stays(stack: Stack) -> None:
    job_id = await job_of(stack)
    for provider in ("hunter", "apollo", "website"):
        await keep(stack, job_id, provider, (1, provider.encode()))
    older = text("""
        UPDATE enrichment_raw_answers SET created_at = now() - CAST(:age AS interval) WHERE provider = :provider
    """)
    async with stack.owner.unscoped() as session:
        for provider, age in (("hunter", "30 days 1 minute"), ("apollo", "29 days 23 hours")):
            await session.execute(older, {"provider": provider, "age": age})

    platform = stack.resources.platform_sessions
    assert await raw_answers.sweep(platform, keep_days=30) == 1
    assert [provider for provider, _ in await read(stack, job_id, "1")] == ["apollo", "website"]
    assert await raw_answers.sweep(platform, keep_days=0) == 2
    assert await rows(stack) == []
