"""What people change about their own account leaves a record."""

import json
from typing import Any

import pytest

from app.logging import configure_logging
from tests.app.accounts.people_api import ADA, PASSWORD, People, bearer

NEW = "another correct horse"
RENAMES = "SELECT workspace_id::text, actor_id::text, before, after FROM audit_entries WHERE action = 'user.rename'"


async def rename(people: People, token: str, name: str) -> None:
    answer = await people.client.patch("/api/v1/auth/me", json={"name": name}, headers=bearer(token))
    assert answer.status_code == 200, answer.text


def events(said: str) -> list[tuple[str, str]]:
    """(event, user_id) of the lines about security."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in said.splitlines()]
    return [(line["event"], line["user_id"]) for line in lines if line["event"].startswith("security.")]


async def test_a_rename_is_in_the_audit_log_of_each_workspace_of_the_person_and_of_no_other(people: People):
    ada = await people.register()
    token = ada["tokens"]["access_token"]
    second = await people.client.post("/api/v1/workspaces", json={"name": "Second"}, headers=bearer(token))
    await people.register("eve@example.com")

    await rename(people, token, "Ada King")
    await rename(people, token, "Ada King")

    mine = {ada["workspace"]["id"], second.json()["data"]["id"]}
    recorded = await people.sql(RENAMES)
    assert {row[0] for row in recorded} == mine
    assert len(recorded) == 2, "what changes nothing is not recorded"
    assert {row[1] for row in recorded} == {ada["user"]["id"]}
    assert recorded[0][2:] == ({"name": "Ada"}, {"name": "Ada King"})


async def test_each_change_of_ones_own_account_is_an_event_of_security_without_a_secret(
    people: People, capsys: pytest.CaptureFixture[str]
):
    configure_logging("INFO")
    data = await people.register()
    token = data["tokens"]["access_token"]
    capsys.readouterr()

    await rename(people, token, "Ada King")
    answer = await people.post("/password", token, current_password=PASSWORD, new_password=NEW)
    assert answer.status_code == 204, answer.text
    answer = await people.client.delete("/api/v1/auth/sessions", headers=bearer(token))
    assert answer.status_code == 204, answer.text

    said = capsys.readouterr().out
    assert events(said) == [
        (f"security.{kind}", data["user"]["id"])
        for kind in ("account.renamed", "password.changed", "sign_in.ended_everywhere")
    ]
    for secret in (PASSWORD, NEW, ADA, "Ada King"):
        assert secret not in said
