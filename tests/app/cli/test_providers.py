"""``holdfast providers``: the operator's hand, in the database of an installation."""

import subprocess
from pathlib import Path

import pytest
from sqlalchemy import text

from app.cli import operator
from tests.api import owner_sessions
from tests.app.cli.commands import holdfast
from tests.programs import run_here
from tests.servers import Database


def variables(database: Database) -> dict[str, str]:
    return {"HOLDFAST_DATABASE_URL": database.app_url, "COLUMNS": "200"}


def providers(database: Database, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """What `holdfast providers` has a process of its own do."""
    return run_here(operator.main, "--", *arguments, environment=variables(database))


def line_of(output: str, provider: str) -> str:
    return next(line for line in output.splitlines() if line.startswith(provider))


async def test_the_list_shows_every_circuit_with_its_cause_and_what_a_hand_did(database: Database, tmp_path: Path):
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        await session.execute(
            text(
                "INSERT INTO provider_health (provider, circuit, opens_until, changed_at, probes, cause)"
                " VALUES ('apollo', 'open', '2030-01-01T00:00:30Z', '2030-01-01T00:00:00Z', 3,"
                """ '{"errors": {"provider_outage": 5}, "sample": "apollo: connection refused"}')"""
            )
        )
    opened = ("providers", "open", "hunter", "--reason", "Maintenance")
    assert holdfast(*opened, cwd=tmp_path, variables=variables(database)).returncode == 0
    disabled = ("providers", "disable", "dns", "--reason", "Lies")
    assert holdfast(*disabled, cwd=tmp_path, variables=variables(database)).returncode == 0
    listed = holdfast("providers", "list", cwd=tmp_path, variables=variables(database))
    assert listed.returncode == 0, listed.stderr
    apollo = line_of(listed.stdout, "apollo")
    assert "2030-01-01 00:00:00Z" in apollo
    assert "2030-01-01 00:00:30Z" in apollo
    assert "5 provider_outage: apollo: connection refused" in apollo
    assert "held open: Maintenance" in line_of(listed.stdout, "hunter")
    assert "disabled: Lies" in line_of(listed.stdout, "dns")
    assert "closed" in line_of(listed.stdout, "website")
    assert "closed" in line_of(listed.stdout, "stripe")


async def test_a_hand_is_taken_away_again(database: Database, tmp_path: Path):
    """That each of the four is a command, this test and the one above show between them."""
    for hand, other in (("open", "close"), ("disable", "enable")):
        assert providers(database, hand, "hunter", "Again").returncode == 0
        taken = ("providers", other, "hunter", "--reason", "Again")
        done = holdfast(*taken, cwd=tmp_path, variables=variables(database))
        assert done.returncode == 0, done.stderr
    hunter = line_of(providers(database).stdout, "hunter")
    assert "closed" in hunter
    assert "Again" not in hunter


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("open", "nobody", "x"), "no such provider"),
        (("open", "hunter", " "), "reason: must not be blank"),
        (("open", "hunter", "x" * 501), "reason: String should have at most 500 characters"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(database: Database, arguments: tuple[str, ...], said: str):
    done = providers(database, *arguments)
    assert done.returncode != 0
    assert said in done.stderr


def test_a_command_fails_with_what_it_had_done(database: Database, tmp_path: Path):
    wrong = ("providers", "open", "nobody", "--reason", "x")
    done = holdfast(*wrong, cwd=tmp_path, variables=variables(database))
    assert done.returncode == 1
    assert "no such provider" in done.stderr


def test_without_a_reason_a_database_or_a_stack_it_says_what_to_do(tmp_path: Path):
    for arguments, said in ((("open", "hunter"), "--reason"), (("list",), "holdfast up")):
        done = holdfast("providers", *arguments, cwd=tmp_path)
        assert done.returncode != 0
        assert said in done.stderr
