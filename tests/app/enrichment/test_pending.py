"""A provider that works out its answers: it is asked for them by handle when it said, and nothing is bought twice."""

import pytest

from app.enrichment.errors import LookupPostponed
from app.providers.errors import ProviderError, Transient
from app.providers.ports import Answer, Found, Pending, Query
from tests.app.enrichment.lookups import Lookups
from tests.fakes import FAKE_FIELDS, FakeSource

DOMAINS = [f"company-{n}.com" for n in range(1, 11)]
KNOWN = Found(dict.fromkeys(FAKE_FIELDS, "known"))


class Working:
    """Answers five of ten at once, and says of the others that it works, until it is ready."""

    def __init__(self) -> None:
        self.bought: list[str] = []
        self.polls: ProviderError | Pending | Found = KNOWN

    def __call__(self, query: Query) -> Answer | ProviderError:
        if query.handle is not None:
            return self.polls
        self.bought.append(query.key)
        is_slow = len(self.bought) % 2 == 0
        return Pending(f"handle-{query.key}", 60.0) if is_slow else KNOWN


async def make_due(lookups: Lookups) -> None:
    await lookups.select(
        "UPDATE enrichment_answers SET poll_at = now() - interval '1 second' WHERE outcome = 'pending'"
    )


async def test_a_lookup_says_when_to_come_back_and_then_polls(lookups: Lookups):
    working = Working()
    source = FakeSource(answer=working)
    job_id = await lookups.job(DOMAINS, source)

    first = await lookups.run(job_id, source)
    early = await lookups.run(job_id, source)
    await make_due(lookups)
    last = await lookups.run(job_id, source)

    assert (first.calls, first.open_records) == (10, 5)
    assert first.pending_seconds is not None
    assert 55 < first.pending_seconds <= 60
    assert (early.calls, early.pending_seconds is not None) == (0, True)
    assert (last.calls, last.open_records, last.pending_seconds) == (5, 0, None)
    assert sorted(source.polled) == sorted(f"handle-{key}" for key in working.bought[1::2])
    assert len(working.bought) == 10
    assert ((await lookups.row(job_id))["charged"], (await lookups.row(job_id))["matched"]) == (20, 10)


async def test_a_poll_that_fails_keeps_the_handle(lookups: Lookups):
    working = Working()
    source = FakeSource(answer=working)
    job_id = await lookups.job(DOMAINS, source)
    await lookups.run(job_id, source)
    await make_due(lookups)
    working.polls = Transient("alpha", "failed")
    with pytest.raises((LookupPostponed, ProviderError)):
        await lookups.run(job_id, source)

    working.polls = KNOWN
    await make_due(lookups)
    done = await lookups.run(job_id, source)

    assert (done.open_records, len(working.bought)) == (0, 10)


async def test_what_is_still_pending_is_polled_again_and_given_up_after_its_time(lookups: Lookups):
    working = Working()
    source = FakeSource(answer=working)
    job_id = await lookups.job(DOMAINS, source)
    await lookups.run(job_id, source)
    working.polls = Pending("another", 30.0)
    await make_due(lookups)

    again = await lookups.run(job_id, source)
    handles = {each["handle"] for each in await lookups.answers(job_id) if each["outcome"] == "pending"}
    await make_due(lookups)
    await lookups.select(
        "UPDATE enrichment_answers SET answered_at = now() - interval '2 hours' WHERE outcome = 'pending'"
    )
    done = await lookups.run(job_id, source)

    assert (again.open_records, again.pending_seconds is not None, handles) == (5, True, {"another"})
    assert (done.open_records, done.pending_seconds) == (0, None)
    given_up = [each["reason"] for each in await lookups.answers(job_id) if each["outcome"] == "gave_up"]
    assert given_up == ["pending"] * 5
    assert (await lookups.row(job_id))["charged"] == 10
