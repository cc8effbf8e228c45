"""Every operation of the OpenAPI document with generated input, good and bad, and a valid token: no answer is a 5xx,
and each has a status, a content type and a form that the document tells.

`make test` tries FUZZ_EXAMPLES of each operation, the same ones every time; `make fuzz` 1,000 others.
"""

import asyncio
import base64
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
import requests
import schemathesis
import uvloop
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi import checks

from app.main import create_app
from app.settings import Settings
from app.workspaces.service import set_plan
from tests.api import new_tenant, owner_sessions, serving, settings_for
from tests.contents import fill
from tests.openapi import api_document
from tests.people import join, new_person
from tests.servers import Database, PostgresServer

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "10"))

EXCLUDED = {
    # A stream: it lasts as long as its job, and the generated jobs never end.
    "watch_enrichment_job": "never ends",
}

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


def new_schema() -> Any:
    generation = GenerationConfig(with_security_parameters=False)
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation)))
    return schemathesis.openapi.from_dict(api_document(), config=config).exclude(operation_id=list(EXCLUDED))


schema = new_schema()


@dataclass(frozen=True)
class Target:
    """The API behind a socket, and whoever may do everything there."""

    url: str
    database: Database


@pytest.fixture(scope="module")
def target(postgres_server: PostgresServer, temporal_server: str) -> Iterator[Target]:
    overrides = {
        "temporal": {"address": temporal_server},
        "log_level": "ERROR",
        "credentials": {"keys": {"test": base64.b64encode(bytes(32)).decode()}},
        "billing": {"webhook_secrets": ["whsec_test"]},
        "providers": {"stripe": {"api_key": "sk_test_holdfast"}},
    }
    with postgres_server.migrated_database() as database, served(settings_for(database, **overrides)) as port:
        yield Target(f"http://127.0.0.1:{port}", database)


@contextmanager
def served(of: Settings) -> Iterator[int]:
    """An API with these settings on a thread of its own: the tests here are not asynchronous."""
    ready: Future[int] = Future()
    # As in production. The standard loop leaves Nagle's algorithm on here: 40 ms a request.
    loop = uvloop.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with serving(create_app(of)) as port:
            ready.set_result(port)
            await ended.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ready.result(timeout=30)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


@dataclass
class Somebody:
    """The owner of a workspace that has one of everything, who is also of the platform's staff."""

    headers: dict[str, str]
    ids: dict[str, object]


@pytest.fixture
def somebody(target: Target) -> Somebody:
    async def make() -> Somebody:
        tenant = await new_tenant(target.database, credit=1_000_000)
        person = await new_person(target.database, superadmin=True)
        await join(target.database, person, tenant.workspace_id, "owner")
        # Whose plan limits no requests.
        async with owner_sessions(target.database) as owner, owner.for_workspace(tenant.workspace_id) as session:
            await set_plan(session, tenant.workspace_id, "scale")
        return Somebody(person.headers, await fill(target.database, tenant.workspace_id))

    return asyncio.run(make())


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def counter() -> Iterator[int]:
    return count()


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_input_breaks_an_operation_or_its_contract(
    case: schemathesis.Case,
    target: Target,
    somebody: Somebody,
    session: requests.Session,
    counter: Iterator[int],
):
    generated = dict(case.path_parameters or {})
    if "workspace_id" in generated:
        # Of another workspace one never gets further than that; and in three of four, what is asked for is there.
        real = somebody.ids if next(counter) % 4 else {"workspace_id": somebody.ids["workspace_id"]}
        case.path_parameters = {name: str(real.get(name, value)) for name, value in generated.items()}
    if case.operation.label.endswith(("/verify", "/checkout-sessions", "/portal-sessions")):
        # Nobody works here, so that each would wait for as long as it may.
        case.query = {**(case.query or {}), "wait_seconds": 0}
    if case.operation.label.endswith("/lookups") and isinstance(case.body, dict):
        case.body = {"wait_seconds": 0, **case.body}
        if isinstance(case.body["wait_seconds"], int | float):
            case.body["wait_seconds"] = min(case.body["wait_seconds"], 0)
    case.call_and_validate(target.url, session=session, headers=somebody.headers, checks=CHECKS, timeout=30)
