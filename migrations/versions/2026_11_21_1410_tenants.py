"""Who may see and change what of people, members, credentials, the audit log and grants: roles, policies, functions."""

from alembic import op

revision = "tenants"
down_revision = "tenant_tables"
branch_labels = None
depends_on = None

OWN_WORKSPACE = "(SELECT nullif(current_setting('holdfast.workspace_id', true), '')::uuid)"
OWN_USER = "(SELECT nullif(current_setting('holdfast.user_id', true), '')::uuid)"

# Table → what holdfast_app may do to rows of the transaction's workspace. Nobody rewrites the audit log.
TENANT_TABLES = {
    "memberships": "SELECT, INSERT, UPDATE, DELETE",
    "invitations": "SELECT, INSERT, UPDATE",
    "audit_entries": "SELECT, INSERT",
    "provider_credentials": "SELECT, INSERT, UPDATE, DELETE",
    "credit_lots": "SELECT, INSERT, UPDATE, DELETE",
}
# Table → the column that says whose row it is, and what holdfast_app may do to rows of the transaction's user.
USER_TABLES = {
    # All of it but who is of the platform's staff: that is made with the owner's role, and never by a request.
    "users": (
        "id",
        """SELECT, INSERT (id, email, name, password_hash, email_verified_at),
           UPDATE (name, password_hash, email_verified_at)""",
    ),
    "user_sessions": ("user_id", "SELECT, INSERT, UPDATE"),
    "one_time_tokens": ("user_id", "SELECT, INSERT, UPDATE"),
}
PLATFORM_TABLES = {
    "credit_accounts": "SELECT, UPDATE",
    "credit_entries": "SELECT, INSERT",
    "credit_lots": "SELECT, UPDATE, DELETE",
    "workspaces": "SELECT",
    "user_sessions": "SELECT, DELETE",
    "one_time_tokens": "SELECT, DELETE",
    "attempts": "SELECT, UPDATE, DELETE",
    # To wrap the data keys anew, and not to read what they open.
    "provider_credentials": "SELECT (workspace_id, provider, key_id, wrapped_key), UPDATE (key_id, wrapped_key)",
}

