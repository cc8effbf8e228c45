"""Jobs of a workspace with its own credential: what they call with, what they cost, and what a refused key stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from sqlalchemy import text

from app.credentials.errors import CredentialsNotConfigured
from app.credentials.opening import Opener
from app.providers.errors import CredentialRejected, PaymentRequired, ProviderError, SwitchedOff
from app.settings import CredentialSettings
from tests.app.credentials.sealed import KEYS, key, store, stored
from tests.app.enrichment.jobs_api import JobsApi, jobs_api
from tests.builders import violations
from tests.fakes import FakeSource
from tests.servers import Database

SECRET = "planted-secret-own"
OPENER = Opener.of(KEYS)
PLATFORM_KEY: dict[str, Any] = {"hunter": {"api_key": "platform-key"}}


def body(records: int = 3, **options: Any) -> dict[str, Any]:
    rows = [{"domain": f"company-{number}.com"} for number in range(records)]
    return {"entity": "company", "records": rows, "fields": ["industry"], "providers": ["hunter"], **options}


def api(database: Database, **overrides: Any) -> AbstractAsyncContextManager[JobsApi]:
    return jobs_api(database, credentials=KEYS, **overrides)


async def put(jobs: JobsApi, secret: str = SECRET, provider: str = "hunter") -> None:
    async with jobs.owner.unscoped() as session:
        await store(session, jobs.tenant.workspace_id, provider, secret)


async def credential(jobs: JobsApi) -> dict[str, Any]:
    return await stored(jobs.owner, jobs.tenant.workspace_id, "hunter")


@pytest.fixture
async def jobs(database: Database) -> AsyncIterator[JobsApi]:
    async with api(database) as opened:
        yield opened
        assert await violations(opened.sessions, opened.tenant.workspace_id) == []


@pytest.fixture
def hunter() -> FakeSource:
    return FakeSource("hunter", fields=("industry",))


def refusing(error: ProviderError) -> FakeSource:
    return FakeSource("hunter", lambda _: error, fields=("industry",))


async def test_a_provider_without_any_credential_is_not_offered(jobs: JobsApi):
    refused = await jobs.start(body())
    assert refused.status_code == 422
    assert refused.json()["error"]["details"][0]["field"] == "providers[0]"
    started = await jobs.started(body(providers=None, fields=["name"]))
    assert [each["name"] for each in started["providers"]] == ["website"]


async def test_a_workspace_with_its_own_credential_calls_with_it_and_pays_nothing(jobs: JobsApi, hunter: FakeSource):
    await put(jobs)
    job = await jobs.started(body())
    assert job["credits"] == {"held": 0, "charged": 0}
    await jobs.work(job["id"], hunter, opener=OPENER)
    assert hunter.keys == [SECRET] * 3
    done = (await jobs.get(f"/{job['id']}")).json()["data"]
    assert (done["counts"]["matched"], done["credits"]["charged"]) == (3, 0)


async def test_it_is_among_the_providers_that_a_job_chooses_for_itself(jobs: JobsApi):
    await put(jobs)
    started = await jobs.started(body(providers=None, fields=["name"]))
    assert [each["name"] for each in started["providers"]] == ["hunter", "website"]


async def test_its_own_price_is_held_and_charged(database: Database, hunter: FakeSource):
    async with api(database, providers={"hunter": {"own_credential_cost": 1, "api_key": "platform"}}) as jobs:
        await put(jobs)
        job = await jobs.started(body())
        assert job["credits"]["held"] == 3
        await jobs.work(job["id"], hunter, opener=OPENER)
        assert (await jobs.get(f"/{job['id']}")).json()["data"]["credits"] == {"held": 0, "charged": 3}
        assert await violations(jobs.sessions, jobs.tenant.workspace_id) == []


async def test_another_workspace_calls_with_the_platforms_key(database: Database, hunter: FakeSource):
    async with api(database, providers=PLATFORM_KEY) as ours, api(database, providers=PLATFORM_KEY) as theirs:
        await put(ours)
        job = await theirs.started(body())
        assert job["credits"]["held"] == 6
        await theirs.work(job["id"], hunter, opener=OPENER)
        assert (hunter.calls.total(), hunter.keys) == (3, [])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CredentialRejected("hunter", "refuses the API key"), "credential_rejected"),
        (PaymentRequired("hunter", "no credits"), "payment_required"),
    ],
    ids=["rejected", "spent"],
)
async def test_a_refused_key_is_marked_and_stops_the_calls_of_its_workspace(
    jobs: JobsApi, hunter: FakeSource, error: ProviderError, reason: str
):
    await put(jobs)
    first, second = await jobs.started(body()), await jobs.started(body())
    await jobs.work(first["id"], refusing(error), opener=OPENER)
    row = await credential(jobs)
    assert (row["status"], row["status_reason"]) == ("rejected", reason)
    assert row["checked_at"] is not None

    await jobs.work(second["id"], hunter, opener=OPENER)

    assert hunter.calls.total() == 0
    for job in (first, second):
        records = await jobs.records(job["id"])
        assert {(each["status"], each["reason"]) for each in records} == {("failed", "provider_rejected")}
        assert {each["attempts"][0]["outcome"] for each in records} == {"rejected"}
    log = await jobs.rows("SELECT actor_type, action, after FROM audit_entries WHERE action LIKE 'credential.%'")
    assert log == [
        {
            "actor_type": "system",
            "action": "credential.reject",
            "after": {"status": "rejected", "status_reason": reason},
        }
    ]


async def test_a_rejected_credential_is_not_offered_and_the_platforms_is_no_substitute(database: Database):
    async with api(database, providers=PLATFORM_KEY) as jobs:
        await put(jobs)
        async with jobs.owner.unscoped() as session:
            await session.execute(text("UPDATE provider_credentials SET status = 'rejected'"))
        assert (await jobs.start(body())).status_code == 422
        started = await jobs.started(body(providers=None, fields=["name"]))
        assert [each["name"] for each in started["providers"]] == ["website"]


async def test_a_verdict_about_an_older_secret_is_none_about_the_new_one(jobs: JobsApi):
    await put(jobs)
    job = await jobs.started(body(records=1))
    source = refusing(CredentialRejected("hunter", "refuses the API key"))
    source.gate.clear()

    async def replace_meanwhile() -> None:
        while not source.calls:
            await asyncio.sleep(0.01)
        await put(jobs, "a-newer-secret")
        source.gate.set()

    await asyncio.gather(jobs.work(job["id"], source, opener=OPENER), replace_meanwhile())

    row = await credential(jobs)
    assert (row["status"], row["generation"]) == ("unverified", 2)
    assert {each["attempts"][0]["outcome"] for each in await jobs.records(job["id"])} == {"rejected"}


async def test_a_job_that_was_priced_for_its_own_credential_never_calls_with_the_platforms(
    database: Database, hunter: FakeSource
):
    async with api(database, providers=PLATFORM_KEY) as jobs:
        await put(jobs)
        job = await jobs.started(body())
        async with jobs.owner.unscoped() as session:
            await session.execute(text("DELETE FROM provider_credentials"))
        await jobs.work(job["id"], hunter, opener=OPENER)
        assert hunter.calls.total() == 0
        assert {each["reason"] for each in await jobs.records(job["id"])} == {"provider_rejected"}


async def test_a_job_that_was_priced_for_the_platforms_key_is_finished_with_it(database: Database, hunter: FakeSource):
    async with api(database, providers=PLATFORM_KEY) as jobs:
        job = await jobs.started(body())
        await put(jobs)
        await jobs.work(job["id"], hunter, opener=OPENER)
        assert (hunter.calls.total(), hunter.keys) == (3, [])
        assert (await jobs.get(f"/{job['id']}")).json()["data"]["credits"]["charged"] == 6


async def test_a_retry_follows_the_credential_of_today(database: Database, hunter: FakeSource):
    async with api(database, providers=PLATFORM_KEY) as jobs:
        job = await jobs.started(body())
        await jobs.work(job["id"], refusing(CredentialRejected("hunter", "401")), opener=OPENER)
        await put(jobs)
        retried = (await jobs.post(f"/{job['id']}/retry")).json()["data"]
        assert retried["credits"]["held"] == 0
        await jobs.work(retried["id"], hunter, opener=OPENER)
        assert hunter.keys == [SECRET] * 3


async def test_a_row_from_another_workspace_is_used_by_nobody(database: Database, hunter: FakeSource):
    async with api(database) as ours, api(database) as theirs:
        await put(ours)
        await put(theirs, "their-secret")
        job = await ours.started(body())
        copy = text("""
            UPDATE provider_credentials AS c SET wrapped_key = o.wrapped_key, ciphertext = o.ciphertext
            FROM provider_credentials AS o WHERE o.workspace_id = :theirs AND c.workspace_id = :ours
        """)
        async with ours.owner.unscoped() as session:
            await session.execute(copy, {"ours": ours.tenant.workspace_id, "theirs": theirs.tenant.workspace_id})
        await ours.work(job["id"], hunter, opener=OPENER)
        assert hunter.calls.total() == 0
        row = await credential(ours)
        assert (row["status"], row["status_reason"]) == ("rejected", "unreadable")


async def test_without_the_encryption_key_the_lookup_waits_for_the_operator(jobs: JobsApi, hunter: FakeSource):
    await put(jobs)
    job = await jobs.started(body())
    other = Opener.of(CredentialSettings(keys={"second": key(2)}))
    with pytest.raises(CredentialsNotConfigured) as missing:
        await jobs.work(job["id"], hunter, opener=other, end=False)
    assert missing.value.retryable
    assert hunter.calls.total() == 0
    assert (await credential(jobs))["status"] == "unverified"
    await jobs.work(job["id"], hunter, opener=OPENER)
    assert hunter.keys == [SECRET] * 3


async def test_a_provider_that_was_switched_off_meanwhile_says_nothing_of_the_key(jobs: JobsApi):
    await put(jobs)
    job = await jobs.started(body())
    await jobs.work(job["id"], refusing(SwitchedOff("hunter", "was switched off by an operator")), opener=OPENER)
    assert (await credential(jobs))["status"] != "rejected"
    done = (await jobs.get(f"/{job['id']}")).json()["data"]
    assert done["status"] == "completed"
    assert [each["calls"] for each in done["providers"]] == [0]
    attempts = [each["attempts"] for each in await jobs.records(job["id"])]
    assert {each["outcome"] for record in attempts for each in record} == {"rejected"}
