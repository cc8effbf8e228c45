"""Superadmins are made by whoever has the owner's database URL, and by nobody else."""

import re
import subprocess
import sys

from app.cli import superadmin
from tests.app.accounts.people_api import ADA, PASSWORD, People
from tests.programs import run_here, run_program


def variables(people: People, owner_url: str | None) -> dict[str, str]:
    urls = {"HOLDFAST_DATABASE_URL": people.database.app_url}
    return urls if owner_url is None else {**urls, "HOLDFAST_OWNER_DATABASE_URL": owner_url}


def make(
    people: People, email: str, *, stdin: str = "", owner_url: str | None = None
) -> "subprocess.CompletedProcess[str]":
    return run_here(superadmin.main, "--", email, "Ada", environment=variables(people, owner_url), stdin=stdin)


async def test_a_superadmin_is_made_with_a_magic_link(people: People):
    """As the command does it: by a process of its own."""
    command = [sys.executable, "-m", "app.cli.superadmin", "--", ADA, "Ada"]
    done = run_program(command, environment=variables(people, people.database.owner_url))
    assert done.returncode == 0, done.stderr
    found = re.search(r"/links/magic-link#token=([\w-]{43})$", done.stdout.strip())
    assert found
    user = (await people.post("/magic-links/consume", token=found[1])).json()["data"]["user"]
    assert (user["email"], user["is_superadmin"], user["email_verified"]) == (ADA, True, True)


async def test_a_superadmin_is_made_with_a_password_that_is_not_printed(people: People):
    done = make(people, "ADA@example.com", stdin=PASSWORD + "\n", owner_url=people.database.owner_url)
    assert done.stdout == f"{ADA} is a superadmin.\n"
    assert (await people.log_in()).json()["data"]["user"]["is_superadmin"] is True


async def test_who_registered_the_address_before_gets_no_part_of_it(people: People):
    eve = await people.register(name="Eve")
    make(people, ADA, owner_url=people.database.owner_url)
    assert (await people.me(eve["tokens"]["access_token"])).status_code == 401
    assert (await people.log_in()).status_code == 401
    assert await people.sql("SELECT is_superadmin FROM users") == [(True,)]


async def test_a_person_whose_address_is_known_to_be_theirs_is_appointed_and_keeps_all(people: People):
    tokens = (await people.register())["tokens"]
    await people.sql("UPDATE users SET email_verified_at = now()")
    make(people, ADA, owner_url=people.database.owner_url)
    assert (await people.me(tokens["access_token"])).json()["data"]["is_superadmin"] is True
    assert (await people.log_in()).status_code == 200


async def test_what_is_wrong_is_said_in_one_line_and_nobody_is_made(people: People):
    for email, stdin, owner_url, said in (
        ("ada", "", people.database.owner_url, "email: must be an e-mail address"),
        (ADA, "short", people.database.owner_url, "password: Value should have at least 12"),
        (ADA, "", None, "HOLDFAST_OWNER_DATABASE_URL"),
        (ADA, "", people.database.app_url, "row-level security"),
    ):
        done = make(people, email, stdin=stdin, owner_url=owner_url)
        assert done.returncode != 0
        assert said in done.stderr
        assert "short" not in done.stderr
    assert await people.sql("SELECT FROM users") == []