# Before a workspace or a user is known the API asks these functions, and nothing else.
FUNCTIONS = {
    # A key acts for whoever made it: without that membership it is dead. One that nobody made belongs to the operator.
    "resolve_api_key(bytea)": """
        CREATE FUNCTION resolve_api_key(hash bytea)
        RETURNS TABLE (api_key_id uuid, workspace_id uuid, scopes text[], role text)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT k.id, k.workspace_id, k.scopes, CASE WHEN k.created_by IS NULL THEN 'owner' ELSE m.role END
            FROM public.api_keys AS k
                 JOIN public.workspaces AS w ON w.id = k.workspace_id
                 LEFT JOIN public.memberships AS m ON m.workspace_id = k.workspace_id AND m.user_id = k.created_by
            WHERE k.secret_hash = hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
              AND w.deleted_at IS NULL AND (k.created_by IS NULL OR m.user_id IS NOT NULL)
        $$""",
    # Whoever signed in, as long as that sign-in was not ended; `role` is NULL outside of the workspace.
    "resolve_person(uuid, uuid, uuid)": """
        CREATE FUNCTION resolve_person(person uuid, session uuid, workspace uuid)
        RETURNS TABLE (user_id uuid, is_superadmin boolean, role text)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT u.id, u.is_superadmin, m.role
            FROM public.user_sessions AS s
                 JOIN public.users AS u ON u.id = s.user_id
                 LEFT JOIN (public.memberships AS m
                            JOIN public.workspaces AS w ON w.id = m.workspace_id AND w.deleted_at IS NULL)
                      ON m.user_id = u.id AND m.workspace_id = workspace
            WHERE s.id = session AND s.user_id = person AND s.revoked_at IS NULL AND s.expires_at > now()
        $$""",
    "find_account(text)": """
        CREATE FUNCTION find_account(address text)
        RETURNS TABLE (user_id uuid, password_hash text, email_verified boolean)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT u.id, u.password_hash, u.email_verified_at IS NOT NULL FROM public.users AS u
            WHERE u.email = address
        $$""",
    "find_user_session(bytea)": """
        CREATE FUNCTION find_user_session(hash bytea)
        RETURNS TABLE (session_id uuid, user_id uuid)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT s.id, s.user_id FROM public.user_sessions AS s
            WHERE s.token_hash = hash OR s.used_token_hashes @> ARRAY[hash]
        $$""",
    "find_one_time_token(bytea)": """
        CREATE FUNCTION find_one_time_token(hash bytea)
        RETURNS TABLE (token_id uuid, user_id uuid, purpose text)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT t.id, t.user_id, t.purpose FROM public.one_time_tokens AS t
            WHERE t.token_hash = hash AND t.used_at IS NULL AND t.expires_at > now()
        $$""",
    # Counts an attempt under each key before it is made, so that many at once are no way around: seconds to wait where
    # one of them is locked (then nothing is counted), else 0. The first of `free` attempts cost nothing; after the n-th
    # beyond them the next must wait for 2^n seconds. A day without attempts forgets those before it.
    "begin_attempt(bytea[], integer[], integer)": """
        CREATE FUNCTION begin_attempt(keys bytea[], free integer[], longest integer)
        RETURNS double precision
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
            seconds double precision;
        BEGIN
            INSERT INTO public.attempts (key) SELECT k FROM unnest(keys) AS k ORDER BY k ON CONFLICT DO NOTHING;
            PERFORM FROM public.attempts AS a WHERE a.key = ANY (keys) ORDER BY a.key FOR UPDATE;
            SELECT extract(epoch FROM max(a.locked_until) - clock_timestamp()) INTO seconds
            FROM public.attempts AS a WHERE a.key = ANY (keys);
            IF seconds > 0 THEN
                RETURN seconds;
            END IF;
            UPDATE public.attempts AS a
            SET count = n.count, last_at = clock_timestamp(),
                locked_until = CASE WHEN n.count >= n.free THEN
                    clock_timestamp()
                    + make_interval(secs => least(power(2, least(n.count - n.free + 1, 30)), longest))
                END
            FROM (SELECT b.key, g.free,
                         CASE WHEN b.last_at < clock_timestamp() - interval '1 day' THEN 1 ELSE b.count + 1 END AS count
                  FROM unnest(keys, free) AS g(key, free) JOIN public.attempts AS b ON b.key = g.key) AS n
            WHERE a.key = n.key;
            RETURN 0;
        END
        $$""",
    # It was no failure: forgets the attempts under `forgiven`, and takes back the one under `uncounted`.
    "end_attempt(bytea, bytea)": """
        CREATE FUNCTION end_attempt(forgiven bytea, uncounted bytea)
        RETURNS void
        LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            DELETE FROM public.attempts AS a WHERE a.key = forgiven;
            UPDATE public.attempts AS a SET count = greatest(a.count - 1, 0), locked_until = NULL
            WHERE a.key = uncounted;
        $$""",
    "find_invitation(bytea)": """
        CREATE FUNCTION find_invitation(hash bytea)
        RETURNS TABLE (invitation_id uuid, workspace_id uuid, email text)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT i.id, i.workspace_id, i.email
            FROM public.invitations AS i JOIN public.workspaces AS w ON w.id = i.workspace_id
            WHERE i.token_hash = hash AND i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > now()
              AND w.deleted_at IS NULL
        $$""",
    "workspaces_of(uuid)": """
        CREATE FUNCTION workspaces_of(person uuid)
        RETURNS TABLE (workspace_id uuid, name text, settings jsonb, created_at timestamptz, role text)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT w.id, w.name, w.settings, w.created_at, m.role
            FROM public.memberships AS m JOIN public.workspaces AS w ON w.id = m.workspace_id
            WHERE m.user_id = person AND w.deleted_at IS NULL
        $$""",
    # Names and addresses of a workspace's members are read by its own members only: by the transaction's workspace.
    "members_of_own_workspace()": """
        CREATE FUNCTION members_of_own_workspace()
        RETURNS TABLE (user_id uuid, name text, email text, email_verified boolean, role text, created_at timestamptz)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT u.id, u.name, u.email, u.email_verified_at IS NOT NULL, m.role, m.created_at
            FROM public.memberships AS m JOIN public.users AS u ON u.id = m.user_id
            WHERE m.workspace_id = nullif(current_setting('holdfast.workspace_id', true), '')::uuid
        $$""",
    # For the platform's staff, whoever the caller says that it is: newest first, those before an id.
    "all_workspaces(uuid, uuid, integer)": """
        CREATE FUNCTION all_workspaces(superadmin uuid, before uuid, most integer)
        RETURNS TABLE (workspace_id uuid, name text, created_at timestamptz, deleted_at timestamptz, members bigint,
                       balance bigint, held bigint)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT w.id, w.name, w.created_at, w.deleted_at,
                   (SELECT count(*) FROM public.memberships AS m WHERE m.workspace_id = w.id),
                   coalesce(a.balance, 0), coalesce(a.held, 0)
            FROM public.workspaces AS w LEFT JOIN public.credit_accounts AS a ON a.workspace_id = w.id
            WHERE (before IS NULL OR w.id < before)
              AND EXISTS (SELECT FROM public.users AS u WHERE u.id = superadmin AND u.is_superadmin)
            ORDER BY w.id DESC LIMIT most
        $$""",
    "all_users(uuid, uuid, integer)": """
        CREATE FUNCTION all_users(superadmin uuid, before uuid, most integer)
        RETURNS TABLE (user_id uuid, email text, name text, email_verified boolean, is_superadmin boolean,
                       created_at timestamptz, workspaces bigint)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT u.id, u.email, u.name, u.email_verified_at IS NOT NULL, u.is_superadmin, u.created_at,
                   (SELECT count(*) FROM public.memberships AS m WHERE m.user_id = u.id)
            FROM public.users AS u
            WHERE (before IS NULL OR u.id < before)
              AND EXISTS (SELECT FROM public.users AS s WHERE s.id = superadmin AND s.is_superadmin)
            ORDER BY u.id DESC LIMIT most
        $$""",
}

