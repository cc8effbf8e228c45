"""Refresh tokens: good for one use, and the end of a sign-in when they come back."""

import asyncio
import json
from typing import Any

import pytest

from app.logging import configure_logging
from tests.app.accounts.people_api import ADA, People, bearer

OPEN = "SELECT FROM user_sessions WHERE revoked_at IS NULL"


async def refresh(people: People, token: str) -> Any:
    """The tokens; None where there were none."""
    answer = await people.post("/refresh", refresh_token=token)
    if answer.status_code == 200:
        return answer.json()["data"]
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "sign_in_ended"
    return None


async def test_each_refresh_gives_tokens_for_the_next(people: People):
    tokens = (await people.register())["tokens"]
    seen = {tokens["refresh_token"]}
    for _ in range(3):
        tokens = await refresh(people, tokens["refresh_token"])
        assert (await people.me(tokens["access_token"])).status_code == 200
        seen.add(tokens["refresh_token"])
    assert len(seen) == 4


async def test_a_token_that_was_used_before_ends_its_sign_in_and_no_other(people: People):
    first = (await people.register())["tokens"]
    other = (await people.log_in()).json()["data"]["tokens"]
    second = await refresh(people, first["refresh_token"])
    third = await refresh(people, second["refresh_token"])
    assert await refresh(people, first["refresh_token"]) is None
    assert await refresh(people, third["refresh_token"]) is None
    for dead in (first, second, third):
        assert (await people.me(dead["access_token"])).status_code == 401
    assert (await people.me(other["access_token"])).status_code == 200
    assert await refresh(people, other["refresh_token"])


async def test_of_two_refreshes_at_once_exactly_one_succeeds(people: People):
    tokens = (await people.register())["tokens"]
    answers = await asyncio.gather(*(refresh(people, tokens["refresh_token"]) for _ in range(5)))
    assert sum(answer is not None for answer in answers) == 1
    # The others were replays: whoever has the new tokens may be a thief.
    assert await people.sql(OPEN) == []


async def test_a_replay_is_an_event_of_security_that_names_no_token(people: People, capsys: pytest.CaptureFixture[str]):
    configure_logging("INFO")
    data = await people.register()
    token = data["tokens"]["refresh_token"]
    await refresh(people, token)
    capsys.readouterr()
    await refresh(people, token)
    said = capsys.readouterr().out
    lines = [json.loads(line) for line in said.splitlines()]
    [event] = [line for line in lines if line["event"] == "security.refresh.replayed"]
    assert (event["user_id"], event["client_address"]) == (data["user"]["id"], "127.0.0.1")
    assert event["request_id"]
    assert token not in said
    assert ADA not in said
    metrics = await people.client.get("/metrics")
    assert 'holdfast_security_events_total{kind="refresh.replayed"}' in metrics.text


async def test_a_sign_in_that_is_not_refreshed_ends(people: People):
    tokens = (await people.register())["tokens"]
    await people.sql("UPDATE user_sessions SET expires_at = expires_at - interval '29 days 23 hours'")
    tokens = await refresh(people, tokens["refresh_token"])
    [(days,)] = await people.sql("SELECT round(extract(epoch FROM expires_at - now()) / 86400) FROM user_sessions")
    assert days == 30
    await people.sql("UPDATE user_sessions SET expires_at = now()")
    assert await refresh(people, tokens["refresh_token"]) is None
    assert (await people.me(tokens["access_token"])).status_code == 401


async def test_the_last_hundred_used_tokens_are_known(people: People):
    first = (await people.register())["tokens"]["refresh_token"]
    token = second = (await refresh(people, first))["refresh_token"]
    for _ in range(100):
        token = (await refresh(people, token))["refresh_token"]
    assert await people.sql("SELECT cardinality(used_token_hashes) FROM user_sessions") == [(100,)]
    assert await refresh(people, first) is None
    assert len(await people.sql(OPEN)) == 1
    assert await refresh(people, second) is None
    assert await people.sql(OPEN) == []


async def test_what_is_no_refresh_token_opens_nothing(people: People):
    data = await people.register()
    for token in ("x", "x" * 43, data["tokens"]["access_token"][:200], "é" * 43):
        assert await refresh(people, token) is None
    assert (await people.post("/refresh", refresh_token="x" * 201)).status_code == 422
    assert (await people.post("/refresh", refresh_token="")).status_code == 422


async def test_the_database_has_hashes_of_tokens_only(people: People):
    tokens = (await people.register())["tokens"]
    await refresh(people, tokens["refresh_token"])
    rows = str(await people.sql("SELECT s::text, encode(token_hash, 'escape') FROM user_sessions AS s"))
    assert tokens["refresh_token"] not in rows
    assert tokens["refresh_token"].encode().hex() not in rows


async def test_signing_out_ends_this_sign_in_at_once(people: People):
    tokens = (await people.register())["tokens"]
    other = (await people.log_in()).json()["data"]["tokens"]
    answer = await people.client.post("/api/v1/auth/logout", headers=bearer(tokens["access_token"]))
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await people.me(tokens["access_token"])).status_code == 401
    assert await refresh(people, tokens["refresh_token"]) is None
    assert (await people.me(other["access_token"])).status_code == 200


async def test_signing_out_everywhere_ends_every_sign_in_of_this_person(people: People):
    tokens = [(await people.register())["tokens"], (await people.log_in()).json()["data"]["tokens"]]
    bob = (await people.register("bob@example.com"))["tokens"]
    answer = await people.client.delete("/api/v1/auth/sessions", headers=bearer(tokens[0]["access_token"]))
    assert answer.status_code == 204
    for each in tokens:
        assert (await people.me(each["access_token"])).status_code == 401
        assert await refresh(people, each["refresh_token"]) is None
    assert (await people.me(bob["access_token"])).status_code == 200
