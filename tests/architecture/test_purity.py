"""Workflows are pure: importing them loads nothing that talks to the world."""

import subprocess
import sys

import pytest

FORBIDDEN = ("sqlalchemy", "psycopg", "aiohttp", "fastapi", "pydantic_settings", "pybreaker", "app", "activities")


@pytest.mark.parametrize(
    "module", ["workflows.catalog", "workflows.contracts.credentials", "workflows.contracts.enrichment"]
)
def test_importing_workflows_loads_no_sql_and_no_http(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.partition(".")[0] in FORBIDDEN] == []
