"""The log of events, the endpoints that want them, and how they get there: signed, again until 2xx, and as disturbed as
the options say."""

import asyncio
import hashlib
import hmac
from collections import deque
from collections.abc import Callable
from random import Random

import aiohttp
import orjson

from app.sandbox.stripe_calls import Call, Routes, found, listing
from app.sandbox.stripe_errors import invalid, missing
from app.sandbox.stripe_options import StripeOptions
from app.sandbox.stripe_parameters import Parameters
from app.sandbox.stripe_world import API_VERSION, Object, World, new_id, render

_AT_A_TIME = 32
_TIMEOUT_S = 20
_LOGGED = 20_000


def sign(body: bytes, secret: str, at: int) -> str:
    """The value of `Stripe-Signature`."""
    signature = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signature}"


class Webhooks:
    """Sends in tasks of the running loop. What is under way is known in `pending`, by a number."""

    def __init__(self, world: World, rules: Callable[[], StripeOptions], wall: Callable[[], float], seed: int) -> None:
        self._world = world
        self._rules = rules
        self._wall = wall
        self._seed = seed
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self.pending: dict[int, Object] = {}
        # What was sent when and what came back: a status, 0 where nothing did; "dropped" was never sent.
        self.log: deque[Object] = deque(maxlen=_LOGGED)
        self.begin_again()

    def routes(self) -> Routes:
        kind, path = "webhook_endpoints", "/v1/webhook_endpoints"
        return {
            ("POST", path): self._create,
            ("GET", path): lambda call: listing(self._world, kind, call),
            ("GET", f"{path}/{{id}}"): lambda call: found(self._world, kind, call, "webhook_endpoint"),
            ("POST", f"{path}/{{id}}"): self._update,
            ("DELETE", f"{path}/{{id}}"): self._delete,
            ("GET", "/v1/events"): self._list,
            ("GET", "/v1/events/{id}"): lambda call: found(self._world, "events", call, "event"),
        }

    def begin_again(self) -> None:
        """From now on the switches strike in the order that the seed gives."""
        # Random seeds itself from a text by SHA-512, so the sequence does not depend on PYTHONHASHSEED.
        self._chance = Random(f"{self._seed} stripe events")  # noqa: S311 - chance, not secrecy

    def endpoint(self, url: str, enabled: list[str], secret: str | None = None) -> Object:
        """A new endpoint; `_secret` is what it is signed with."""
        endpoint: Object = {
            "id": new_id("we_"),
            "object": "webhook_endpoint",
            "api_version": API_VERSION,
            "application": None,
            "created": self._world.now(),
            "description": None,
            "enabled_events": enabled,
            "livemode": False,
            "metadata": {},
            "status": "enabled",
            "url": url,
            "_secret": secret or new_id("whsec_", 32),
        }
        return self._world.add("webhook_endpoints", endpoint)

    def dispatch(self, event: Object) -> None:
        """Have it sent to whoever wants it, disturbed as the options say."""
        rules, chance = self._rules(), self._chance
        for endpoint in self._world.collections["webhook_endpoints"].rows:
            if not _wants(endpoint, event["type"]):
                continue
            # Always as many draws, so that one switch does not change what another one strikes.
            dropped, twice, back, wait, behind, after = (chance.random() for _ in range(6))
            if dropped < rules.drop_share:
                self._note(event, endpoint, "dropped")
                continue
            delay = rules.delay_from_ms + wait * max(0.0, rules.delay_to_ms - rules.delay_from_ms)
            if back < rules.reorder_share:
                delay += behind * rules.reorder_ms
            self.send(event, endpoint, delay / 1000)
            if twice < rules.duplicate_share:
                self.send(event, endpoint, (delay + after * rules.reorder_ms) / 1000)

    def send(self, event: Object, endpoint: Object, delay: float = 0.0) -> None:
        """Have it sent to one endpoint after so many seconds, and again until it is taken."""
        self._number += 1
        self.pending[self._number] = {"event": event["id"], "endpoint": endpoint["id"]}
        event["pending_webhooks"] += 1
        self._start(self._number, delay)

    def resume(self, pending: list[Object]) -> None:
        """Go on with what was under way when the sandbox ended."""
        for each in pending:
            self._number += 1
            self.pending[self._number] = each
            self._start(self._number, 0.0)

    async def settle(self) -> None:
        """Return when nothing is under way any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Stop sending."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def forget(self) -> None:
        """Send nothing of what is under way."""
        for task in self._tasks:
            task.cancel()
        self.pending.clear()
        self.log.clear()

    def _start(self, number: int, delay: float) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(number, delay))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, number: int, delay: float) -> None:
        rules, tries = self._rules(), 0
        wait = delay
        while True:
            if wait:
                await asyncio.sleep(wait)
            under_way = self.pending.get(number)
            event = self._world.find(under_way["event"]) if under_way else None
            endpoint = self._world.find(under_way["endpoint"]) if under_way else None
            if event is None or endpoint is None or endpoint.get("deleted"):
                break
            status = await self._post(event, endpoint)
            self._note(event, endpoint, status)
            tries += 1
            if 200 <= status < 300 or tries >= rules.tries:
                event["pending_webhooks"] -= 1
                break
            wait = rules.retry_ms / 1000 * 2 ** (tries - 1)
        self.pending.pop(number, None)
        self._world.revision += 1

    async def _post(self, event: Object, endpoint: Object) -> int:
        """The status of the answer, 0 without one."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))
        body = orjson.dumps(render(event))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        async with self._slots:
            # Signed when it is sent: who waits in line must not become too old.
            headers["Stripe-Signature"] = sign(body, endpoint["_secret"], int(self._wall()))
            try:
                async with self._session.post(
                    endpoint["url"], data=body, headers=headers, allow_redirects=False
                ) as answer:
                    await answer.read()
                    return answer.status
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
                return 0

    def _note(self, event: Object, endpoint: Object, outcome: int | str) -> None:
        self.log.append(
            {
                "at": self._wall(),
                "event": event["id"],
                "type": event["type"],
                "endpoint": endpoint["id"],
                "outcome": outcome,
            }
        )

    # What is called.

    def _create(self, call: Call) -> Object:
        taken = call.parameters
        url, enabled = taken.needed("url"), taken.texts("enabled_events")
        if not enabled:
            raise missing("enabled_events")
        _check_url(url)
        said = self._said(taken, {})
        taken.finish()
        endpoint = self.endpoint(url, enabled)
        endpoint |= said
        return {**endpoint, "secret": endpoint["_secret"]}

    def _update(self, call: Call) -> Object:
        endpoint, taken = found(self._world, "webhook_endpoints", call, "webhook_endpoint"), call.parameters
        url, enabled = taken.text("url") or endpoint["url"], taken.texts("enabled_events")
        _check_url(url)
        disabled, said = taken.flag("disabled"), self._said(taken, endpoint)
        taken.finish()
        endpoint |= {**said, "url": url, "enabled_events": enabled or endpoint["enabled_events"]}
        if disabled is not None:
            endpoint["status"] = "disabled" if disabled else "enabled"
        self._world.revision += 1
        return endpoint

    def _said(self, taken: Parameters, before: Object) -> Object:
        return {
            "api_version": taken.text("api_version") or before.get("api_version", API_VERSION),
            "description": taken.text("description") or before.get("description"),
            "metadata": taken.metadata(before.get("metadata")),
        }

    def _delete(self, call: Call) -> Object:
        endpoint = found(self._world, "webhook_endpoints", call, "webhook_endpoint")
        endpoint["deleted"] = True
        self._world.revision += 1
        return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}

    def _list(self, call: Call) -> Object:
        kind, kinds = call.parameters.text("type"), set(call.parameters.texts("types"))
        if kind and kinds:
            raise invalid("Received both type and types", param="type")
        return listing(
            self._world,
            "events",
            call,
            lambda item: (kind is None or _matches(kind, item["type"])) and (not kinds or item["type"] in kinds),
        )


def _wants(endpoint: Object, event: str) -> bool:
    if endpoint.get("deleted") or endpoint["status"] != "enabled":
        return False
    return any(_matches(wanted, event) for wanted in endpoint["enabled_events"])


def _matches(wanted: str, event: str) -> bool:
    return wanted == event or (wanted.endswith("*") and event.startswith(wanted[:-1]))


def _check_url(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise invalid(
            "Invalid URL: An explicit scheme (such as https) must be provided.", param="url", code="url_invalid"
        )
