"""The probes: what a supervisor and a load balancer ask."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.api import new_tenant, running_api
from tests.servers import Database, PostgresServer


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


async def test_a_process_with_everything_is_ok(database: Database, temporal_server: str):
    async with running_api(database, temporal={"address": temporal_server}) as client:
        answer = await client.get("/health")
    assert answer.status_code == 200
    checks = {"database": "ok", "temporal": "ok", "cache": "disabled"}
    assert answer.json()["data"] == {"status": "ok", "checks": checks}
    assert answer.json()["success"] is True


async def test_without_temporal_it_serves_and_says_degraded(database: Database):
    async with running_api(database) as client:
        answer = await client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["data"]["status"] == "degraded"
    assert answer.json()["data"]["checks"]["temporal"] == "down"


async def test_without_a_database_it_is_down(database: Database):
    nowhere = "postgresql://holdfast_app@127.0.0.1:1/none"
    async with running_api(database, database_url=nowhere) as client:
        health, readiness = await client.get("/health"), await client.get("/readiness")
    assert health.status_code == readiness.status_code == 503
    assert health.json()["success"] is False
    assert health.json()["data"]["status"] == "down"
    assert health.json()["data"]["checks"]["database"] == "down"
    assert health.json()["error"]["code"] == readiness.json()["error"]["code"] == "unavailable"


async def test_without_its_redis_it_serves_and_says_degraded(database: Database, temporal_server: str):
    overrides = {"temporal": {"address": temporal_server}, "redis_url": "redis://127.0.0.1:1"}
    async with running_api(database, **overrides) as client:
        answer = await client.get("/health")
    assert answer.status_code == 200
    checks = {"database": "ok", "temporal": "ok", "cache": "down"}
    assert answer.json()["data"] == {"status": "degraded", "checks": checks}


async def test_servers_that_accept_and_never_answer_cost_a_second(database: Database):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        overrides = {
            "database_url": f"postgresql://holdfast_app@127.0.0.1:{port}/none",
            "temporal": {"address": f"127.0.0.1:{port}"},
        }
        async with running_api(database, **overrides) as client:
            began = time.monotonic()
            answer = await client.get("/health")
            seconds = time.monotonic() - began
    assert answer.json()["data"]["checks"] == {"database": "down", "temporal": "down", "cache": "disabled"}
    assert seconds < 1.5


async def test_it_is_ready_on_a_migrated_database(database: Database):
    async with running_api(database) as client:
        answer = await client.get("/readiness")
    assert answer.status_code == 200
    assert answer.json()["data"] == {"status": "ready"}


async def test_it_is_not_ready_before_the_migrations_have_run(empty_database: Database):
    # The owner can log in before any migration has made the role of the API.
    async with running_api(empty_database, database_url=empty_database.owner_url) as client:
        answer = await client.get("/readiness")
    assert answer.status_code == 503
    assert "migrated" in answer.json()["error"]["message"]


async def test_metrics_count_requests_by_route_template(database: Database):
    tenant = await new_tenant(database)
    async with running_api(database) as client:
        await client.get(f"{tenant.path}/credits", headers=tenant.headers)
        await client.get(f"{tenant.path}/credits")
        await client.get("/no/such/path")
        await client.request("BREW", "/no/such/pot")
        answer = await client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    route = 'route="/api/v1/workspaces/{workspace_id}/credits"'
    assert f'holdfast_http_requests_total{{method="GET",{route},status="200"}} 1.0' in answer.text
    assert f'holdfast_http_requests_total{{method="GET",{route},status="401"}} 1.0' in answer.text
    assert 'holdfast_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in answer.text
    assert 'holdfast_http_requests_total{method="OTHER",route="unmatched",status="404"} 1.0' in answer.text
    assert f'holdfast_http_request_seconds_count{{method="GET",{route}}} 2.0' in answer.text
    assert str(tenant.workspace_id) not in answer.text
