"""What has ended is deleted, a day later."""

from pydantic import SecretStr

from app.accounts import service
from app.db import Sessions, create_engine
from app.settings import DatabaseSettings
from tests.app.accounts.people_api import People

COUNTS = "SELECT (SELECT count(*) FROM user_sessions), (SELECT count(*) FROM one_time_tokens),"
COUNTS += " (SELECT count(*) FROM attempts)"


async def test_what_ended_a_day_ago_is_deleted_and_nothing_else(people: People):
    await people.register()
    for _ in range(3):
        await people.log_in()
    for _ in range(3):
        await people.magic_link()
    await people.log_in("bob@example.com")
    await people.sql("""
        WITH s AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM user_sessions)
        UPDATE user_sessions AS u
        SET revoked_at = CASE s.n WHEN 1 THEN now() - interval '25 hours' WHEN 2 THEN now() END,
            expires_at = CASE s.n WHEN 3 THEN now() - interval '25 hours' ELSE expires_at END
        FROM s WHERE s.id = u.id
    """)
    await people.sql("""
        WITH t AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM one_time_tokens)
        UPDATE one_time_tokens AS o
        SET used_at = CASE t.n WHEN 1 THEN now() - interval '25 hours' END,
            expires_at = CASE t.n WHEN 2 THEN now() - interval '25 hours' ELSE expires_at END
        FROM t WHERE t.id = o.id
    """)
    await people.sql("""
        UPDATE attempts SET last_at = now() - interval '25 hours'
        WHERE key = (SELECT key FROM attempts ORDER BY key LIMIT 1)
    """)
    [(_, _, attempts)] = await people.sql(COUNTS)
    engine = create_engine(SecretStr(people.database.platform_url), DatabaseSettings(pool_size=1), application="tests")
    try:
        assert await service.sweep(Sessions(engine), batch=2) == 5
        assert await service.sweep(Sessions(engine)) == 0
    finally:
        await engine.dispose()
    assert await people.sql(COUNTS) == [(2, 1, attempts - 1)]


async def test_the_application_reaches_attempts_by_their_functions_alone(people: People):
    rights = await people.sql("""
        SELECT privilege FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
        WHERE has_table_privilege('holdfast_app', 'attempts', privilege)
    """)
    assert rights == []
