"""Lease quotas of providers in blocks, for all processes together."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "provider_quotas"
down_revision = "shared_circuits"
branch_labels = None
depends_on = None

# No role may read the tables, by which one tenant would see how another uses its key: the functions answer a caller
# about the one key that it names, and only with what it may do.
FUNCTIONS = {
    # Of a window the last 51 fiftieths are kept, the newest last, each with what was leased in it. What lies in any
    # stretch as long as the window is in them, so that a window that slides is never exceeded; a call counts for up to
    # one fiftieth longer than it must.
    #
    # A second is not spent at once but over two thirds of it: of two bursts, a second apart, a part would arrive
    # within one, because no two calls are under way for equally long.
    #
    # `announced` is what the provider says is left of a window, NULL where it says nothing. Where that is fewer than we
    # think, by more than a twentieth of the window, which answers overtaking each other make up, the rest counts as
    # used by others.
    #
    # The ramp: t seconds after a circuit has closed, 2^t - 1 calls have been allowed since. `is_recovering` says that
    # the caller knows of a close that may not be stored yet: until it is there is nothing.
    "lease_provider_quota(text, text, integer, integer[], integer[], integer[], boolean)": """
        CREATE FUNCTION lease_provider_quota(of_provider text, of_credential text, wanted integer, of_calls integer[],
                                             of_seconds integer[], announced integer[], is_recovering boolean)
        RETURNS TABLE (granted integer, resets_in double precision, ramps_for double precision)
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
            ramp_seconds CONSTANT double precision := 10;
            circuit text;
            recovered_at timestamptz;
            ramped integer;
            blocked double precision;
            age double precision;
            moment double precision;
            quota record;
            newest bigint;
            shift integer;
            used integer[];
            oldest integer;
            spare integer;
        BEGIN
            -- A lease that a crash of the database forgets is one of its last half second.
            PERFORM set_config('synchronous_commit', 'off', true);
            granted := wanted;
            resets_in := 0;
            ramps_for := 0;

            SELECT h.circuit, h.closed_at INTO circuit, recovered_at
            FROM public.provider_health AS h WHERE h.provider = of_provider;
            IF circuit = 'closed' AND recovered_at > clock_timestamp() - make_interval(secs => ramp_seconds) THEN
                INSERT INTO public.provider_ramps AS r (provider, closed_at, leased)
                VALUES (of_provider, recovered_at, 0)
                ON CONFLICT (provider) DO UPDATE
                SET closed_at = excluded.closed_at,
                    leased = CASE WHEN r.closed_at = excluded.closed_at THEN r.leased ELSE 0 END
                RETURNING r.leased INTO ramped;
                age := extract(epoch FROM clock_timestamp() - recovered_at);
                granted := least(granted, floor(power(2, age))::integer - 1 - ramped);
                IF granted < 1 THEN
                    resets_in := ln(ramped + 2) / ln(2) - age;
                END IF;
                ramps_for := greatest(ramp_seconds - age, 0.001);
            ELSIF is_recovering AND circuit <> 'closed' THEN
                granted := 0;
                resets_in := 0.1;
                ramps_for := 0.1;
            END IF;

            INSERT INTO public.provider_quotas AS q (provider, credential) VALUES (of_provider, of_credential)
            ON CONFLICT (provider, credential) DO NOTHING;
            SELECT extract(epoch FROM q.blocked_until) INTO blocked
            FROM public.provider_quotas AS q WHERE q.provider = of_provider AND q.credential = of_credential FOR UPDATE;
            -- Only now: whoever held the row had an earlier moment.
            moment := extract(epoch FROM clock_timestamp());
            IF blocked > moment THEN
                granted := 0;
                resets_in := greatest(resets_in, blocked - moment);
            END IF;

            FOR quota IN
                SELECT g.calls, g.seconds, g.announced, w.newest, w.leased
                FROM unnest(of_calls, of_seconds, announced) AS g(calls, seconds, announced)
                     LEFT JOIN public.provider_quota_windows AS w
                     ON w.provider = of_provider AND w.credential = of_credential AND w.seconds = g.seconds
            LOOP
                newest := greatest(floor(moment * 50 / quota.seconds)::bigint, quota.newest);
                shift := least(newest - coalesce(quota.newest, 0), 51);
                used := quota.leased;
                used := used[shift + 1:51] || array_fill(0, ARRAY[shift]);
                SELECT quota.calls - sum(u.calls), min(u.place) FILTER (WHERE u.calls > 0) INTO spare, oldest
                FROM unnest(used) WITH ORDINALITY AS u(calls, place);
                IF quota.announced < spare - quota.calls / 20 THEN
                    used[51] := used[51] + spare - quota.announced;
                    spare := quota.announced;
                END IF;
                IF spare < 1 THEN
                    resets_in := greatest(
                        resets_in, (newest + coalesce(oldest, 51)) * quota.seconds / 50.0 - moment
                    );
                ELSIF quota.seconds = 1 THEN
                    spare := least(spare, ceil(quota.calls * 0.06)::integer - used[50] - used[51]);
                    IF spare < 1 THEN
                        resets_in := greatest(
                            resets_in, (newest + CASE WHEN used[50] > 0 THEN 1 ELSE 2 END) / 50.0 - moment
                        );
                    END IF;
                END IF;
                granted := least(granted, spare);
                INSERT INTO public.provider_quota_windows AS w (provider, credential, seconds, newest, leased)
                VALUES (of_provider, of_credential, quota.seconds, newest, used)
                ON CONFLICT (provider, credential, seconds) DO UPDATE
                SET newest = excluded.newest, leased = excluded.leased;
            END LOOP;

            IF granted > 0 THEN
                UPDATE public.provider_quota_windows AS w SET leased[51] = w.leased[51] + granted
                WHERE w.provider = of_provider AND w.credential = of_credential
                  AND w.seconds = ANY (of_seconds);
                IF ramped IS NOT NULL THEN
                    UPDATE public.provider_ramps AS r SET leased = r.leased + granted WHERE r.provider = of_provider;
                END IF;
            END IF;
            granted := greatest(granted, 0);
            resets_in := greatest(resets_in, 0);
            RETURN NEXT;
        END
        $$""",
    # A provider has refused a call for its pace: nobody calls it with this key before `hint` seconds are over, a day at
    # most. Without a hint it is a second, and twice as long each time that the first call after it, within a minute, is
    # refused again, up to a minute. Calls that began before the block was over tell nothing new. Seconds until it is.
    "block_provider_quota(text, text, double precision, double precision)": """
        CREATE FUNCTION block_provider_quota(of_provider text, of_credential text, hint double precision,
                                             began_ago double precision)
        RETURNS double precision
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
            quota record;
            moment timestamptz;
            times integer;
            seconds double precision;
        BEGIN
            INSERT INTO public.provider_quotas AS q (provider, credential) VALUES (of_provider, of_credential)
            ON CONFLICT (provider, credential) DO NOTHING;
            SELECT q.blocked_until, q.refusals INTO quota
            FROM public.provider_quotas AS q WHERE q.provider = of_provider AND q.credential = of_credential FOR UPDATE;
            moment := clock_timestamp();
            times := quota.refusals;
            seconds := CASE WHEN hint > 86400 THEN 86400 ELSE hint END;
            IF moment - make_interval(secs => began_ago) >= coalesce(quota.blocked_until, '-infinity') THEN
                IF quota.blocked_until > moment - interval '1 minute' THEN
                    times := least(times, 30) + 1;
                ELSE
                    times := 1;
                END IF;
                seconds := coalesce(seconds, least(power(2, times - 1), 60));
            END IF;
            seconds := greatest(seconds, extract(epoch FROM quota.blocked_until - moment), 0);
            UPDATE public.provider_quotas AS q
            SET blocked_until = moment + make_interval(secs => seconds), refusals = times
            WHERE q.provider = of_provider AND q.credential = of_credential;
            PERFORM pg_notify('provider_blocks', format('%s %s %s', of_provider, seconds, of_credential));
            RETURN seconds;
        END
        $$""",
}
TABLES = ("provider_quotas", "provider_quota_windows", "provider_ramps")


def upgrade() -> None:
    op.create_table(
        "provider_quotas",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refusals", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("provider", "credential"),
    )
    op.create_table(
        "provider_quota_windows",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.Column("leased", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.CheckConstraint("cardinality(leased) = 51", name="leased"),
        sa.PrimaryKeyConstraint("provider", "credential", "seconds"),
    )
    op.create_table(
        "provider_ramps",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("provider"),
    )
    for signature, definition in FUNCTIONS.items():
        op.execute(definition)
        op.execute(f"REVOKE EXECUTE ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO holdfast_app")


def downgrade() -> None:
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    for table in TABLES:
        op.drop_table(table)
