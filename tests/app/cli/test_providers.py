"""``holdfast providers``: the operator's hand, in the database of an installation."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.api import owner_sessions
from tests.app.cli.commands import ROOT, holdfast
from tests.servers import Database


def providers(database: Database, *arguments: str) -> "subprocess.CompletedProcess[str]":
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "app.cli.main", "providers", *arguments],
        env={**plain, "PYTHONPATH": str(ROOT), "HOLDFAST_DATABASE_URL": database.app_url, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def line_of(output: str, provider: str) -> str:
    return next(line for line in output.splitlines() if line.startswith(provider))


async def test_the_list_shows_every_circuit_with_its_cause_and_what_a_hand_did(database: Database):
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        await session.execute(
            text(
                "INSERT INTO provider_health (provider, circuit, opens_until, changed_at, probes, cause)"
                " VALUES ('apollo', 'open', '2030-01-01T00:00:30Z', '2030-01-01T00:00:00Z', 3,"
                """ '{"errors": {"provider_outage": 5}, "sample": "apollo: connection refused"}')"""
            )
        )
    assert providers(database, "open", "hunter", "--reason", "Maintenance").returncode == 0
    assert providers(database, "disable", "dns", "--reason", "Lies").returncode == 0
    listed = providers(database, "list")
    assert listed.returncode == 0, listed.stderr
    apollo = line_of(listed.stdout, "apollo")
    assert "2030-01-01 00:00:00Z" in apollo
    assert "2030-01-01 00:00:30Z" in apollo
    assert "5 provider_outage: apollo: connection refused" in apollo
    assert "held open: Maintenance" in line_of(listed.stdout, "hunter")
    assert "disabled: Lies" in line_of(listed.stdout, "dns")
    assert "closed" in line_of(listed.stdout, "website")


async def test_a_hand_is_taken_away_again(database: Database):
    for hand in ("open", "close", "disable", "enable"):
        done = providers(database, hand, "hunter", "--reason", "Again")
        assert done.returncode == 0, done.stderr
    hunter = line_of(providers(database, "list").stdout, "hunter")
    assert "closed" in hunter
    assert "Again" not in hunter


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("open", "nobody", "--reason", "x"), "no such provider"),
        (("open", "hunter", "--reason", " "), "reason: must not be blank"),
        (("open", "hunter", "--reason", "x" * 501), "reason: String should have at most 500 characters"),
        (("open", "hunter"), "--reason"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(database: Database, arguments: tuple[str, ...], said: str):
    done = providers(database, *arguments)
    assert done.returncode != 0
    assert said in done.stderr


def test_without_a_database_and_a_stack_it_says_what_to_do(tmp_path: Path):
    done = holdfast("providers", "list", cwd=tmp_path)
    assert done.returncode == 1
    assert "holdfast up" in done.stderr
