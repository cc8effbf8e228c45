"""Making an account."""

import asyncio
from typing import Any

from tests.app.accounts.people_api import ADA, PASSWORD, People, bearer

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"password": "elevenchars"}, "password"),
    ({"password": "x" * 129}, "password"),
    ({"name": ""}, "name"),
    ({"name": "   "}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": "a\u0000b"}, "name"),
    ({"name": "a\u202eb"}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"email": "ada"}, "email"),
    ({"email": "ada@localhost"}, "email"),
    ({"email": "ada@@example.com"}, "email"),
    ({"email": "a b@example.com"}, "email"),
    ({"email": "ada@exa_mple.com"}, "email"),
    ({"email": "ada@example.com\r\nBcc: eve@example.com"}, "email"),
    ({"email": f"{'x' * 65}@example.com"}, "email"),
    ({"email": None}, "email"),
    ({"is_superadmin": True}, "is_superadmin"),
]


async def test_a_new_person_is_signed_in_and_owns_a_workspace_with_its_first_credits(people: People):
    data = await people.register("Ada@Example.COM", name="Ada Lovelace")
    assert data["user"]["email"] == ADA
    assert (data["user"]["name"], data["user"]["email_verified"]) == ("Ada Lovelace", False)
    assert data["user"]["is_superadmin"] is False
    assert data["workspace"]["role"] == "owner"
    headers = bearer(data["tokens"]["access_token"])
    credits_ = await people.client.get(f"/api/v1/workspaces/{data['workspace']['id']}/credits", headers=headers)
    assert credits_.json()["data"]["available"] == 1000
    assert data["tokens"].keys() == {"access_token", "refresh_token", "token_type", "expires_in_seconds"}


async def test_an_address_is_registered_once_however_it_is_written(people: People):
    await people.register()
    again = await people.post("/register", email="ADA@example.com", password=PASSWORD, name="Eve")
    assert again.status_code == 409
    assert again.json()["error"]["code"] == "address_taken"
    assert await people.sql("SELECT name FROM users") == [("Ada",)]
    assert len(await people.sql("SELECT FROM workspaces")) == 1


async def test_of_two_who_register_an_address_at_once_one_is_the_first(people: People):
    body = {"email": ADA, "password": PASSWORD, "name": "Ada"}
    answers = await asyncio.gather(*(people.post("/register", **body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert len(await people.sql("SELECT FROM workspaces")) == 1


async def test_person_and_workspace_are_made_together_or_not_at_all(people: People):
    await people.sql("REVOKE INSERT ON credit_entries FROM holdfast_app")
    body = {"email": ADA, "password": PASSWORD, "name": "Ada"}
    assert (await people.post("/register", **body)).status_code == 500
    for table in ("users", "workspaces", "memberships", "user_sessions"):
        assert await people.sql(f"SELECT FROM {table}") == []
    await people.sql("GRANT INSERT ON credit_entries TO holdfast_app")
    assert (await people.post("/register", **body)).status_code == 201


async def test_making_the_workspace_is_in_its_audit_log(people: People):
    data = await people.register()
    [entry] = await people.sql("SELECT action, actor_id::text, address FROM audit_entries")
    assert entry == ("workspace.create", data["user"]["id"], "127.0.0.1")


async def test_the_password_is_nowhere_and_its_hash_is_argon2id(people: People):
    data = await people.register()
    [(stored,)] = await people.sql("SELECT password_hash FROM users")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    for table in ("users", "user_sessions", "audit_entries", "workspaces"):
        rows = str(await people.sql(f"SELECT t::text FROM {table} AS t"))
        for secret in (PASSWORD, data["tokens"]["refresh_token"], data["tokens"]["access_token"]):
            assert secret not in rows


async def test_what_is_wrong_is_named_and_nothing_is_made(people: People):
    for wrong, field in WRONG:
        answer = await people.post("/register", **{"email": ADA, "password": PASSWORD, "name": "Ada", **wrong})
        assert answer.status_code == 422, wrong
        assert [detail["field"] for detail in answer.json()["error"]["details"]] == [field], wrong
        assert "elevenchars" not in answer.text
    assert await people.sql("SELECT FROM users") == []


async def test_people_may_have_names_of_every_script(people: People):
    for number, name in enumerate(["Ада Лавлейс", "愛達", "नमस्ते", "👩\u200d💻 Ada", "O'Neil <b>"]):
        assert (await people.register(f"{number}@example.com", name=name))["user"]["name"] == name


async def test_a_name_is_kept_in_one_form(people: People):
    data = await people.register(name=" Zoe\u0308 ")
    assert data["user"]["name"] == "Zo\u00eb"
    changed = await people.client.patch(
        "/api/v1/auth/me", json={"name": "Zoe\u0301"}, headers=bearer(data["tokens"]["access_token"])
    )
    assert changed.json()["data"]["name"] == "Zo\u00e9"
    assert changed.json()["data"]["email"] == ADA