# With the rights of who calls it. Volatile and not plain SQL in a larger statement: so it sees the lots as they are
# once the account is locked, not as they were when that statement began.
SPEND_CREDIT_LOTS = """
CREATE FUNCTION spend_credit_lots(account uuid, amount bigint) RETURNS void LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    WITH lots AS (
        SELECT id, remaining,
               least(remaining, greatest(0, amount - coalesce(sum(remaining) OVER before, 0)))::bigint AS taken
        FROM public.credit_lots WHERE workspace_id = account
        WINDOW before AS (ORDER BY expires_at NULLS LAST, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ), used_up AS (
        DELETE FROM public.credit_lots AS l USING lots
        WHERE l.workspace_id = account AND l.id = lots.id AND lots.taken = lots.remaining
    )
    UPDATE public.credit_lots AS l SET remaining = l.remaining - lots.taken FROM lots
    WHERE l.workspace_id = account AND l.id = lots.id AND lots.taken > 0 AND lots.taken < lots.remaining;
END
$$
"""

RESOLVE_API_KEY_BEFORE = """
CREATE FUNCTION resolve_api_key(hash bytea)
RETURNS TABLE (api_key_id uuid, workspace_id uuid, scopes text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.id, k.workspace_id, k.scopes
    FROM public.api_keys AS k
    WHERE k.secret_hash = hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
$$
"""


def upgrade() -> None:
    _define("spend_credit_lots(uuid, bigint)", SPEND_CREDIT_LOTS)
    op.execute("GRANT EXECUTE ON FUNCTION spend_credit_lots(uuid, bigint) TO holdfast_platform")
    for table, grants in TENANT_TABLES.items():
        _force(table)
        op.execute(f"GRANT {grants} ON {table} TO holdfast_app")
        op.execute(
            f"CREATE POLICY own_workspace ON {table} TO holdfast_app"
            f" USING (workspace_id = {OWN_WORKSPACE}) WITH CHECK (workspace_id = {OWN_WORKSPACE})"
        )
    for table, (column, grants) in USER_TABLES.items():
        _force(table)
        op.execute(f"GRANT {grants} ON {table} TO holdfast_app")
        op.execute(
            f"CREATE POLICY own_user ON {table} TO holdfast_app"
            f" USING ({column} = {OWN_USER}) WITH CHECK ({column} = {OWN_USER})"
        )
    # Of nobody in particular: the API reaches it by functions alone.
    _force("attempts")
    for table, grants in PLATFORM_TABLES.items():
        op.execute(f"GRANT {grants} ON {table} TO holdfast_platform")
        op.execute(f"CREATE POLICY platform ON {table} TO holdfast_platform USING (true) WITH CHECK (true)")
    # Made by people now, not by the owner of the tables only.
    op.execute("DROP POLICY own_workspace ON workspaces")
    op.execute("GRANT INSERT, UPDATE ON workspaces TO holdfast_app")
    op.execute(
        f"CREATE POLICY own_workspace ON workspaces TO holdfast_app"
        f" USING (id = {OWN_WORKSPACE}) WITH CHECK (id = {OWN_WORKSPACE})"
    )
    op.execute("GRANT INSERT, UPDATE ON api_keys TO holdfast_app")
    op.execute("DROP FUNCTION resolve_api_key(bytea)")
    for signature, definition in FUNCTIONS.items():
        _define(signature, definition)


def _force(table: str) -> None:
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")


def _define(signature: str, definition: str) -> None:
    op.execute(definition)
    op.execute(f"REVOKE EXECUTE ON FUNCTION {signature} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO holdfast_app")


def downgrade() -> None:
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    _define("resolve_api_key(bytea)", RESOLVE_API_KEY_BEFORE)
    for table in ("credit_accounts", "credit_entries", "workspaces"):
        op.execute(f"DROP POLICY platform ON {table}")
        op.execute(f"REVOKE ALL ON {table} FROM holdfast_platform")
    op.execute("DROP POLICY own_workspace ON workspaces")
    op.execute("REVOKE INSERT, UPDATE ON workspaces FROM holdfast_app")
    op.execute(f"CREATE POLICY own_workspace ON workspaces TO holdfast_app USING (id = {OWN_WORKSPACE})")
    op.execute("REVOKE INSERT, UPDATE ON api_keys FROM holdfast_app")
    op.execute("DROP FUNCTION spend_credit_lots(uuid, bigint)")
    for table, policy in (
        *((table, "own_workspace") for table in TENANT_TABLES),
        *((table, "own_user") for table in USER_TABLES),
        ("attempts", None),
    ):
        policies = ["owner", *([policy] if policy else []), *(["platform"] if table in PLATFORM_TABLES else [])]
        for each in policies:
            op.execute(f"DROP POLICY {each} ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE ALL ON {table} FROM holdfast_app, holdfast_platform")
