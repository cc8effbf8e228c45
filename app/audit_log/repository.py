"""The SQL of the audit log."""

from typing import Any

from sqlalchemy import insert

from app.audit_log.models import audit_entries
from app.db import Session


async def add(session: Session, **entry: Any) -> None:
    await session.execute(insert(audit_entries).values(**entry))
