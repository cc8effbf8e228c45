"""The speed of the API: requests a second of one uvicorn worker with 32 connections, against FastAPI alone.

What is compared runs in turn, several times, and the medians are reported. No worker process runs: what is measured is
the answer, not the work that it starts.
"""

import asyncio
import json
import os
import statistics
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from app.auth.tokens import AccessTokens, Claims
from app.db import new_id
from app.local import postgres
from app.local.parts import HOLDFAST
from app.local.ports import LOOPBACK, free_port
from app.local.probes import answers_ok
from app.local.process import Command
from app.settings import AuthSettings
from benchmarks.load import Load, Measured
from benchmarks.measure import Row
from benchmarks.rig import Rig, domains, running_rig

CONNECTIONS = 32
SECONDS = 4.0
ROUNDS = 5
RECORDS = 50
# A role like the API's, but for row-level security.
UNGUARDED = "bench_unguarded"


async def api(directory: Path) -> list[Row]:
    """All figures; `directory` is for a stack of our own."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    environment = {
        "HOLDFAST_CREDITS__LOCAL_GRANT": "100000000",
        "HOLDFAST_AUTH__SIGNING_KEYS": json.dumps({"bench": pem}),
        # Not what is measured here; a few seconds would pass every limit.
        "HOLDFAST_RATE_LIMITS__API": "0",
        "HOLDFAST_BILLING__PLANS_FILE": str(_unlimited(directory)),
    }
    async with running_rig(directory / "stack", workers=0, **environment) as rig:
        bench = _Bench(rig, pem)
        job_id = await bench.prepare()
        floor_environment = {
            "FLOOR_DATABASE_URL": bench.url(postgres.OWNER),
            "FLOOR_TEMPORAL": rig.state.temporal_address,
        }
        # Both started in the same way, which the stack's own is not: its log goes through the supervisor.
        guarded_environment, unguarded_environment = (
            {
                "HOLDFAST_ENVIRONMENT": "local",
                "HOLDFAST_DATABASE_URL": bench.url(role),
                "HOLDFAST_RATE_LIMITS__API": "0",
                "HOLDFAST_TEMPORAL__ADDRESS": rig.state.temporal_address,
            }
            for role in (postgres.APP, UNGUARDED)
        )
        async with (
            _serving("benchmarks.api_floor:create_app", floor_environment, ready="/openapi.json") as floor,
            _serving("app.main:create_app", guarded_environment, ready="/health") as guarded,
            _serving("app.main:create_app", unguarded_environment, ready="/health") as unguarded,
        ):
            return [
                *await bench.reads(floor, job_id),
                *await bench.starts(floor),
                *await bench.policies(guarded, unguarded, job_id),
            ]


def _unlimited(directory: Path) -> Path:
    """Plans that limit nothing."""
    directory.mkdir(parents=True)
    plans = directory / "plans.toml"
    plans.write_text('[[plans]]\nname = "free"\ntitle = "Free"\n')
    return plans


class _Bench:
    """One stack, its workspace, and who calls: an API key and a person."""

    def __init__(self, rig: Rig, pem: str) -> None:
        self._rig = rig
        self._memory = json.loads((rig.data_dir / "state.json").read_text())
        self._port = int(rig.state.api_url.rpartition(":")[2])
        self._jobs = f"/api/v1/workspaces/{rig.state.workspace_id}/enrichment/jobs"
        self._key = str(rig.state.api_key)
        self._claims = Claims(new_id(), new_id())
        tokens = AccessTokens.of(AuthSettings(signing_keys={"bench": SecretStr(pem)}))
        self._token = tokens.issue(self._claims)

    def url(self, role: str) -> str:
        """The database as this role sees it."""
        password = self._memory["passwords"].get(role, UNGUARDED)
        port = self._memory["ports"]["postgres"]
        return f"postgresql://{role}:{quote(password, safe='')}@{LOOPBACK}:{port}/{postgres.DATABASE}"

    async def prepare(self) -> str:
        """A member with a sign-in, the unguarded role, and a finished job with answers; the job's id."""
        job = await self._rig.submit(domains(RECORDS), fields=["name"], providers=["website", "hunter"])
        user_id, session_id = self._claims
        workspace_id = UUID(self._rig.state.workspace_id)
        async with await psycopg.AsyncConnection.connect(self.url(postgres.OWNER)) as owner:
            await owner.execute(
                "INSERT INTO users (id, email, name) VALUES (%s, 'bench@example.com', 'Bench')", (user_id,)
            )
            await owner.execute(
                "INSERT INTO user_sessions (id, user_id, token_hash, expires_at) VALUES (%s, %s, %s, %s)",
                (session_id, user_id, session_id.bytes, datetime.now(UTC) + timedelta(days=1)),
            )
            await owner.execute("INSERT INTO memberships VALUES (%s, %s, 'owner')", (workspace_id, user_id))
            await owner.execute(
                """
                INSERT INTO enrichment_answers (workspace_id, job_id, position, provider, outcome, found, credits,
                                                answered_at)
                SELECT workspace_id, job_id, position, 'hunter', 'found', '{"name": ["Example", 1.0]}', 2, now()
                FROM enrichment_records WHERE job_id = %s
                """,
                (job["id"],),
            )
            await owner.execute("UPDATE enrichment_records SET status = 'matched' WHERE job_id = %s", (job["id"],))
        async with await psycopg.AsyncConnection.connect(self.url(postgres.SUPERUSER), autocommit=True) as superuser:
            await superuser.execute(
                f"CREATE ROLE {UNGUARDED} LOGIN BYPASSRLS PASSWORD '{UNGUARDED}' IN ROLE {postgres.APP}"
            )
            await superuser.execute("VACUUM ANALYZE")
        return str(job["id"])

    async def reads(self, floor: int, job_id: str) -> list[Row]:
        """One job by its id, for a key and for a person, against a select by key."""
        measured = await _in_turn(
            {
                "floor": _load(floor, "GET", f"/jobs/{job_id}"),
                "API key": _load(self._port, "GET", f"{self._jobs}/{job_id}", self._key),
                "access token": _load(self._port, "GET", f"{self._jobs}/{job_id}", self._token),
            }
        )
        rows = []
        for name in ("API key", "access token"):
            rows += _compared(f"GET one job, {name}", measured[name], measured["floor"], target=0.4, p99=True)
        return rows

    async def starts(self, floor: int) -> list[Row]:
        """The start of a job of one record, against starting its workflow and nothing else."""
        body = {"entity": "company", "records": [{"domain": "example.com"}], "providers": ["website"]}
        measured = await _in_turn(
            {
                "floor": _load(floor, "POST", "/jobs", body={"workspace_id": self._rig.state.workspace_id}, status=202),
                "start": _load(self._port, "POST", self._jobs, self._key, body=body, status=202),
            }
        )
        return _compared("start of a one-record job", measured["start"], measured["floor"], target=0.6)

    async def policies(self, guarded: int, unguarded: int, job_id: str) -> list[Row]:
        """The records of a job, with and without row-level security."""
        path = f"{self._jobs}/{job_id}/records?limit={RECORDS}"
        measured = await _in_turn(
            {
                "without": _load(unguarded, "GET", path, self._key),
                "with": _load(guarded, "GET", path, self._key),
            }
        )
        with_, without = (statistics.median(each.per_second for each in measured[name]) for name in ("with", "without"))
        overhead = (1 - with_ / without) * 100
        return [
            Row(f"GET {RECORDS} records, row-level security on", with_, "requests/s", without, with_ / without),
            Row("row-level security: overhead", overhead, "%", None, None, "< 10 %", overhead < 10),
        ]


