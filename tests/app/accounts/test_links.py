"""Magic links, password resets and changes of passwords."""

import asyncio

import pytest

from app.auth.service import create_api_key
from app.db import new_id
from tests.api import owner_sessions
from tests.app.accounts.people_api import ADA, PASSWORD, People, bearer

NEW = "a password that is new"


async def consume(people: People, token: str) -> int:
    return (await people.post("/magic-links/consume", token=token)).status_code


async def reset_token(people: People, address: str = ADA) -> str:
    assert (await people.post("/password-resets", email=address)).status_code == 202
    return await people.link_token()


async def test_a_magic_link_signs_in_once(people: People):
    user = (await people.register())["user"]
    token = await people.magic_link("ADA@example.com")
    answer = await people.post("/magic-links/consume", token=token)
    data = answer.json()["data"]
    assert data["user"]["id"] == user["id"]
    assert (await people.me(data["tokens"]["access_token"])).status_code == 200
    again = await people.post("/magic-links/consume", token=token)
    assert (again.status_code, again.json()["error"]["code"]) == (422, "link_not_valid")


async def test_a_link_that_is_used_many_times_at_once_works_once(people: People):
    await people.register()
    token = await people.magic_link()
    assert sorted(await asyncio.gather(*(consume(people, token) for _ in range(5)))) == [200, 422, 422, 422, 422]


async def test_a_link_is_good_for_a_quarter_of_an_hour(people: People):
    await people.register()
    token = await people.magic_link()
    await people.sql("UPDATE one_time_tokens SET expires_at = expires_at - interval '14 minutes'")
    other = await people.magic_link()
    assert await consume(people, token) == 200
    await people.sql("UPDATE one_time_tokens SET expires_at = expires_at - interval '15 minutes'")
    assert await consume(people, other) == 422


async def test_a_link_for_one_thing_is_not_good_for_another(people: People):
    await people.register()
    assert await consume(people, await reset_token(people)) == 422
    token = await people.magic_link()
    answer = await people.post("/password-resets/consume", token=token, password=NEW)
    assert answer.status_code == 422
    assert await consume(people, token) == 200


@pytest.mark.parametrize("path", ["/magic-links", "/password-resets"])
async def test_an_address_without_an_account_gets_the_same_answer_and_no_mail(people: People, path: str):
    await people.register()
    known = await people.post(path, email=ADA)
    assert len(await people.mails()) == 1
    unknown = await people.post(path, email="nobody@example.com")
    assert len(await people.mails()) == 1
    assert known.status_code == unknown.status_code == 202
    assert known.json()["data"] == {"email": ADA, "valid_for_seconds": 900}
    assert unknown.json()["data"] == {"email": "nobody@example.com", "valid_for_seconds": 900}


