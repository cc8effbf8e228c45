"""What a workspace holds, for tests: one of everything, and a look at all of it."""

from uuid import UUID

from sqlalchemy import text

from app.billing.models import billing_pages
from app.db import new_id
from app.enrichment.models import enrichment_raw_answers
from app.enrichment.raw_answers import unpack
from app.tables import TABLES
from tests.api import owner_sessions
from tests.migrations.rows import rows_of
from tests.servers import Database
from workflows import ids


async def fill(database: Database, workspace_id: UUID) -> dict[str, object]:
    """Put one of everything into the workspace; their ids by the names of the parameters that take them."""
    rows = rows_of(workspace_id)
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        for table in TABLES:
            if table.name not in ("workspaces", "credit_accounts"):
                await session.execute(table.insert().values(rows[table.name]))
        portal = rows["billing_pages"]
        checkout = {**portal, "id": new_id(), "kind": "checkout", "plan": "starter", "price_id": "price_1"}
        await session.execute(billing_pages.insert().values(checkout))
    return {
        "workspace_id": workspace_id,
        "job_id": rows["enrichment_jobs"]["id"],
        "user_id": rows["memberships"]["user_id"],
        "invitation_id": rows["invitations"]["id"],
        "api_key_id": rows["api_keys"]["id"],
        "erasure_id": rows["enrichment_erasures"]["id"],
        "letter_id": rows["dead_letters"]["id"],
        "redrive_id": rows["dead_letter_redrives"]["id"],
        "provider": rows["provider_credentials"]["provider"],
        "name": rows["provider_credentials"]["provider"],
        "webhook_id": rows["webhook_endpoints"]["id"],
        "delivery_id": rows["webhook_deliveries"]["id"],
        "checkout_session_id": checkout["id"],
        "portal_session_id": portal["id"],
        "sync_id": rows["billing_syncs"]["id"],
        "workflow_id": ids.enrichment_job(str(rows["enrichment_jobs"]["id"])),
    }


async def everything_of(database: Database, workspace_id: UUID) -> dict[str, list[str]]:
    """All rows of the workspace, of every table, as text."""
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        found = {}
        for table in TABLES:
            column = "id" if table.name == "workspaces" else "workspace_id"
            if column in table.columns:
                query = text(f"SELECT to_jsonb(t)::text FROM {table.name} AS t WHERE {column} = :id")
                found[table.name] = sorted((await session.execute(query, {"id": workspace_id})).scalars())
        return found


async def mentions(database: Database, *words: str) -> dict[str, list[str]]:
    """Rows of any table and any workspace in which one of the words stands, in whatever case; with what is packed in
    them."""
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        found = {}
        for table in TABLES:
            rows = list((await session.execute(text(f"SELECT to_jsonb(t)::text FROM {table.name} AS t"))).scalars())
            if table is enrichment_raw_answers:
                packed = (await session.execute(text("SELECT body FROM enrichment_raw_answers"))).scalars()
                rows += [raw.decode(errors="replace") for body in packed for raw in unpack(body).values()]
            if told := [row for row in rows if any(word.lower() in row.lower() for word in words)]:
                found[table.name] = told
        return found
