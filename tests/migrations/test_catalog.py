"""Rules that every table keeps, asked of PostgreSQL's catalog: a new table that forgets one is named here."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.servers import Database

# Each finds what breaks the rule.
WITHOUT_FORCED_SECURITY = """
    SELECT relname FROM pg_class AS c
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
      AND (relname = 'workspaces'
           OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'workspace_id'))
      AND NOT (relrowsecurity AND relforcerowsecurity)
"""
WITHOUT_A_POLICY = """
    SELECT relname FROM pg_class AS c
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
      AND (relname = 'workspaces'
           OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'workspace_id'))
      AND NOT EXISTS (SELECT FROM pg_policy
                      WHERE polrelid = c.oid AND 'holdfast_app'::regrole = ANY (polroles) AND polcmd = '*')
"""
# A policy for all roles, or one for the application that looks at something else, would open what another closes:
# policies are alternatives.
OPEN_POLICIES = """
    SELECT format('%s.%s', tablename, policyname) FROM pg_policies
    WHERE schemaname = 'public' AND roles && '{public, holdfast_app}'
      AND concat(qual, with_check) !~ 'holdfast\\.(workspace|user)_id'
"""
# The tenant must be part of what a reference compares: a row of one could refer to a row of another otherwise.
PLAIN_FOREIGN_KEYS = """
    SELECT format('%s.%s', conrelid::regclass, conname) FROM pg_constraint AS k
    WHERE contype = 'f' AND connamespace = 'public'::regnamespace
      AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = conrelid AND attname = 'workspace_id')
      AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = confrelid AND attname = 'workspace_id')
      AND NOT EXISTS (
          SELECT FROM unnest(conkey, confkey) AS pair(here, there)
               JOIN pg_attribute AS h ON h.attrelid = conrelid AND h.attnum = here AND h.attname = 'workspace_id'
               JOIN pg_attribute AS t ON t.attrelid = confrelid AND t.attnum = there AND t.attname = 'workspace_id')
"""
VIEWS_THAT_SEE_ALL = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
      AND NOT coalesce(reloptions && '{security_invoker=true, security_invoker=on}', false)
"""
OPEN_FUNCTIONS = """
    SELECT proname FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND prosecdef
      AND (has_function_privilege('public', oid, 'EXECUTE')
           OR NOT coalesce(array_to_string(proconfig, ' ') LIKE '%search_path=pg_catalog%', false))
"""


@pytest.fixture
def catalog(database: Database) -> Iterator[psycopg.Connection]:
    """As the owner; nothing that a test does here lasts."""
    with psycopg.connect(database.owner_url.replace("+psycopg", "")) as connection:
        yield connection
        connection.rollback()


def found(catalog: psycopg.Connection, query: str) -> list[str]:
    return [name for (name,) in catalog.execute(query)]


RULES = [
    pytest.param(WITHOUT_FORCED_SECURITY, id="every tenant table forces row-level security"),
    pytest.param(WITHOUT_A_POLICY, id="every tenant table has a policy for the application"),
    pytest.param(OPEN_POLICIES, id="every policy looks at the workspace or the user"),
    pytest.param(PLAIN_FOREIGN_KEYS, id="foreign keys between tenant tables are composite"),
    pytest.param(VIEWS_THAT_SEE_ALL, id="views are those of who asks"),
    pytest.param(OPEN_FUNCTIONS, id="functions of the owner fix their search path and are not for everybody"),
]


@pytest.mark.parametrize("rule", RULES)
def test_the_schema_keeps_the_rule(catalog: psycopg.Connection, rule: str) -> None:
    assert found(catalog, rule) == []


@pytest.mark.parametrize(
    ("rule", "mistake"),
    [
        (WITHOUT_FORCED_SECURITY, "CREATE TABLE mistake (workspace_id uuid)"),
        (
            WITHOUT_FORCED_SECURITY,
            "CREATE TABLE mistake (workspace_id uuid); ALTER TABLE mistake ENABLE ROW LEVEL SECURITY",
        ),
        (WITHOUT_A_POLICY, "CREATE TABLE mistake (workspace_id uuid)"),
        (OPEN_POLICIES, "CREATE POLICY mistake ON credit_entries USING (true)"),
        (OPEN_POLICIES, "CREATE POLICY mistake ON credit_entries FOR SELECT TO holdfast_app USING (true)"),
        (
            PLAIN_FOREIGN_KEYS,
            "CREATE TABLE mistake (workspace_id uuid, job_id uuid CONSTRAINT mistake REFERENCES enrichment_jobs (id))",
        ),
        (VIEWS_THAT_SEE_ALL, "CREATE VIEW mistake AS SELECT * FROM credit_entries"),
        (OPEN_FUNCTIONS, "CREATE FUNCTION mistake() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"),
    ],
)
def test_a_mistake_is_found(catalog: psycopg.Connection, rule: str, mistake: str) -> None:
    catalog.execute(mistake)
    assert any("mistake" in name for name in found(catalog, rule))


@pytest.mark.parametrize("role", ["holdfast_app", "holdfast_platform"])
def test_the_roles_of_programs_pass_by_no_policy(catalog: psycopg.Connection, role: str) -> None:
    granted = catalog.execute(
        """
        SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,
               pg_has_role(oid, current_user, 'MEMBER')
        FROM pg_roles WHERE rolname = %s
        """,
        (role,),
    ).fetchone()
    assert granted == (False,) * 6
    owned = catalog.execute("SELECT relname FROM pg_class WHERE relowner = %s::regrole", (role,)).fetchall()
    assert owned == []
