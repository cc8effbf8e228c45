"""A planted provider credential is used, refused, garbled and timed out, and so are the secrets of a webhook; then all
are looked for everywhere: log lines, API answers, workflow histories, metrics and every table. Real processes, with
logs at DEBUG."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
from aiohttp import web
from standardwebhooks import Webhook
from temporalio.client import Client

from app.sandbox.server import Sandbox, SandboxOptions, serve
from app.settings import TemporalSettings
from app.tables import TABLES
from app.temporal import connect
from app.webhooks.signing import key_of
from tests.api import SIGNING_KEYS, Tenant, new_tenant
from tests.app.credentials.sealed import KEYS
from tests.app.webhooks.receiver import Received, receiving
from tests.people import SignedIn, new_member
from tests.processes import Installation
from tests.servers import Database

# In the middle of every secret: its last four characters are the hint that people see.
MARKER = "pLaNtEd-7f3a9c-LeAk"
GOOD = f"good-{MARKER}-tail"
OTHER = f"other-{MARKER}-tail"
REFUSED = f"bad-{MARKER}-tail"
SPENT = f"poor-{MARKER}-tail"
WORKFLOWS = 9


def forms_of(marker: str) -> list[bytes]:
    """As it is, in hexadecimal, and in base64 whatever stands before it."""
    raw = marker.encode()
    forms = [raw, raw.hex().encode(), raw.hex().upper().encode()]
    for before in range(3):
        encoded = b64encode(b"\0" * before + raw)
        # Characters at the edges hold bits of what is beside it.
        forms.append(encoded[-(-before * 8 // 6) : len(encoded) - 4])
    return forms


FORMS = forms_of(MARKER)


def leaks(text: bytes | str, forms: list[bytes] = FORMS) -> bool:
    content = text.encode() if isinstance(text, str) else text
    return any(form in content for form in forms)


@pytest.mark.parametrize("before", range(6))
def test_the_search_finds_what_it_looks_for(before: int):
    content = b"x" * before + GOOD.encode() + b"y"
    assert leaks(content)
    assert leaks(content.hex())
    assert leaks(b64encode(content))
    assert not leaks(b64encode(content.replace(MARKER.encode(), b"something else")))


@dataclass
class Scene:
    """A workspace at the API. `answers` is all that was ever said to anybody, heads included."""

    api_url: str
    worker_url: str
    tenant: Tenant
    admin: SignedIn
    sandbox: Sandbox
    http: aiohttp.ClientSession
    answers: list[str] = field(default_factory=list)

    async def send(self, method: str, path: str, *, by_key: bool = False, **more: Any) -> tuple[int, Any]:
        sender = self.tenant if by_key else self.admin
        url = path if path.startswith("http") else f"{self.api_url}{self.tenant.path}{path}"
        async with self.http.request(method, url, headers=sender.headers, **more) as answer:
            said = await answer.text()
            self.answers.append(f"{dict(answer.headers)}\n{said}")
            is_json = "json" in answer.headers.get("Content-Type", "") and "jsonl" not in url
            return answer.status, json.loads(said) if is_json and said else said

    async def put(self, provider: str, secret: str) -> None:
        status, said = await self.send("PUT", f"/credentials/{provider}", json={"secret": {"api_key": secret}})
        assert status == 200, said

    async def verify(self, provider: str) -> dict[str, Any]:
        status, said = await self.send("POST", f"/credentials/{provider}/verify?wait_seconds=30")
        assert status == 200, said
        verified: dict[str, Any] = said["data"]
        return verified

    async def fault(self, provider: str, **fault: Any) -> None:
        async with self.http.put(f"{self.sandbox.url}/_faults/{provider}", json=fault) as answer:
            assert answer.status == 200, await answer.text()

    async def mend(self) -> None:
        async with self.http.delete(f"{self.sandbox.url}/_faults") as answer:
            assert answer.status == 204

    async def start(self, providers: list[str], *, records: int = 20) -> str:
        rows = [{"domain": f"company-{number}.com"} for number in range(records)]
        body = {"entity": "company", "records": rows, "fields": ["industry", "city"], "providers": providers}
        status, said = await self.send("POST", "/enrichment/jobs", by_key=True, json=body)
        assert status == 202, said
        job_id: str = said["data"]["id"]
        return job_id

    async def until(self, job_id: str, reached: Any) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while True:
                _, said = await self.send("GET", f"/enrichment/jobs/{job_id}", by_key=True)
                job: dict[str, Any] = said["data"]
                if reached(job):
                    return job
                await asyncio.sleep(0.1)

    async def outcomes(self, job_id: str) -> set[str]:
        _, said = await self.send("GET", f"/enrichment/jobs/{job_id}/records", by_key=True)
        return {attempt["outcome"] for record in said["data"] for attempt in record["attempts"]}


@asynccontextmanager
async def open_scene(database: Database, temporal: str, logs: Path) -> AsyncIterator[Scene]:
    sandbox = await serve(SandboxOptions())
    keys = {key_id: key.get_secret_value() for key_id, key in KEYS.keys.items()}
    signing_keys = {key_id: pem.get_secret_value() for key_id, pem in SIGNING_KEYS.items()}
    installation = Installation(
        database,
        temporal,
        sandbox.url,
        logs,
        settings={
            "HOLDFAST_LOG_LEVEL": "DEBUG",
            "HOLDFAST_CREDENTIALS__KEYS": json.dumps(keys),
            "HOLDFAST_AUTH__SIGNING_KEYS": json.dumps(signing_keys),
            "HOLDFAST_PROVIDERS__HUNTER__TIMEOUT_SECONDS": "0.3",
            "HOLDFAST_PROVIDERS__HUNTER__BREAKER": '{"reset_seconds": 1}',
            "HOLDFAST_PROVIDERS__APOLLO__BREAKER": '{"window_calls": 1000}',
            "HOLDFAST_ENRICHMENT__FLUSH_SECONDS": "0.05",
            "HOLDFAST_WEBHOOKS__ALLOW_PRIVATE": "true",
        },
    )
    tenant = await new_tenant(database, credit=0)
    admin = await new_member(database, tenant.workspace_id, "admin")
    with installation.api() as api, installation.worker() as worker:
        async with aiohttp.ClientSession() as http:
            yield Scene(api.url, worker.url, tenant, admin, sandbox, http)
    await sandbox.close()


async def tell(scene: Scene) -> list[bytes]:
    """Send events to a receiver that takes the first, and says all that it was sent; in which forms the webhook's two
    secrets must not be found. The answers in which they are shown are not among those of the scene."""

    async def echo(received: Received) -> web.Response:
        return web.json_response(received.headers, status=200 if len(receiver.received) == 1 else 410)

    secrets = []
    async with receiving() as receiver:
        body = {"url": receiver.url, "event_types": ["credits.low"], "headers": {"Authorization": f"Bearer {GOOD}"}}
        receiver.answer = echo
        _, made = await scene.send("POST", "/webhooks", json=body)
        secrets.append(made["data"]["secret"])
        assert made["data"]["secret"] in scene.answers.pop()
        path = f"/webhooks/{made['data']['id']}"
        for error in (None, "gone"):
            _, told = await scene.send("POST", f"{path}/test")
            async with asyncio.timeout(60):
                while (found := told["data"])["state"] == "pending":
                    await asyncio.sleep(0.1)
                    _, told = await scene.send("GET", f"{path}/deliveries/{found['id']}")
            assert found["error"] == error
            assert "webhook-signature" in found["attempts"][0]["answer"]
            if error is None:
                _, made = await scene.send("POST", f"{path}/rotate-secret")
                secrets.append(made["data"]["secret"])
                assert made["data"]["secret"] in scene.answers.pop()
    last = receiver.received[-1]
    assert last.headers["authorization"] == f"Bearer {GOOD}"
    for secret in secrets:
        assert Webhook(secret).verify(last.body, last.headers)["type"] == "webhook.test"
    for shown in ("/webhooks", path, f"{path}/deliveries", "/events"):
        assert (await scene.send("GET", shown))[0] == 200
    return [
        form
        for secret in secrets
        for form in (
            secret.removeprefix("whsec_").encode(),
            secret.encode().hex().encode(),
            key_of(secret).hex().encode(),
        )
    ]


async def histories(client: Client, workspace_id: object) -> list[str]:
    """Of every workflow of the workspace, as soon as Temporal lists them all."""
    async with asyncio.timeout(60):
        while True:
            listed = [each async for each in client.list_workflows(f"WorkspaceId = '{workspace_id}'")]
            if len(listed) >= WORKFLOWS:
                break
            await asyncio.sleep(0.2)
    found = []
    for each in listed:
        handle = client.get_workflow_handle(each.id, run_id=each.run_id)
        await handle.result()
        found.append((await handle.fetch_history()).to_json())
    return found


def dump(database: Database) -> dict[str, bytes]:
    """Every table as text, as the owner sees it."""
    with psycopg.connect(database.owner_url.replace("+psycopg", "")) as connection:
        tables = {}
        for table in TABLES:
            with connection.cursor().copy(f"COPY {table.name} TO STDOUT") as copy:
                tables[table.name] = b"".join(bytes(block) for block in copy)
        return tables


async def test_a_planted_credential_is_found_nowhere(database: Database, temporal_server: str, tmp_path: Path):
    async with open_scene(database, temporal_server, tmp_path) as scene:
        # Refused at the door.
        for body in ({"secret": GOOD}, {"secret": {"api_key": GOOD + "\n"}}, {"secret": {GOOD: 1}}, {GOOD: 1}):
            assert (await scene.send("PUT", "/credentials/hunter", json=body))[0] == 422
        await scene.send("PUT", "/credentials/hunter", data=f'{{"secret": {{"api_key": "{GOOD}"')
        await scene.send("PUT", "/credentials/website", json={"secret": {"api_key": GOOD}})

        # Taken, and used: answers, garbage, silence, broken connections, an outage.
        await scene.put("hunter", GOOD)
        await scene.put("apollo", OTHER)
        assert [(await scene.verify(name))["status"] for name in ("hunter", "apollo")] == ["valid", "valid"]
        well = await scene.start(["hunter", "apollo"])
        assert (await scene.until(well, lambda job: job["finished_at"]))["status"] == "completed"
        assert await scene.outcomes(well) >= {"found"}
        await scene.fault("apollo", mode="malformed")
        garbled = await scene.start(["apollo"])
        await scene.until(garbled, lambda job: job["finished_at"])
        assert "malformed" in await scene.outcomes(garbled)
        await scene.fault("hunter", mode="hang")
        ill = await scene.start(["hunter"])
        await scene.until(ill, lambda job: job["providers"][0]["errors"] >= 5)
        await scene.fault("hunter", mode="drop_after_effect")
        await scene.until(ill, lambda job: job["providers"][0]["errors"] >= 6)
        await scene.mend()
        await scene.until(ill, lambda job: job["finished_at"])

        # Refused by the provider, in a job and in a check.
        for secret, reason in ((REFUSED, "credential_rejected"), (SPENT, "payment_required")):
            await scene.put("hunter", secret)
            refused = await scene.start(["hunter"], records=5)
            await scene.until(refused, lambda job: job["finished_at"])
            assert await scene.outcomes(refused) == {"rejected"}
            _, shown = await scene.send("GET", "/credentials/hunter")
            assert (shown["data"]["status"], shown["data"]["status_reason"]) == ("rejected", reason)
        assert (await scene.verify("hunter"))["status"] == "rejected"

        # Sent along to a webhook, and signed with.
        forms = FORMS + await tell(scene)

        # All that can be asked for.
        for path in ("/credentials", "/audit-log", "/enrichment/jobs", f"/enrichment/jobs/{well}/export?format=jsonl"):
            assert (await scene.send("GET", path))[0] == 200
        for url in ("/metrics", "/health", "/api/v1/providers", "/api/v1/openapi.json"):
            await scene.send("GET", scene.api_url + url)
        await scene.send("GET", f"{scene.worker_url}/metrics")
        client = await connect(TemporalSettings(address=temporal_server), lazy=False)
        recorded = await histories(client, scene.tenant.workspace_id)
        assert (await scene.send("DELETE", "/credentials/hunter"))[0] == 204
        tables = dump(database)

    assert "tail" in "".join(scene.answers)
    assert not [answer for answer in scene.answers if leaks(answer, forms)]
    assert not [history for history in recorded if leaks(history, forms)]
    assert tables["provider_credentials"]
    assert tables["webhook_secrets"]
    assert not [name for name, content in tables.items() if leaks(content, forms)]
    for name in ("api", "worker"):
        lines = (tmp_path / f"{name}.log").read_bytes().splitlines()
        assert lines
        assert not [line for line in lines if leaks(line, forms)]
