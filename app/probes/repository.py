"""The SQL of the probes."""

from sqlalchemy import text

from app.db import Session, metadata

_PING = text("SELECT 1")
_MISSING = text("""
    SELECT count(*) FROM unnest(CAST(:tables AS text[]), CAST(:columns AS text[])) AS wanted(table_name, column_name)
    WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(wanted.table_name)
                      AND attname = wanted.column_name AND NOT attisdropped)
""")


async def ping(session: Session) -> None:
    await session.execute(_PING)


async def missing_columns(session: Session) -> int:
    """How many of the columns that this version of the program knows are not in the database."""
    columns = [(table.name, column.name) for table in metadata.tables.values() for column in table.columns]
    parameters = {"tables": [table for table, _ in columns], "columns": [column for _, column in columns]}
    return int((await session.execute(_MISSING, parameters)).scalar_one())