async def test_the_answer_does_not_wait_for_the_database_which_would_tell(people: People):
    """A transaction that holds the table keeps the mail back, and not the answer."""
    await people.register()
    async with owner_sessions(people.database) as sessions, sessions.unscoped() as session:
        await session.exec_driver_sql("LOCK TABLE users, attempts IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(5):
            assert (await people.post("/magic-links", email=ADA)).status_code == 202
        assert list(people.mail.glob("*.eml")) == []
    assert len(await people.mails()) == 1


async def test_nobodys_inbox_is_flooded(people: People):
    await people.register()
    for _ in range(10):
        assert (await people.post("/magic-links", email=ADA)).status_code == 202
    assert len(await people.mails()) == 3
    await people.sql("UPDATE attempts SET locked_until = now()")
    await people.post("/password-resets", email=ADA)
    assert len(await people.mails()) == 4


async def test_the_mail_says_what_it_is_in_plain_text_and_html(people: People):
    await people.register(name="Eve <script>alert(1)</script>")
    await people.sql("UPDATE users SET email_verified_at = now()")
    token = await people.magic_link()
    [mail] = await people.mails()
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert (mail["To"], mail["From"]) == (ADA, "Holdfast <holdfast@localhost>")
    assert f"http://127.0.0.1:8000/links/magic-link#token={token}" in plain.get_content().splitlines()
    assert f'href="http://127.0.0.1:8000/links/magic-link#token={token}"' in html.get_content()
    assert "Eve &lt;script&gt;" in html.get_content()
    assert "<script" not in html.get_content()


async def test_a_name_is_not_mailed_to_an_address_that_may_be_somebody_elses(people: People):
    await people.register(name="Win at casino.example.com")
    await people.magic_link()
    [mail] = await people.mails()
    assert "casino" not in mail.as_string()


async def test_who_registered_an_address_before_its_owner_keeps_nothing(people: People):
    eve = await people.register(name="Eve")
    workspace_id = eve["workspace"]["id"]
    async with owner_sessions(people.database) as sessions, sessions.unscoped() as session:
        _, key = await create_api_key(session, workspace_id, "Eve's", ["credits:read"], created_by=eve["user"]["id"])
    credits_path = f"/api/v1/workspaces/{workspace_id}/credits"
    assert (await people.client.get(credits_path, headers=bearer(key))).status_code == 200
    eves_reset = await reset_token(people)

    data = (await people.post("/magic-links/consume", token=await people.magic_link())).json()["data"]

    assert (data["user"]["email_verified"], data["user"]["has_password"]) == (True, False)
    assert (await people.log_in()).status_code == 401
    assert (await people.me(eve["tokens"]["access_token"])).status_code == 401
    assert (await people.post("/refresh", refresh_token=eve["tokens"]["refresh_token"])).status_code == 401
    assert (await people.post("/password-resets/consume", token=eves_reset, password=NEW)).status_code == 422
    assert (await people.client.get(credits_path, headers=bearer(key))).status_code == 401
    mine = bearer(data["tokens"]["access_token"])
    assert (await people.client.get(credits_path, headers=mine)).status_code == 200
    assert ("user.verify", "system") in await people.sql("SELECT action, actor_type FROM audit_entries")


async def test_a_magic_link_of_a_verified_account_drops_nothing(people: People):
    tokens = (await people.register())["tokens"]
    await people.sql("UPDATE users SET email_verified_at = now()")
    assert await consume(people, await people.magic_link()) == 200
    assert (await people.me(tokens["access_token"])).status_code == 200
    assert (await people.log_in()).status_code == 200


async def test_a_reset_sets_the_password_and_ends_every_sign_in_and_link(people: People):
    before = (await people.register())["tokens"]
    await people.sql("UPDATE users SET email_verified_at = now()")
    magic = await people.magic_link()
    answer = await people.post("/password-resets/consume", token=await reset_token(people), password=NEW)
    assert answer.status_code == 200
    assert (await people.me(answer.json()["data"]["tokens"]["access_token"])).status_code == 200
    assert (await people.me(before["access_token"])).status_code == 401
    assert await consume(people, magic) == 422
    assert (await people.log_in()).status_code == 401
    assert (await people.log_in(password=NEW)).status_code == 200


async def test_a_reset_verifies_the_address(people: People):
    await people.register()
    answer = await people.post("/password-resets/consume", token=await reset_token(people), password=NEW)
    user = answer.json()["data"]["user"]
    assert (user["email_verified"], (await people.log_in(password=NEW)).status_code) == (True, 200)


async def test_a_reset_with_a_password_that_is_none_uses_nothing_up(people: People):
    await people.register()
    token = await reset_token(people)
    assert (await people.post("/password-resets/consume", token=token, password="short")).status_code == 422
    assert (await people.post("/password-resets/consume", token=token, password=NEW)).status_code == 200


async def test_changing_the_password_needs_the_present_one_and_ends_the_other_sign_ins(people: People):
    here = (await people.register())["tokens"]["access_token"]
    there = (await people.log_in()).json()["data"]["tokens"]["access_token"]
    wrong = await people.post("/password", here, current_password="not the password", new_password=NEW)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "present_password_wrong")
    assert (await people.log_in()).status_code == 200
    done = await people.post("/password", here, current_password=PASSWORD, new_password=NEW)
    assert (done.status_code, done.content) == (204, b"")
    assert (await people.me(here)).status_code == 200
    assert (await people.me(there)).status_code == 401
    assert (await people.log_in()).status_code == 401
    assert (await people.log_in(password=NEW)).status_code == 200


async def test_a_stolen_access_token_guesses_no_password(people: People):
    token = (await people.register())["tokens"]["access_token"]
    answers = [await people.post("/password", token, current_password=f"guess {n}", new_password=NEW) for n in range(6)]
    assert [answer.status_code for answer in answers] == [422] * 5 + [429]


async def test_who_has_no_password_gets_one_by_a_reset(people: People):
    await people.register()
    data = (await people.post("/magic-links/consume", token=await people.magic_link())).json()["data"]
    token = data["tokens"]["access_token"]
    answer = await people.post("/password", token, current_password=PASSWORD, new_password=NEW)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_password")


async def test_only_the_hash_of_a_link_is_stored(people: People):
    await people.register()
    token = await people.magic_link()
    rows = str(await people.sql("SELECT t::text FROM one_time_tokens AS t"))
    assert token not in rows
    assert token.encode().hex() not in rows


async def test_what_is_no_link_opens_nothing(people: People):
    for token in ("x", str(new_id()), "x" * 43, "\u0000"):
        assert await consume(people, token) == 422
