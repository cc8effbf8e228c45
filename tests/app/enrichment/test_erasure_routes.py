"""Erasures over HTTP: who may ask for one, what is refused, and what is answered and recorded."""

import hashlib

import pytest

from app.db import new_id
from tests.app.enrichment.erasing import ANN, Erasing
from tests.app.enrichment.jobs_api import jobs_api
from tests.contents import mentions
from tests.people import new_member
from tests.servers import Database


@pytest.mark.parametrize("body", [{}, {"email": ANN, "domain": "example.com"}, {"email": "ann"}, {"name": "Ann"}, []])
async def test_what_names_nobody_is_refused(shared_database: Database, body: object):
    async with jobs_api(shared_database) as api:
        assert (await Erasing(api).post(body)).status_code == 422
        assert await api.commands() == []


async def test_the_request_is_answered_at_once_recorded_and_repeated(database: Database):
    async with jobs_api(database) as api:
        erasing = Erasing(api)
        first = await erasing.post({"email": ANN}, key="once")
        same = await erasing.post({"email": " Ann@EXAMPLE.com"}, key="once")
        other = await erasing.post({"email": "bob@example.com"}, key="once")
        data = first.json()["data"]
        (command,) = await api.commands()
        while_running = await mentions(database, ANN)
        done = await erasing.erase(email=ANN)
        finished = await erasing.finish(data["id"])
        entries = await api.rows("SELECT action, actor_type, target_id, after FROM audit_entries ORDER BY id")

        assert (first.status_code, same.status_code, other.status_code) == (202, 202, 409)
        assert same.headers["Idempotent-Replayed"] == "true"
        assert same.json()["data"] == data
        assert first.headers["Location"] == f"{erasing.path}/{data['id']}"
        assert (data["status"], data["kind"], data["finished_at"]) == ("running", "email", None)
        assert ANN not in first.text
        assert command["workflow_id"] == f"erasure/{data['id']}"
        assert ANN not in str(command)
        assert set(while_running) == {"enrichment_erasures"}
        assert data["digest"] == hashlib.sha256(f"{data['id']}:email:{ANN}".encode()).hexdigest()
        assert data["requested_by"] == str(api.tenant.api_key_id)
        listed = await erasing.get()
        assert [each["id"] for each in listed] == [done["id"], data["id"]]
        assert await erasing.get(limit=1) == listed[:1]
        assert await mentions(database, ANN) == {}
    of_first = [(each["action"], each["actor_type"]) for each in entries if each["target_id"] == data["id"]]
    assert of_first == [("enrichment_erasure.start", "api_key"), ("enrichment_erasure.complete", "system")]
    assert entries[-1]["after"] == {"kind": "email", **finished["erased"]}


async def test_a_member_cannot_erase_anybody(database: Database):
    async with jobs_api(database) as api:
        erasing = Erasing(api)
        member = await new_member(database, api.tenant.workspace_id, "member")
        refused = await api.client.post(erasing.path, json={"email": ANN}, headers=member.headers)
        assert refused.status_code == 403
        missing = await api.client.get(f"{erasing.path}/{new_id()}", headers=api.tenant.headers)
        assert missing.status_code == 404
