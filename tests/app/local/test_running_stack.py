import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import psycopg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from app.auth.tokens import AccessTokens
from app.local.errors import StackError
from app.local.stack import RunningStack, StackOptions, up
from app.local.state import LocalState, running
from app.settings import AuthSettings
from tests.app.local.stacks import PARTS, get, libpq, stack_in

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(data_dir: Path, said: list[str]) -> AsyncIterator[RunningStack]:
    """One stack for all that only look at it; its user has settings of their own."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOLDFAST_PLATFORM_DATABASE_URL", "postgresql://elsewhere/production")
        environment.setenv("HOLDFAST_PROVIDERS__HUNTER__API_KEY", "the-users-own")
        async with stack_in(data_dir, say=said.append, options=StackOptions(workers=2)) as stack:
            yield stack


async def test_local_json_says_where_everything_is_to_its_owner_alone(stack: RunningStack, data_dir: Path):
    path = data_dir / "local.json"
    content = json.loads(path.read_text())
    counts = {role: len(pids) for role, pids in content["pids"].items()}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((data_dir / "state.json").stat().st_mode) == 0o600
    assert LocalState(**content) == stack.state == running(data_dir)
    assert counts == {"api": 1, "worker": 2, "temporal": 1, "postgres": 1, "sandbox": 1}
    assert all(psutil.pid_exists(pid) for pids in content["pids"].values() for pid in pids)
    assert (content["workspace_id"], content["api_key"]) == ("the-workspace", "the-key")
    for url in (content["api_url"], content["sandbox_url"], content["temporal_ui_url"]):
        assert get(url)


async def test_postgresql_is_durable_and_lets_nobody_in_without_a_password(stack: RunningStack):
    url = libpq(stack.state.database_url)
    with psycopg.connect(url) as connection:
        for setting, value in (
            ("fsync", "on"),
            ("max_connections", "200"),
            ("idle_in_transaction_session_timeout", "1min"),
        ):
            assert connection.execute(f"SHOW {setting}").fetchone() == (value,)
    for role in ("postgres", "holdfast_owner", "holdfast_app", "holdfast_platform"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url, user=role, password="guess")


async def test_the_api_never_sees_the_roles_that_see_every_workspace(stack: RunningStack, data_dir: Path):
    api, worker = _environments(stack, data_dir)
    assert "HOLDFAST_PLATFORM_DATABASE_URL" not in api
    assert "holdfast_platform" in worker["HOLDFAST_PLATFORM_DATABASE_URL"]
    assert "holdfast_owner" not in str((api, worker))
    assert api["HOLDFAST_DATABASE_URL"] == worker["HOLDFAST_DATABASE_URL"] == stack.state.database_url


async def test_people_sign_in_at_the_api_and_nowhere_else(stack: RunningStack, data_dir: Path):
    api, worker = _environments(stack, data_dir)
    [pem] = json.loads(api["HOLDFAST_AUTH__SIGNING_KEYS"]).values()
    assert pem == json.loads((data_dir / "state.json").read_text())["signing_key"]
    assert AccessTokens.of(AuthSettings(signing_keys={"local": SecretStr(pem)})).signing_keys
    assert "PRIVATE KEY" not in str(worker)
    assert "PRIVATE KEY" not in (data_dir / "local.json").read_text()
    assert api["HOLDFAST_PUBLIC_URL"] == stack.state.api_url
    assert api["HOLDFAST_MAIL__DIRECTORY"] == str(data_dir / "mail")
    assert stat.S_IMODE((data_dir / "mail").stat().st_mode) == 0o700


async def test_the_users_settings_of_providers_win_and_those_of_servers_do_not(
    stack: RunningStack, data_dir: Path, said: list[str]
):
    api, worker = _environments(stack, data_dir)
    assert api["HOLDFAST_PROVIDERS__HUNTER__API_KEY"] == "the-users-own"
    assert api["HOLDFAST_PROVIDERS__APOLLO__API_KEY"] == "sandbox-key"
    assert api["HOLDFAST_PROVIDERS__HUNTER__BASE_URL"] == f"{stack.state.sandbox_url}/hunter/v2"
    assert worker["HOLDFAST_PROVIDERS__APOLLO__QUOTAS"] == worker["HOLDFAST_PROVIDERS__HUNTER__QUOTAS"] == "[]"
    assert "production" not in str((api, worker))
    assert any(line.startswith("HOLDFAST_PLATFORM_DATABASE_URL is not used here") for line in said)


async def test_a_second_stack_on_the_same_directory_is_told_who_runs_there(stack: RunningStack, data_dir: Path):
    with pytest.raises(StackError, match=f"process {os.getpid()} at {stack.state.api_url}"):
        await up(StackOptions(data_dir), say=print, parts=PARTS)
    assert running(data_dir) == stack.state


def _environments(stack: RunningStack, data_dir: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Of the API and of a worker."""
    ports = json.loads((data_dir / "state.json").read_text())["ports"]
    urls = (stack.state.api_url, f"http://127.0.0.1:{ports['worker-1']}")
    api, worker = (json.loads(get(f"{url}/environment")) for url in urls)
    return api, worker
