"""``holdfast webhooks``: the events of a workspace at a receiver on a developer's machine."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from app.cli.client import open_api
from app.db import Sessions
from app.local.ports import LOOPBACK, free_port
from app.main import create_app
from app.webhooks.service import publish
from tests.api import Tenant, new_tenant, owner_sessions, serving, settings_for
from tests.app.cli.commands import holdfast, read_until, started
from tests.app.webhooks.receiver import answering, receiving
from tests.app.webhooks.webhooks_api import SETTINGS
from tests.servers import Database


@dataclass(frozen=True)
class Served:
    """An API behind a socket, and a workspace there."""

    url: str
    tenant: Tenant
    owner: Sessions

    @property
    def options(self) -> tuple[str, ...]:
        return (
            *("--api-url", self.url, "--api-key", self.tenant.api_key),
            *("--workspace", str(self.tenant.workspace_id)),
        )

    async def tell(self, *numbers: int) -> None:
        for number in numbers:
            async with self.owner.for_workspace(self.tenant.workspace_id) as session:
                await publish(session, self.tenant.workspace_id, "credits.low", {"available": number})


@pytest.fixture
async def served(database: Database) -> AsyncIterator[Served]:
    tenant = await new_tenant(database, credit=0)
    async with owner_sessions(database) as owner, serving(create_app(settings_for(database, **SETTINGS))) as port:
        yield Served(f"http://{LOOPBACK}:{port}", tenant, owner)


async def line_with(process: "subprocess.Popen[str]", word: str) -> str:
    return await asyncio.to_thread(read_until, process, word)


async def test_events_arrive_signed_with_the_printed_secret_each_once(served: Served, tmp_path: Path):
    await served.tell(0)
    async with receiving() as receiver:
        command = ("webhooks", "listen", "--forward-to", f"{receiver.url}/hook", *served.options)
        with started(*command, cwd=tmp_path) as process:
            secret = (await line_with(process, "secret")).split("secret ")[1].split(".")[0]
            await served.tell(1, 2)
            received = await receiver.until(2)
            assert "200 in" in await line_with(process, received[1].event_id)
            receiver.answer = answering(500)
            await served.tell(3)
            assert "  500 in" in await line_with(process, "credits.low")
            # Another look, which sees again what was told a moment ago.
            await served.tell(4)
            await receiver.until(4)
            process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(process.wait, 10) == 128 + signal.SIGINT
        assert [each.event["data"]["available"] for each in received] == [1, 2, 3, 4]
    for each in received:
        assert (each.path, each.headers["content-type"]) == ("/hook", "application/json")
        event = Webhook(secret).verify(each.body, each.headers)
        assert list(event) == ["id", "type", "version", "timestamp", "data"]
        assert (event["id"], event["type"], event["version"]) == (each.event_id, "credits.low", 1)


async def test_a_receiver_that_is_away_ends_nothing(served: Served, tmp_path: Path):
    nobody = f"http://{LOOPBACK}:{free_port()}"
    with started("webhooks", "listen", "--forward-to", nobody, *served.options, cwd=tmp_path) as process:
        await line_with(process, "secret")
        await served.tell(1)
        assert "not reached" in await line_with(process, "credits.low")
        await served.tell(2)
        assert "not reached" in await line_with(process, "credits.low")


async def test_an_event_that_is_committed_after_later_ones_is_told(served: Served):
    workspace_id = str(served.tenant.workspace_id)
    async with open_api(served.url, served.tenant.api_key, workspace_id) as api:
        told = aiter(api.events(await api.now()))
        async with served.owner.for_workspace(served.tenant.workspace_id) as session:
            await publish(session, served.tenant.workspace_id, "credits.low", {"available": 1})
            await served.tell(2)
            assert (await anext(told))["data"] == {"available": 2}
        async with asyncio.timeout(30):
            assert (await anext(told))["data"] == {"available": 1}


async def test_webhooks_are_listed(served: Served, tmp_path: Path):
    async with open_api(served.url, served.tenant.api_key, str(served.tenant.workspace_id)) as api:
        assert await api.webhooks() == []
    for arguments, code, said in (
        (("list", *served.options), 0, ""),
        (("listen", "--forward-to", "localhost:3000", *served.options), 1, "is no address"),
        (("listen", *served.options), 2, "--forward-to"),
    ):
        ended = await asyncio.to_thread(holdfast, "webhooks", *arguments, cwd=tmp_path)
        assert ended.returncode == code, ended.stderr
        assert said in ended.stderr
