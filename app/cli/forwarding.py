"""Sending events to an address as their delivery would."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import aiohttp
from yarl import URL

from app.cli.errors import CommandFailed
from app.webhooks.signing import key_of, signed

_TIMEOUT_SECONDS = 20


def check_address(url: str) -> None:
    """Raises CommandFailed for what is no address of HTTP."""
    try:
        address = URL(url)
    except ValueError:
        address = URL()
    if address.scheme not in ("http", "https") or not address.host:
        raise CommandFailed(f"--forward-to {url} is no address: give one such as http://localhost:3000/webhooks.")


@asynccontextmanager
async def forwarding(url: str, secret: str) -> AsyncIterator[Callable[[Mapping[str, Any]], Awaitable[str]]]:
    """What sends an event to `url`, once and signed with `secret`, and says in a few words what was answered."""
    key = key_of(secret)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)) as http:

        async def forward(event: Mapping[str, Any]) -> str:
            body = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
            headers = signed([key], UUID(event["id"]), int(time.time()), body)
            headers["Content-Type"] = "application/json"
            began = time.monotonic()
            try:
                async with http.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                    said = str(answer.status)
            except TimeoutError:
                said = "no answer"
            except aiohttp.ClientConnectorError as error:
                said = f"not reached ({error.os_error.strerror or error.os_error})"
            except aiohttp.ClientError as error:
                said = f"broke off ({type(error).__name__})"
            return f"{said} in {(time.monotonic() - began) * 1000:.0f} ms"

        yield forward
