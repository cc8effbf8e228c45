"""The audit as a program, and what it makes of the bills of providers."""

import os
import subprocess
import sys
from uuid import UUID

from sqlalchemy import text

from app.cli.auditor import Billed, bill
from tests.api import owner_sessions
from tests.app.cli.commands import ROOT
from tests.builders import make_workspace
from tests.servers import Database


def audit(database: Database, workspace_id: UUID) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "HOLDFAST_DATABASE_URL": database.app_url}
    command = [sys.executable, "-m", "app.cli.auditor", str(workspace_id)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


async def test_its_exit_code_is_the_verdict(database: Database):
    async with owner_sessions(database) as owner:
        workspace_id = await make_workspace(owner, credit=100)
        assert audit(database, workspace_id).returncode == 0
        async with owner.for_workspace(workspace_id) as session:
            await session.execute(text("UPDATE credit_accounts SET balance = 99"))
    ended = audit(database, workspace_id)
    assert ended.returncode == 1
    assert "≠ sum of entries 100" in ended.stdout
    assert "VIOLATION: the balance is not the sum of its entries (1)" in ended.stdout
    assert "VIOLATION: what is left of grants is not the balance (1)" in ended.stdout


async def test_a_database_that_is_away_is_one_line(database: Database):
    away = Database(database.owner_url, "postgresql://holdfast_app:x@127.0.0.1:1/holdfast", database.platform_url)
    ended = audit(away, UUID(int=0))
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1


def test_what_was_billed_and_has_no_answer_here_is_lost():
    calls = {"hunter": {"a.com": 1, "b.com": 3, "c.com": 1}, "dns": {}}
    assert bill(calls, {"hunter": {"domain:a.com", "domain:b.com"}}) == Billed(subjects=3, lost=1, again=2)
