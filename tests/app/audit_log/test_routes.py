"""The audit log over HTTP: what is recorded, how it is listed, filtered and exported, and who sees it."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from app.audit_log.service import record
from app.auth.permissions import ROLE_PERMISSIONS, Caller, Person
from app.db import Sessions, create_engine
from app.providers.errors import CredentialRejected
from app.providers.ports import Query
from app.settings import DatabaseSettings
from tests.api import Tenant, new_tenant, owner_sessions
from tests.app.enrichment.jobs_api import JobsApi, jobs_api
from tests.fakes import FakeSource
from tests.people import new_member
from tests.servers import Database, PostgresServer

PROVIDERS = {"hunter": {"api_key": "planted-hunter-key", "credit_cost": 2}}
BODY = {"entity": "company", "fields": ["industry"], "providers": ["hunter"], "records": [{"domain": "acme.com"}]}


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each works in a workspace of its own."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture
async def api(database: Database) -> AsyncIterator[JobsApi]:
    async with jobs_api(database, providers=PROVIDERS) as api:
        yield api


async def log(
    api: JobsApi, headers: Mapping[str, str] | None = None, path: str = "", **params: Any
) -> list[dict[str, Any]]:
    """The answer to one page of the list."""
    answer = await api.client.get(
        f"{api.tenant.path}/audit-log{path}", params=params, headers=headers or api.tenant.headers
    )
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


async def exported(api: JobsApi, **params: Any) -> list[dict[str, Any]]:
    answer = await api.client.get(f"{api.tenant.path}/audit-log/export", params=params, headers=api.tenant.headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def key_of(tenant: Tenant) -> Caller:
    return Caller(tenant.workspace_id, frozenset(), "owner", api_key_id=tenant.api_key_id)


async def write(api: JobsApi, *actions: str, actor: Caller | Person | None = None, target: str = "1") -> None:
    """An entry for each action, in this order."""
    for action in actions:
        async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
            await record(session, api.tenant.workspace_id, actor or key_of(api.tenant), action, ("thing", target))


def refuses(_: Query) -> CredentialRejected:
    return CredentialRejected("hunter", "the key is wrong")


async def test_each_change_of_a_job_is_recorded_with_who_what_and_what_changed(api: JobsApi):
    job = await api.started(BODY)
    job_id = job["id"]
    for verb in ("pause", "resume", "cancel"):
        assert (await api.post(f"/{job_id}/{verb}")).status_code == 202
    entries = list(reversed(await log(api)))
    assert [entry["action"] for entry in entries] == [
        "enrichment_job.start",
        "enrichment_job.pause",
        "enrichment_job.resume",
        "enrichment_job.cancel",
    ]
    assert {entry["actor"]["id"] for entry in entries} == {str(api.tenant.api_key_id)}
    assert {entry["actor"]["type"] for entry in entries} == {"api_key"}
    assert all(entry["target"] == {"type": "enrichment_job", "id": job_id} for entry in entries)
    start, *steering = entries
    assert start["before"] is None
    assert start["after"] == {
        "retry_of": None,
        "entity": "company",
        "fields": ["industry"],
        "providers": ["hunter"],
        "records": 1,
        "held": 2,
    }
    assert [(entry["before"]["desired_state"], entry["after"]["desired_state"]) for entry in steering] == [
        ("running", "paused"),
        ("paused", "running"),
        ("running", "cancelled"),
    ]


async def test_a_retry_is_recorded_as_a_change_of_the_new_job(api: JobsApi):
    first = (await api.started(BODY))["id"]
    await api.work(first, FakeSource("hunter", refuses, fields=("industry",), credit_cost=2))
    answer = await api.post(f"/{first}/retry")
    assert answer.status_code == 202, answer.text
    (entry,) = await log(api, action="enrichment_job.retry")
    assert entry["target"]["id"] == answer.json()["data"]["id"]
    assert entry["after"]["retry_of"] == first


async def test_an_upload_is_recorded_without_its_rows(api: JobsApi):
    answer = await api.upload(b"domain\nplanted-domain.com\n")
    assert answer.status_code == 202, answer.text
    (entry,) = await log(api)
    assert entry["action"] == "enrichment_job.start"
    assert entry["after"]["records"] == 1
    assert "planted" not in json.dumps(entry)


async def test_what_a_person_does_is_recorded_as_theirs(database: Database, api: JobsApi):
    member = await new_member(database, api.tenant.workspace_id, "member")
    answer = await api.client.post(api.path, headers=member.headers, content=json.dumps(BODY))
    assert answer.status_code == 202, answer.text
    (entry,) = await log(api)
    assert entry["actor"] == {"type": "user", "id": str(member.user_id)}


async def test_an_entry_names_the_request_that_made_the_change(api: JobsApi):
    answer = await api.start(BODY)
    (entry,) = await log(api)
    assert entry["request_id"] == answer.headers["x-request-id"]


async def test_a_repeated_idempotent_request_is_recorded_once(api: JobsApi):
    for _ in range(3):
        assert (await api.start(BODY, key="the-same")).status_code == 202
    assert len(await log(api)) == 1


async def test_what_changes_nothing_is_not_recorded(api: JobsApi):
    job_id = (await api.started(BODY))["id"]
    for _ in range(2):
        assert (await api.post(f"/{job_id}/pause")).status_code == 202
    assert (await api.start(BODY | {"records": [{"domain": "a.com", "key": "k"}] * 2})).status_code == 422
    assert (await api.post(f"/{uuid4()}/cancel")).status_code == 404
    assert [entry["action"] for entry in await log(api)] == ["enrichment_job.pause", "enrichment_job.start"]


async def test_a_change_that_is_rolled_back_leaves_no_entry(database: Database):
    async with jobs_api(database, credit=1, providers=PROVIDERS) as api:
        # The cheap look lets one credit pass; the hold, which comes after the entry, does not.
        answer = await api.start(BODY)
        assert answer.status_code == 402
        assert await log(api) == []


async def test_a_secret_in_a_change_is_masked_before_it_is_stored(api: JobsApi):
    async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
        await record(
            session,
            api.tenant.workspace_id,
            key_of(api.tenant),
            "credential.put",
            ("credential", "hunter"),
            before={"api_key": "planted"},
            after={"status": "unverified", "note": f"was {api.tenant.api_key}", "deep": [{"password": "planted"}]},
        )
    (entry,) = await log(api)
    assert entry["before"] == {"api_key": "***"}
    assert entry["after"] == {"status": "unverified", "note": "was hf_live_***", "deep": [{"password": "***"}]}
    (row,) = await api.rows("SELECT e::text AS whole FROM audit_entries AS e")
    assert "planted" not in row["whole"]
    assert api.tenant.api_key not in row["whole"]


async def test_filters_leave_what_they_say(api: JobsApi):
    person = Person(uuid4(), uuid4(), is_superadmin=False)
    staff = Person(uuid4(), uuid4(), is_superadmin=True)
    await write(api, "thing.make", "thing.change")
    await write(api, "thing.change", actor=person, target="two/2")
    await write(api, "thing.change", actor=staff, target="3")
    await write(api, "thing.expire", actor=None)
    everything = await log(api)
    made = everything[-1]["created_at"]

    async def count(**params: Any) -> int:
        return len(await log(api, **params))

    assert len(everything) == 5
    assert await count(actor_id=person.user_id) == 1
    assert await count(actor_id=api.tenant.api_key_id) == 3
    assert await count(actor_type="superadmin") == 1
    assert await count(action="thing.change") == 3
    assert await count(action="thing.change", actor_type="api_key") == 1
    assert await count(target_type="thing") == 5
    assert await count(target_type="other") == 0
    assert await count(target_id="3") == 1
    assert await count(since=made) == 5
    assert await count(until=made) == 0
    assert await count(since=everything[0]["created_at"]) == 1
    assert await count(until=(datetime.now(UTC) + timedelta(hours=1)).isoformat()) == 5


async def test_times_are_those_of_the_database_however_far_the_clock_that_makes_ids_is_off(
    api: JobsApi, database: Database
):
    """An id that was made hours before or after what `created_at` says, and months ago."""
    add = text("""
        INSERT INTO audit_entries (workspace_id, id, actor_type, action, target_type, target_id, created_at)
        SELECT :workspace_id, uuidv7(created - now() + off), 'system', 'thing.make', 'thing', off::text, created
        FROM (SELECT now() - interval '60 days' AS created) AS made,
             unnest(ARRAY['-23 h', '0', '23 h']::interval[]) AS off
    """)
    async with owner_sessions(database) as owner, owner.unscoped() as session:
        await session.execute(add, {"workspace_id": api.tenant.workspace_id})
    made = datetime.fromisoformat((await log(api))[0]["created_at"])

    for read in (log, exported):
        assert len(await read(api, since=made.isoformat())) == 3
        assert len(await read(api, since=(made + timedelta(seconds=1)).isoformat())) == 0
        assert len(await read(api, until=made.isoformat())) == 0
        assert len(await read(api, until=(made + timedelta(seconds=1)).isoformat())) == 3
        assert len(await read(api, since="0001-01-01T00:00:00Z", until="9999-12-31T23:59:59Z")) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("actor_id", "nobody"),
        ("actor_type", "robot"),
        ("action", "nul\x00"),
        ("action", "a" * 101),
        ("target_type", "Thing"),
        ("target_id", "\x01"),
        ("target_id", "1" * 201),
        ("since", "yesterday"),
        ("since", "2026-11-21T09:30:00"),
        ("limit", "501"),
        ("cursor", "forged"),
        ("format", "csv"),
    ],
)
async def test_a_filter_that_means_nothing_is_refused_by_name(api: JobsApi, name: str, value: str):
    path = "/export" if name == "format" else ""
    answer = await api.client.get(
        f"{api.tenant.path}/audit-log{path}", params={name: value}, headers=api.tenant.headers
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == name


async def test_pages_hold_every_entry_once_also_while_entries_are_added(api: JobsApi):
    await write(api, *(f"thing.change_{number}" for number in range(5)))
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        answer = await api.client.get(f"{api.tenant.path}/audit-log", params=params, headers=api.tenant.headers)
        seen += [entry["action"] for entry in answer.json()["data"]]
        cursor = answer.json()["meta"]["next_cursor"]
        if cursor is None:
            break
        await write(api, f"thing.added_after_{len(seen)}")
    assert seen == [f"thing.change_{number}" for number in (4, 3, 2, 1, 0)]


async def test_the_export_is_the_list_in_order_of_time(api: JobsApi):
    await write(api, *("thing.change" if number % 3 else "thing.make" for number in range(7)))
    assert await exported(api) == list(reversed(await log(api)))
    assert await exported(api, action="thing.make") == list(reversed(await log(api, action="thing.make")))
    assert len(await exported(api, action="thing.make")) == 3
    assert await exported(api, target_type="other") == []


async def test_an_export_of_many_batches_holds_every_entry_once_and_in_order(api: JobsApi):
    insert = """
        INSERT INTO audit_entries (workspace_id, id, actor_type, action, target_type, target_id)
        SELECT :workspace_id, lpad(to_hex(n), 32, '0')::uuid, 'system', 'thing.change', 'thing', n::text
        FROM generate_series(1, 2500) AS n
    """
    async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
        await session.execute(text(insert), {"workspace_id": api.tenant.workspace_id})
    assert [entry["target"]["id"] for entry in await exported(api)] == [str(n) for n in range(1, 2501)]


async def test_another_workspace_sees_none_of_it(database: Database, api: JobsApi):
    await api.started(BODY)
    other = await new_tenant(database)
    for path in ("audit-log", "audit-log/export"):
        assert (await api.client.get(f"{api.tenant.path}/{path}", headers=other.headers)).status_code == 404
        own = await api.client.get(f"{other.path}/{path}", headers=other.headers)
        assert own.status_code == 200
        assert "enrichment_job" not in own.text


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("admin", 200), ("member", 403), ("viewer", 403)])
async def test_only_who_may_read_the_audit_log_does(database: Database, api: JobsApi, role: Any, status: int):
    assert ("audit_log:read" in ROLE_PERMISSIONS[role]) == (status == 200)
    person = await new_member(database, api.tenant.workspace_id, role)
    for path in ("audit-log", "audit-log/export"):
        answer = await api.client.get(f"{api.tenant.path}/{path}", headers=person.headers)
        assert answer.status_code == status


@pytest.mark.parametrize("url", ["app_url", "platform_url"])
@pytest.mark.parametrize(
    "statement", ["UPDATE audit_entries SET action = 'none'", "DELETE FROM audit_entries", "TRUNCATE audit_entries"]
)
async def test_nobody_who_runs_holdfast_can_rewrite_the_log(database: Database, api: JobsApi, url: str, statement: str):
    await write(api, "thing.make")
    engine = create_engine(SecretStr(getattr(database, url)), DatabaseSettings(pool_size=1), application="tests")
    try:
        with pytest.raises(ProgrammingError, match="permission denied"):
            async with Sessions(engine).for_workspace(api.tenant.workspace_id) as session:
                await session.execute(text(statement))
    finally:
        await engine.dispose()
    assert [entry["action"] for entry in await log(api)] == ["thing.make"]


async def test_an_entry_of_another_workspace_cannot_be_written(database: Database, api: JobsApi):
    other = await new_tenant(database)
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
            await record(session, other.workspace_id, key_of(other), "thing.make", ("thing", "1"))
