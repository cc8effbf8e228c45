"""Stripe, alive: subscriptions renew, cards are declined, events arrive twice or never (stripe.md of the provider
facts).

The plain SDK reaches it: `StripeClient("sk_test_…", base_addresses={"api": f"{sandbox}/stripe"})`. What is for sale is
in `stripe_catalog`, what can be switched in `stripe_options` (`PUT /_options/stripe`), what a test can do to it in
`stripe_control` (`/_stripe/…`), what a person can do are pages: `{sandbox}/stripe/checkout/…` and `/portal/…`.

A request that a fault of the sandbox refuses has no effect; `malformed`, `truncated` and `drop_after_effect` strike the
answer of one that was executed.

Magic values. Keys: `sk_…bad…` is unknown (401), `sk_…scoped…` may not call this (403), and no `fail_share` strikes
`sk_…spared…`. Cards that are declined: `stripe_customers.DECLINES`. Not emulated: v2, Connect, coupons, taxes, several
items, metered prices, 3-D Secure.
"""

import time
from base64 import b64decode
from binascii import Error as NotBase64
from pathlib import Path
from random import Random

import orjson

from app.sandbox.calls import Calls
from app.sandbox.companies import Companies
from app.sandbox.emulator import HTML, Answer, Fate, Request, bearer, encode, http_answer
from app.sandbox.faults import FaultMode
from app.sandbox.stripe_calls import Call, Handler, shown
from app.sandbox.stripe_control import StripeControl
from app.sandbox.stripe_errors import StripeError, broken, forbidden, invalid, rate_limited, unauthorized
from app.sandbox.stripe_idempotency import Idempotency, Stored
from app.sandbox.stripe_options import StripeOptions
from app.sandbox.stripe_pages import Pages
from app.sandbox.stripe_parameters import Parameters, decode
from app.sandbox.stripe_parts import Parts
from app.sandbox.stripe_state import Keeper
from app.sandbox.stripe_world import API_VERSION, new_id
from app.sandbox.windows import SECOND, Windows

_PAGES = ("/checkout/", "/portal/", "/invoices/")
_BEFORE = ("error", "reset", "stored_error")
_AFTER = ("stored_error_after", "drop")
_ID = "{id}"


