"""The REST API as the command line uses it: the envelope opened, every failure a CommandFailed with one line."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import aiohttp

from app.cli.errors import CommandFailed
from app.cli.job import Job

Verb: TypeAlias = Literal["pause", "resume", "cancel", "retry"]

# The API says something at least every 15 s while a job is watched.
_SILENCE_SECONDS = 60.0
# An API that is started again is back long before.
_PATIENCE_SECONDS = 60.0
_RECONNECT_SECONDS = 0.5
_LOOK_SECONDS = 1.0
# An event is there when its transaction is committed, and so perhaps later than others that were told after it.
_COMMITTED_AFTER = timedelta(seconds=30)
_PAGE = 100
_BLOCK_BYTES = 64 * 1024
_DETAILS_SHOWN = 5


class ApiRefused(CommandFailed):
    """The API answered with an error. `status` is that of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Events:
    """A page of events. `asked_at` is when the API answered, by its own clock."""

    events: list[dict[str, Any]]
    next_cursor: str | None
    asked_at: datetime


class Api:
    """The API for one workspace; `open_api` makes one. Every method raises CommandFailed."""

    def __init__(self, http: aiohttp.ClientSession, url: str, workspace_id: str) -> None:
        self._http = http
        self._url = url
        self._workspace = f"/api/v1/workspaces/{workspace_id}"
        self._jobs = f"{self._workspace}/enrichment/jobs"
        self._letters = f"{self._workspace}/dead-letters"

    async def start_job(self, file: Path, options: Mapping[str, Any]) -> Job:
        """Upload a CSV file, whatever its size in little memory, and start its job."""
        form = aiohttp.FormData()
        form.add_field("options", json.dumps(options), content_type="application/json")
        with file.open("rb") as content:
            form.add_field("file", content, filename=file.name, content_type="text/csv")
            return Job.of(await self._json("POST", self._jobs, data=form))

    async def job(self, job_id: str) -> Job:
        return Job.of(await self._json("GET", self._job(job_id)))

    async def jobs(self, *, limit: int, status: str | None = None) -> list[Job]:
        """The newest first."""
        wanted = {"limit": str(limit)} | ({"status": status} if status else {})
        return [Job.of(each) for each in await self._json("GET", self._jobs, params=wanted)]

    async def steer(self, job_id: str, verb: Verb) -> Job:
        """The job as it is after that; of "retry" the new one."""
        return Job.of(await self._json("POST", f"{self._job(job_id)}/{verb}"))

    async def prices(self) -> Mapping[str, int]:
        """Credits for a found result, by provider."""
        return {each["name"]: each["credit_cost"] for each in await self._json("GET", "/api/v1/providers")}

    async def watch(self, job_id: str) -> AsyncIterator[Job]:
        """The job at every change, at most once a second; the last has ended. A lost connection is made again."""
        heard: dict[str, str] = {}
        patience = _Patience()
        while True:
            try:
                async with self._request("GET", f"{self._job(job_id)}/events", headers=heard) as answer:
                    async for event in _events(answer.content):
                        patience.renew()
                        heard["Last-Event-ID"] = event["id"]
                        yield Job.of(json.loads(event["data"]))
                        if event["event"] == "done":
                            return
            except ApiRefused as error:
                if error.status < HTTPStatus.INTERNAL_SERVER_ERROR or patience.is_over():
                    raise
            except CommandFailed:
                if patience.is_over():
                    raise
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def export(self, job_id: str, format_: str) -> AsyncIterator[bytes]:
        """The result of the job as blocks of ``csv`` or ``jsonl``."""
        async with self._request("GET", f"{self._job(job_id)}/export", params={"format": format_}) as answer:
            async for block in answer.content.iter_chunked(_BLOCK_BYTES):
                yield block

    async def webhooks(self) -> list[dict[str, Any]]:
        """The newest first; there are never more than a page of them."""
        webhooks: list[dict[str, Any]] = await self._json("GET", f"{self._workspace}/webhooks", params={"limit": "100"})
        return webhooks

    async def now(self) -> datetime:
        """By the clock of the API."""
        return (await self._events(limit=1)).asked_at

    async def events(self, began: datetime) -> AsyncIterator[dict[str, Any]]:
        """What the workspace was told since `began`, and is told, each event once. An API that is away for a moment is
        waited for."""
        since = began
        seen: dict[str, datetime] = {}
        patience = _Patience()
        while True:
            try:
                page = await self._events(created_after=since)
                asked_at = page.asked_at
                while True:
                    for event in page.events:
                        if event["id"] not in seen:
                            seen[event["id"]] = datetime.fromisoformat(event["timestamp"])
                            yield event
                    if page.next_cursor is None:
                        break
                    page = await self._events(created_after=since, cursor=page.next_cursor)
                since = max(began, asked_at - _COMMITTED_AFTER)
                seen = {event_id: at for event_id, at in seen.items() if at >= since}
                patience.renew()
            except ApiRefused as error:
                if error.status < HTTPStatus.INTERNAL_SERVER_ERROR or patience.is_over():
                    raise
            except CommandFailed:
                if patience.is_over():
                    raise
            await asyncio.sleep(_LOOK_SECONDS)

    async def _events(
        self, *, created_after: datetime | None = None, cursor: str | None = None, limit: int = _PAGE
    ) -> _Events:
        wanted = {"limit": str(limit)}
        if created_after is not None:
            wanted["created_after"] = created_after.isoformat()
        if cursor is not None:
            wanted["cursor"] = cursor
        async with self._request("GET", f"{self._workspace}/events", params=wanted) as answer:
            page = await answer.json()
        meta = page["meta"]
        return _Events(page["data"], meta["next_cursor"], datetime.fromisoformat(meta["timestamp"]))

    async def dead_letters(self, wanted: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """Those that fit, the newest first."""
        letters: list[Mapping[str, Any]] = await self._json("GET", self._letters, params=wanted)
        return letters

    async def redrive(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Have dead letters be tried again; how many those are."""
        redrive: Mapping[str, Any] = await self._json("POST", f"{self._letters}/redrive", json=body)
        return redrive

    async def discard(self, letter_id: str, reason: str) -> Mapping[str, Any]:
        """The letter as it is after that."""
        path = f"{self._letters}/{quote(letter_id, safe='')}/discard"
        letter: Mapping[str, Any] = await self._json("POST", path, json={"reason": reason})
        return letter

    def _job(self, job_id: str) -> str:
        return f"{self._jobs}/{quote(job_id, safe='')}"

    async def _json(self, method: str, path: str, **arguments: Any) -> Any:
        async with self._request(method, path, **arguments) as answer:
            return (await answer.json())["data"]

    @asynccontextmanager
    async def _request(self, method: str, path: str, **arguments: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._http.request(method, self._url + path, **arguments) as answer:
                if not answer.ok:
                    raise ApiRefused(_refusal(answer.status, await answer.read()), answer.status)
                yield answer
        except TimeoutError:
            raise CommandFailed(f"The API at {self._url} does not answer.") from None
        except aiohttp.ClientError as error:
            reason = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
            raise CommandFailed(f"The API at {self._url} cannot be reached: {_one_line(str(reason))}.") from None


class _Patience:
    """How long an API that is away is waited for."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._until = asyncio.get_running_loop().time() + _PATIENCE_SECONDS

    def is_over(self) -> bool:
        return asyncio.get_running_loop().time() > self._until


@asynccontextmanager
async def open_api(url: str, api_key: str, workspace_id: str) -> AsyncIterator[Api]:
    """Nothing connects yet. Raises CommandFailed for an address that is none."""
    if not url.startswith(("http://", "https://")):
        raise CommandFailed(f"--api-url {url} is no address: it must begin with http:// or https://.")
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {api_key.strip()}"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_SILENCE_SECONDS),
    ) as http:
        yield Api(http, url.rstrip("/"), workspace_id)


async def _events(lines: aiohttp.StreamReader) -> AsyncIterator[Mapping[str, str]]:
    """Server-sent events as the API writes them: one line each for event, id and data."""
    event: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name in ("event", "id", "data"):
            event[name] = value
        elif event:
            yield event
            event = {}


def _refusal(status: int, body: bytes) -> str:
    """One line that says what the API said."""
    try:
        error = json.loads(body)["error"]
        message: str = error["message"]
        details = [f"{each['field']}: {each['message']}" for each in error["details"] if each["message"] not in message]
    except (ValueError, KeyError, TypeError):
        return f"The API answered with status {status}, and not in a way that Holdfast would."
    more = len(details) - _DETAILS_SHOWN
    shown = details[:_DETAILS_SHOWN] + ([f"and {more} more"] if more > 0 else [])
    return _one_line(" ".join([message, "; ".join(shown)]).strip())


def _one_line(text: str) -> str:
    return " ".join(text.split())
