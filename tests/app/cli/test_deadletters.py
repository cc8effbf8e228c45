"""``holdfast deadletters …`` against an API on loopback."""

import asyncio
import subprocess
from pathlib import Path

from app.deadletters import service
from app.deadletters.service import Failure
from app.local.ports import LOOPBACK
from app.main import create_app
from tests.api import Tenant, new_tenant, owner_sessions, serving, settings_for
from tests.app.cli.commands import holdfast
from tests.servers import Database


async def deadletters(
    tenant: Tenant, port: int, directory: Path, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    where = ("--api-url", f"http://{LOOPBACK}:{port}", "--workspace", str(tenant.workspace_id))
    key = ("--api-key", tenant.api_key)
    return await asyncio.to_thread(holdfast, "deadletters", *arguments, *where, *key, cwd=directory)


async def test_letters_are_listed_discarded_and_redriven(database: Database, tmp_path: Path):
    tenant = await new_tenant(database)
    async with owner_sessions(database) as sessions, sessions.for_workspace(tenant.workspace_id) as session:
        failures = [Failure(f"job:{n}", reason, "It failed.") for n, reason in ((1, "malformed"), (2, "budget"))]
        await service.open_many(session, tenant.workspace_id, "enrichment", failures)
    async with serving(create_app(settings_for(database))) as port:
        listed = await deadletters(tenant, port, tmp_path, "list", "--reason", "malformed")
        [line] = listed.stdout.splitlines()
        letter_id = line.split()[0]
        discarded = await deadletters(tenant, port, tmp_path, "discard", letter_id, "--reason", "It was a test")
        left = await deadletters(tenant, port, tmp_path, "list")
        nothing = await deadletters(tenant, port, tmp_path, "redrive")
        redriven = await deadletters(tenant, port, tmp_path, "redrive", "--all")

    assert "enrichment  job:1  malformed  1 attempts" in line
    assert discarded.stdout == f"Dead letter {letter_id} is discarded.\n"
    assert ["job:2" in each for each in left.stdout.splitlines()] == [True]
    assert nothing.returncode == 1
    assert nothing.stderr.startswith("holdfast: Name letters")
    assert redriven.stdout.endswith("tries 1 dead letters again.\n")