class Stripe:
    """The emulator of Stripe. It needs a running loop: its events go out by themselves."""

    def __init__(self, companies: Companies, calls: Calls, options: StripeOptions) -> None:  # noqa: ARG002
        self._seed = companies.seed
        self._windows = Windows()
        self.options = options
        self.parts = Parts(lambda: self.options, time.time, companies.seed)
        self._idempotency = Idempotency(time.time)
        self._pages = Pages(self.parts)
        self._control = StripeControl(self.parts, self._idempotency)
        self._keeper: Keeper | None = None
        self._routes = _table(self.parts.routes())
        self.configure(options)

    def configure(self, options: StripeOptions) -> None:
        """Take other options; what chance decides begins again."""
        self.options = options
        self._windows.clear()
        self._chance = Random(f"{self._seed} stripe calls")  # noqa: S311 - chance, not secrecy
        self.parts.webhooks.begin_again()
        self.parts.meters.duplicates_are_errors = options.duplicate_usage == "error"

    def start(self, url: str, state: Path | None, webhook: tuple[str, str] | None) -> None:
        """It is reached at `url` now. `state` is the file that it goes on from and is kept in, `webhook` the address
        and the secret of an endpoint for all events. Raises ValueError for a file that is not ours."""
        self.parts.world.base_url = url
        keeper = Keeper(self.parts, self._idempotency, state)
        keeper.open()
        # Not before: a file that is not ours must not be written over at the end.
        self._keeper = keeper
        if webhook is not None:
            self._control.set_webhook(*webhook)

    async def close(self) -> None:
        """Send no more events, and keep what there is."""
        await self.parts.webhooks.close()
        if self._keeper is not None:
            await self._keeper.close()

    def control(self, request: Request) -> Answer:
        """What a test does to it."""
        return self._control.handle(request)

    def answer(self, request: Request) -> Answer:
        """What Stripe says."""
        self.parts.life.catch_up()
        path, _, query = request.target.partition("?")
        if path.startswith(_PAGES):
            return self._pages.answer(request.method, path, request.body)
        request_id = new_id("req_", 14)
        headers = _headers(request, request_id)
        pattern, handler, ids = self._route(request.method, path)
        keys = (f"{request.method} {pattern}",)
        try:
            self._admit(request)
            if handler is None:
                raise invalid(f"Unrecognized request URL ({request.method}: {path}).", status=404)
            encoded = request.body.decode() if request.method == "POST" else query
            status, body, more, fate = self._executed(
                request, handler, Call(path, ids, Parameters(decode(encoded))), request_id
            )
        except StripeError as error:
            status, body, more, fate = error.status, _error(error, request_id), "", Fate.SENT
        except UnicodeDecodeError:
            status, body, more, fate = 400, b'{"error":{"type":"invalid_request_error"}}', "", Fate.SENT
        return http_answer(status, body, headers=headers + more, keys=keys)._replace(fate=fate)

    def failure(self, mode: FaultMode, turn: int, request: Request, answer: Answer) -> Answer:
        """How Stripe fails."""
        headers = _headers(request, new_id("req_", 14))
        if mode is FaultMode.OUTAGE and turn % 2 == 0:
            return http_answer(503, _PROXY, HTML, keys=answer.keys)
        if mode is FaultMode.MALFORMED:
            forms = (
                http_answer(200, _PROXY, HTML),
                http_answer(200, answer.body[: len(answer.body) // 2], headers=headers),
                http_answer(200, b'["object","list"]', headers=headers),
            )
            return forms[turn % len(forms)]._replace(keys=answer.keys)
        error = broken()
        if mode in (FaultMode.RATE_LIMITED, FaultMode.QUOTA_EXHAUSTED):
            error = rate_limited()
        elif mode is FaultMode.AUTH:
            error = unauthorized("Invalid API Key provided.")
        status = 503 if mode is FaultMode.OUTAGE else error.status
        return http_answer(status, _error(error, ""), headers=headers, keys=answer.keys)

    def _admit(self, request: Request) -> None:
        key = _key(request)
        if not key:
            raise unauthorized("You did not provide an API key.")
        if not key.startswith(("sk_", "rk_")) or "bad" in key:
            raise unauthorized(f"Invalid API Key provided: {key[:8]}…")
        if "scoped" in key:
            raise forbidden()
        limit = self.options.requests_per_second
        if limit is not None and self._windows.take("", limit, SECOND).exceeded:
            raise rate_limited()

    def _executed(
        self, request: Request, handler: Handler, call: Call, request_id: str
    ) -> tuple[int, bytes, str, Fate]:
        """Status, body, further headers and fate. Raises StripeError for what is not remembered."""
        key = request.headers.get(b"idempotency-key", b"").decode("latin-1") if request.method == "POST" else ""
        if len(key) > 255:
            raise invalid("Idempotency keys must be at most 255 characters long.", code="invalid_idempotency_key")
        fingerprint = f"{call.path}?{request.body.decode()}"
        form = self._failing(request)
        if form == "error":
            raise broken()
        if form == "reset":
            return 500, b"", "", Fate.DROPPED
        stored = self._idempotency.find(key, fingerprint) if key else None
        if stored is not None:
            return _replayed(stored, form)
        status, body = 500, _error(broken(), request_id)
        if form != "stored_error":
            status, body = self._run(handler, call, key, request_id)
        if form == "stored_error_after":
            status, body = 500, _error(broken(), request_id)
        fate = Fate.DROPPED if form == "drop" else Fate.SENT
        if key:
            busy_for = self.options.latency_ms / 1000 if fate is Fate.SENT else 0.0
            self._idempotency.store(key, fingerprint, status, body, request_id, busy_for=busy_for)
            self.parts.world.revision += 1
        return status, body, "", fate

    def _run(self, handler: Handler, call: Call, key: str, request_id: str) -> tuple[int, bytes]:
        world = self.parts.world
        expand = call.parameters.texts("expand")
        world.request = {"id": request_id, "idempotency_key": key or None}
        try:
            answer = handler(call)
            call.parameters.finish()
            return 200, orjson.dumps(shown(world, answer, expand))
        except StripeError as error:
            if not error.is_stored:
                raise
            return error.status, _error(error, request_id)
        finally:
            world.request = {"id": None, "idempotency_key": None}

    def _failing(self, request: Request) -> str | None:
        """The form in which this call fails, if it does."""
        share, forms = self.options.fail_share, self.options.fail_forms
        if not share or "spared" in _key(request):
            return None
        strikes, late, which = (self._chance.random() for _ in range(3))
        if strikes >= share:
            return None
        if forms != "all":
            return forms
        kinds = _BEFORE if late < 0.5 else _AFTER
        return kinds[int(which * len(kinds))]

    def _route(self, method: str, path: str) -> tuple[str, Handler | None, tuple[str, ...]]:
        parts = tuple(path.split("/"))
        for pattern, handler in self._routes.get((method, len(parts)), ()):
            if all(wanted in (given, _ID) for wanted, given in zip(pattern, parts, strict=True)):
                ids = tuple(given for wanted, given in zip(pattern, parts, strict=True) if wanted == _ID)
                return "/".join(pattern), handler, ids
        return "/unknown", None, ()


_Table = dict[tuple[str, int], list[tuple[tuple[str, ...], Handler]]]


def _table(routes: dict[tuple[str, str], Handler]) -> _Table:
    table: _Table = {}
    for (method, path), handler in routes.items():
        parts = tuple(path.split("/"))
        table.setdefault((method, len(parts)), []).append((parts, handler))
    return table


def _key(request: Request) -> str:
    token = bearer(request.headers)
    if token:
        return token
    scheme, _, encoded = request.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return b64decode(encoded, validate=True).decode("latin-1").partition(":")[0]
    except NotBase64:
        return ""


def _headers(request: Request, request_id: str) -> str:
    version = request.headers.get(b"stripe-version", API_VERSION.encode()).decode("latin-1")
    headers = f"Request-Id: {request_id}\r\nStripe-Version: {version}\r\n"
    if key := request.headers.get(b"idempotency-key"):
        headers += f"Idempotency-Key: {key.decode('latin-1')}\r\n"
    return headers


def _replayed(stored: Stored, form: str | None) -> tuple[int, bytes, str, Fate]:
    more = f"Idempotent-Replayed: true\r\nOriginal-Request: {stored.request_id}\r\n"
    return stored.status, stored.body, more, Fate.DROPPED if form == "drop" else Fate.SENT


def _error(error: StripeError, request_id: str) -> bytes:
    url = f"https://dashboard.stripe.com/test/logs/{request_id}"
    return encode({"error": {**error.error, "request_log_url": url}})


_PROXY = b"<html><head><title>503 Service Unavailable</title></head><body>upstream connect error</body></html>"
