"""A small program in the place of migrations and seed: the runtime roles, a table, and a key when it is asked for."""

import json
import os
import sys
from urllib.parse import urlsplit

import psycopg
from psycopg import sql


def main() -> None:
    with psycopg.connect(os.environ["HOLDFAST_OWNER_DATABASE_URL"].replace("+psycopg", "")) as connection:
        if connection.execute("SELECT to_regclass('marks')").fetchone() == (None,):
            connection.execute("CREATE TABLE marks (mark text)")
            for variable in ("HOLDFAST_DATABASE_URL", "HOLDFAST_PLATFORM_DATABASE_URL"):
                url = urlsplit(os.environ[variable])
                role, password = sql.Identifier(url.username or ""), sql.Literal(url.password or "")
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
                connection.execute(sql.SQL("GRANT ALL ON marks TO {}").format(role))
    key = "the-key" if "--new-key" in sys.argv else None
    sys.stdout.write(json.dumps({"workspace_id": "the-workspace", "api_key": key}))


if __name__ == "__main__":
    main()
