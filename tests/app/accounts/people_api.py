"""The API as people use it who sign in, and the mails that it sends them."""

import email
import email.policy
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from app.main import create_app
from tests.api import client_of, owner_sessions, settings_for
from tests.servers import Database

AUTH = "/api/v1/auth"
PASSWORD = "correct horse battery staple"
ADA = "ada@example.com"


@dataclass(frozen=True)
class People:
    """Somebody at the door of an API."""

    app: FastAPI
    client: httpx.AsyncClient
    database: Database
    mail: Path

    async def post(self, path: str, access_token: str | None = None, /, **body: Any) -> httpx.Response:
        return await self.client.post(f"{AUTH}{path}", json=body, headers=bearer(access_token))

    async def register(self, address: str = ADA, *, name: str = "Ada") -> Any:
        """The data of the answer."""
        answer = await self.post("/register", email=address, password=PASSWORD, name=name)
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]

    async def log_in(self, address: str = ADA, password: str = PASSWORD) -> httpx.Response:
        return await self.post("/login", email=address, password=password)

    async def me(self, token: str) -> httpx.Response:
        return await self.client.get(f"{AUTH}/me", headers=bearer(token))

    async def mails(self) -> list[email.message.EmailMessage]:
        """All that were sent, the oldest first, once none is on its way."""
        await self.app.state.resources.mails.drain()
        files = sorted(self.mail.glob("*.eml"))
        return [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]

    async def link_token(self) -> str:
        """What the link of the last mail carries."""
        body = (await self.mails())[-1].get_body(("plain",))
        assert body is not None
        found = re.search(r"#token=([\w-]{43})\s", body.get_content())
        assert found
        return found[1]

    async def magic_link(self, address: str = ADA) -> str:
        assert (await self.post("/magic-links", email=address)).status_code == 202
        return await self.link_token()

    async def sql(self, statement: str, **parameters: Any) -> list[Any]:
        """As the owner of the tables; the rows where there are some."""
        async with owner_sessions(self.database) as sessions, sessions.unscoped() as session:
            result = await session.execute(text(statement), parameters)
            return list(result.all()) if result.returns_rows else []

    async def forget_attempts(self) -> None:
        await self.sql("DELETE FROM attempts")


def bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def people_at(database: Database, mail: Path, **overrides: object) -> AsyncIterator[People]:
    """An API without rate limits, which would come before what is tested here."""
    values: dict[str, object] = {"mail": {"directory": mail}, "rate_limits": {"auth": 0, "api": 0, "upload": 0}}
    app = create_app(settings_for(database, **(values | overrides)))
    async with client_of(app) as client:
        yield People(app, client, database, mail)
