"""Signing in by password, and being locked out."""

import asyncio
import unicodedata
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from app.accounts import lockout
from app.accounts.errors import TooManyAttempts
from app.accounts.passwords import Passwords
from app.db import Sessions
from tests.app.accounts.people_api import ADA, PASSWORD, People, people_at
from tests.servers import Database


class CountingHasher(PasswordHasher):
    """Counts what costs time: verifications, and how many go on at once."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=1024, parallelism=1)
        self.verified: list[bool] = []
        self.at_once = 0
        self.most_at_once = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            right = bool(super().verify(hash, password))
        except BaseException:
            self.verified.append(False)
            raise
        else:
            self.verified.append(right)
            return right
        finally:
            self.at_once -= 1


async def test_the_right_password_opens(people: People):
    registered = await people.register()
    answer = await people.log_in("ADA@example.com")
    assert answer.status_code == 200
    assert answer.json()["data"]["user"] == registered["user"]
    assert (await people.me(answer.json()["data"]["tokens"]["access_token"])).status_code == 200


async def test_an_unknown_address_and_a_wrong_password_are_answered_alike_after_the_same_work(people: People):
    people.app.state.passwords = Passwords(hasher := CountingHasher())
    await people.register()
    wrong, work = await people.log_in(password="not the password"), len(hasher.verified)
    unknown = await people.log_in("nobody@example.com")
    assert work == 1
    assert hasher.verified == [False, False]
    for answer in (wrong, unknown):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert wrong.json()["error"] == unknown.json()["error"]
    assert wrong.json()["error"]["code"] == "wrong_password"


async def test_an_account_without_a_password_is_like_one_that_is_not_there(people: People):
    people.app.state.passwords = Passwords(hasher := CountingHasher())
    await people.register()
    await people.sql("UPDATE users SET password_hash = NULL")
    assert (await people.log_in()).status_code == 401
    assert hasher.verified == [False]


async def test_the_same_letters_of_another_keyboard_are_the_same_password(people: People):
    password = "gâteau d'été brûlé"
    await people.post("/register", email=ADA, name="Ada", password=unicodedata.normalize("NFC", password))
    assert (await people.log_in(password=unicodedata.normalize("NFD", password))).status_code == 200


async def test_a_hash_of_other_parameters_is_renewed_when_its_password_is_given(people: People):
    people.app.state.passwords = Passwords(PasswordHasher.from_parameters(CHEAPEST))
    await people.register()
    [(before,)] = await people.sql("SELECT password_hash FROM users")
    people.app.state.passwords = Passwords()
    assert (await people.log_in(password="not the password")).status_code == 401
    assert await people.sql("SELECT password_hash FROM users") == [(before,)]
    assert (await people.log_in()).status_code == 200
    [(after,)] = await people.sql("SELECT password_hash FROM users")
    assert "m=19456,t=2,p=1" in after != before
    assert (await people.log_in()).status_code == 200


async def test_a_few_passwords_at_a_time_are_checked_however_many_wait():
    passwords = Passwords(hasher := CountingHasher())
    stored = await passwords.hash(PASSWORD)
    await asyncio.gather(*(passwords.check(PASSWORD, stored) for _ in range(30)))
    assert len(hasher.verified) == 30
    assert hasher.most_at_once <= 4


async def test_the_event_loop_goes_on_while_a_password_is_hashed():
    ticks = 0
    hashing = asyncio.create_task(Passwords(PasswordHasher(time_cost=10, parallelism=1)).hash(PASSWORD))
    while not hashing.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks > 5


@pytest.mark.parametrize("address", [ADA, "nobody@example.com"], ids=["known", "unknown"])
async def test_who_fails_five_times_must_wait_longer_each_time(people: People, address: str):
    await people.register()
    answers = [await people.log_in(address, "not the password") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert answers[-1].json()["error"]["code"] == "too_many_attempts"
    waits = [int(answers[-1].headers["retry-after"])]
    for _ in range(9):
        await people.sql("UPDATE attempts SET locked_until = now()")
        assert (await people.log_in(address, "not the password")).status_code == 401
        refused = await people.log_in(address, "not the password")
        waits.append(int(refused.headers["retry-after"]))
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900]


async def test_the_right_password_waits_too_and_then_what_failed_is_forgotten(people: People):
    await people.register()
    for _ in range(5):
        await people.log_in(password="not the password")
    assert (await people.log_in()).status_code == 429
    await people.sql("UPDATE attempts SET locked_until = now()")
    assert (await people.log_in()).status_code == 200
    answers = [await people.log_in(password="not the password") for _ in range(5)]
    assert {answer.status_code for answer in answers} == {401}


async def test_a_day_without_attempts_forgets_those_before(people: People):
    for _ in range(5):
        await people.log_in(password="not the password")
    await people.sql("UPDATE attempts SET last_at = now() - interval '25 hours', locked_until = now()")
    answers = [await people.log_in(password="not the password") for _ in range(5)]
    assert {answer.status_code for answer in answers} == {401}


async def test_many_attempts_at_once_are_no_way_around(people: People):
    await people.register()
    answers = await asyncio.gather(*(people.log_in(password=f"guess number {n}") for n in range(20)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 15


async def test_a_source_that_tries_many_addresses_must_wait(people: People):
    sessions: Sessions = people.app.state.resources.sessions
    for number in range(50):
        await lockout.begin(sessions, f"user{number}@example.com", "198.51.100.7")
    with pytest.raises(TooManyAttempts):
        await lockout.begin(sessions, "another@example.com", "198.51.100.7")
    await lockout.begin(sessions, "another@example.com", "198.51.100.8")


async def test_the_addresses_of_one_ipv6_network_are_one_source(people: People):
    sessions: Sessions = people.app.state.resources.sessions
    for number in range(50):
        await lockout.begin(sessions, f"user{number}@example.com", f"2001:db8::{number:x}")
    with pytest.raises(TooManyAttempts):
        await lockout.begin(sessions, "another@example.com", "2001:db8::ffff")
    await lockout.begin(sessions, "another@example.com", "2001:db8:0:1::1")


async def test_an_office_that_signs_in_all_day_is_not_locked_out(people: People):
    sessions: Sessions = people.app.state.resources.sessions
    for number in range(60):
        attempt = await lockout.begin(sessions, f"user{number}@example.com", "198.51.100.7")
        await lockout.succeeded(sessions, attempt)


async def test_a_lock_holds_in_every_process(people: People, database: Database, tmp_path: Path):
    for _ in range(5):
        await people.log_in(password="not the password")
    async with people_at(database, tmp_path) as elsewhere:
        assert (await elsewhere.log_in()).status_code == 429


async def test_a_password_that_changes_while_it_is_checked_opens_nothing(people: People):
    class Slow(Passwords):
        async def check(self, password: str, stored: str | None):
            verdict = await super().check(password, stored)
            await people.sql("UPDATE users SET password_hash = 'another'")
            return verdict

    await people.register()
    people.app.state.passwords = Slow()
    assert (await people.log_in()).status_code == 401
    assert len(await people.sql("SELECT FROM user_sessions")) == 1


async def test_what_is_no_request_to_sign_in_is_refused(people: People):
    for body in (b"{", b"[]", b"\xff", b'{"email": "ada@example.com"}', b'{"email": "\\ud800", "password": "x"}'):
        answer = await people.client.post(
            "/api/v1/auth/login", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 422, body
