"""The pages that links in mails lead to, also in a browser where one is installed."""

import asyncio
import json
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from sqlalchemy import text

from app.local.ports import LOOPBACK
from app.main import create_app
from tests.api import owner_sessions, serving, settings_for
from tests.servers import Database

PAGES = ("magic-link", "invitation", "password-reset")
AUTH = "/api/v1/auth"
ADA = {"email": "ada@example.com", "password": "correct horse battery staple", "name": "Ada"}
NEW = "a password that is new"

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


@asynccontextmanager
async def api(database: Database, mail: Path) -> AsyncIterator[tuple[str, httpx.AsyncClient]]:
    """The URL of an API on a port, and a client."""
    app = create_app(settings_for(database, mail={"directory": mail}))
    async with serving(app) as port, httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}") as client:
        yield f"http://{LOOPBACK}:{port}", client


async def token_in(mail: Path) -> str:
    """What the link of the newest mail carries."""
    async with asyncio.timeout(60):
        while not (files := sorted(mail.glob("*.eml"))):
            await asyncio.sleep(0.02)
    found = re.search(r"#token=([\w-]{43})\s", files[-1].read_text())
    assert found
    return found[1]


async def test_every_page_is_served_with_all_that_it_loads_and_nothing_of_others(database: Database, tmp_path: Path):
    async with api(database, tmp_path) as (_, client):
        for page in PAGES:
            answer = await client.get(f"/links/{page}")
            body = answer.text
            assert answer.status_code == 200
            assert answer.headers["Content-Type"].startswith("text/html")
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert "://" not in body
            assert not re.search(r"<script(?! src)|<style|\son\w+=|\sstyle=", body)
            loaded = re.findall(r'(?:src|href)="([^"]+)"', body)
            assert loaded == ["static/links.css", "static/links.js"]
            for name in loaded:
                file = await client.get(f"/links/{name}")
                assert file.status_code == 200
                assert "://" not in file.text


async def test_there_are_no_other_pages(database: Database, tmp_path: Path):
    async with api(database, tmp_path) as (_, client):
        for path in ("other", "magic-link.html", "static/other.js", "static/..%2froutes.py", "..%2froutes.py"):
            assert (await client.get(f"/links/{path}")).status_code == 404


async def test_who_follows_a_link_without_pressing_the_button_consumes_nothing(database: Database, tmp_path: Path):
    async with api(database, tmp_path) as (_, client):
        assert (await client.request("POST", f"{AUTH}/register", json=ADA)).status_code == 201
        assert (await client.request("POST", f"{AUTH}/magic-links", json={"email": ADA["email"]})).status_code == 202
        token = await token_in(tmp_path)
        for _ in range(3):
            assert (await client.request("GET", f"/links/magic-link?token={token}")).status_code == 200
            assert (await client.request("HEAD", f"/links/magic-link?token={token}")).status_code in (200, 405)
        assert (await client.request("POST", f"{AUTH}/magic-links/consume", json={"token": token})).status_code == 200


class Browser:
    """A page of a headless Chromium, through its DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.errors: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=20)
            entry = message.get("params", {}).get("entry", {})
            if message.get("method") == "Runtime.exceptionThrown" or entry.get("level") == "error":
                self.errors.append(json.dumps(message["params"]))
            if message.get("id") == self._number:
                return message["result"]

    async def evaluate(self, script: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return result["result"].get("value")

    async def open(self, url: str) -> None:
        # Another fragment of the same page would load nothing.
        await self.call("Page.navigate", url="about:blank")
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && document.querySelector('#outcome') !== null")

    async def until(self, condition: str) -> None:
        async with asyncio.timeout(60):
            while not await self.evaluate(condition):
                await asyncio.sleep(0.05)

    async def press(self, button: str = "button") -> str:
        """What the page says in the end."""
        await self.evaluate(f"document.querySelector('{button}').click()")
        await self.until("document.querySelector('#outcome').textContent.length > 15")
        return str(await self.evaluate("document.querySelector('#outcome').textContent"))

    async def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            await self.evaluate(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            *("--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port_file = Path(profile) / "DevToolsActivePort"
            async with asyncio.timeout(60):
                while not port_file.exists() or "\n" not in port_file.read_text():
                    await asyncio.sleep(0.05)
            port = port_file.read_text().splitlines()[0]
            async with aiohttp.ClientSession(f"http://{LOOPBACK}:{port}") as devtools:
                targets = await (await devtools.get("/json")).json()
                [page] = [each for each in targets if each["type"] == "page"]
                async with devtools.ws_connect(page["webSocketDebuggerUrl"]) as socket:
                    opened = Browser(socket)
                    for domain in ("Page", "Runtime", "Log"):
                        await opened.call(f"{domain}.enable")
                    yield opened
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


@in_a_browser
async def test_the_buttons_do_what_their_pages_say(database: Database, tmp_path: Path):
    async with api(database, tmp_path) as (url, client), browser() as page:
        await client.post(f"{AUTH}/register", json=ADA)

        await page.open(f"{url}/links/magic-link")
        assert "not complete" in await page.evaluate("document.querySelector('#outcome').textContent")

        await client.post(f"{AUTH}/magic-links", json={"email": ADA["email"]})
        magic = await token_in(tmp_path)
        await page.open(f"{url}/links/magic-link#token={magic}")
        assert magic not in await page.evaluate("location.href")
        assert "signed in as ada@example.com" in await page.press()
        access_token = await page.evaluate("document.querySelector('textarea').value")
        me = await client.get(f"{AUTH}/me", headers={"Authorization": f"Bearer {access_token}"})
        assert me.status_code == 200
        await page.open(f"{url}/links/magic-link#token={magic}")
        assert "was used before" in await page.press()

        for file in tmp_path.glob("*.eml"):
            file.unlink()
        await client.post(f"{AUTH}/password-resets", json={"email": ADA["email"]})
        await page.open(f"{url}/links/password-reset#token={await token_in(tmp_path)}")
        await page.fill(password=NEW)
        assert "signed in as ada@example.com" in await page.press()
        answer = await client.post(f"{AUTH}/login", json={"email": ADA["email"], "password": NEW})
        assert answer.status_code == 200
        refused = [each for each in page.errors if "422" not in each]
        assert refused == [], "the policy of the page must allow all that it does"


@in_a_browser
async def test_who_was_invited_makes_an_account_and_accepts(database: Database, tmp_path: Path):
    async with api(database, tmp_path) as (url, client), browser() as page:
        made = (await client.post(f"{AUTH}/register", json={**ADA, "email": "owner@example.com"})).json()
        headers = {"Authorization": f"Bearer {made['data']['tokens']['access_token']}"}
        workspace = made["data"]["workspace"]["id"]
        # Who has not shown that an address is theirs need not be able to invite.
        async with owner_sessions(database) as sessions, sessions.unscoped() as session:
            await session.execute(text("UPDATE users SET email_verified_at = now()"))
        path = f"/api/v1/workspaces/{workspace}/invitations"
        await client.post(path, json={"email": ADA["email"], "role": "viewer"}, headers=headers)
        await page.open(f"{url}/links/invitation#token={await token_in(tmp_path)}")
        await page.fill(**ADA)
        assert "member of the workspace" in await page.press("button[value=register]")
        members = (await client.get(f"/api/v1/workspaces/{workspace}/members", headers=headers)).json()
        assert {each["email"]: each["role"] for each in members["data"]} == {
            "owner@example.com": "owner",
            ADA["email"]: "viewer",
        }