def _compared(
    name: str, measured: list[Measured], floors: list[Measured], *, target: float, p99: bool = False
) -> list[Row]:
    rate, floor = (statistics.median(each.per_second for each in runs) for runs in (measured, floors))
    slow, floor_slow = (statistics.median(each.p99_ms for each in runs) for runs in (measured, floors))
    ratio = rate / floor
    return [
        Row(name, rate, "requests/s", floor, ratio, f"≥ {target} of the floor", ratio >= target),
        Row(
            f"{name}: p99",
            slow,
            "ms",
            floor_slow,
            slow / floor_slow,
            "≤ 2 of the floor" if p99 else None,
            slow <= 2 * floor_slow if p99 else None,
        ),
    ]


async def _in_turn(loads: Mapping[str, Load]) -> dict[str, list[Measured]]:
    """Each load `ROUNDS` times, in turn: what else the machine does hits all alike. One round before warms up."""
    measured: dict[str, list[Measured]] = {name: [] for name in loads}
    for round_ in range(ROUNDS + 1):
        for name, load in loads.items():
            figures = await _run(load)
            if figures.failures:
                raise RuntimeError(f"{name}: {figures.failures} requests failed: {figures.first_failure}")
            if round_:
                measured[name].append(figures)
    return measured


async def _run(load: Load) -> Measured:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(json.dumps(asdict(load)).encode())
    assert process.returncode == 0, "the load generator failed"
    return Measured(**json.loads(output))


def _load(port: int, method: str, path: str, token: str = "", *, body: object = None, status: int = 200) -> Load:
    content = "" if body is None else json.dumps(body)
    head = [f"{method} {path} HTTP/1.1", f"Host: {LOOPBACK}:{port}", "Accept: application/json"]
    if token:
        head.append(f"Authorization: Bearer {token}")
    if content:
        head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return Load(LOOPBACK, port, "\r\n".join([*head, "", content]), status, CONNECTIONS, SECONDS)


@asynccontextmanager
async def _serving(app: str, variables: Mapping[str, str], *, ready: str) -> AsyncIterator[int]:
    """`app` behind uvicorn as the embedded stack runs it; yields its port."""
    port = free_port()
    argv = tuple(app if part == "app.main:create_app" else part for part in HOLDFAST.api)
    root = str(Path(__file__).parents[1])
    command = Command((*argv, "--port", str(port)), environment={**os.environ, "PYTHONPATH": root, **variables})
    process = await asyncio.create_subprocess_exec(
        *command.arguments(), **command.options(), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        while not await answers_ok(port, ready):
            assert process.returncode is None, f"{app} did not start"
            await asyncio.sleep(0.1)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
