"""Stripe (docs/providers.md, Stripe), by its official SDK: how it speaks and what its errors are called is the SDK's;
the connection, its limits and what is read of an answer are ours.

Of the SDK neither its retries are used, which belong to Temporal, nor its objects, which take any form for granted.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

import aiohttp
import orjson
import stripe
from aiohttp import ClientSession
from multidict import CIMultiDict
from yarl import URL

from app.provider_settings import StripeSettings
from app.providers.adapters.stripe_wire import (
    PROVIDER,
    WORKSPACE,
    AnyList,
    Dispute,
    Wire,
    WireCharge,
    WireCheckout,
    WireCustomer,
    WireDispute,
    WireError,
    WireEvent,
    WireInvoice,
    WireInvoicePayment,
    WireLine,
    WirePortal,
    WireSubscription,
    WireUsage,
    read,
)
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    Missing,
    NotReady,
    ProviderError,
    RateLimited,
    StoredFailure,
    Transient,
)
from app.providers.http import HttpAnswer, exchange, new_session, retry_after, status_failure
from app.providers.payments import (
    HostedPage,
    Invoice,
    Page,
    PayingCustomer,
    Payment,
    PaymentEvent,
    Subscription,
)
from app.providers.wire import decode

# The form of what is sent and read; the SDK would send that of its release.
API_VERSION = "2026-10-28.endive"
# As many as there can be on a page.
PAGE = 100
# A hundred invoices of ten lines each are 2 MB.
LIMIT_BYTES = 16 * 1024 * 1024
# Of a request that the answer to another one depends on.
_TRIES = 3

# Everything that can change what we have of a customer: as many types as one call can name.
EVENT_TYPES = (
    *(f"customer.{what}" for what in ("created", "updated", "deleted")),
    *(f"customer.subscription.{what}" for what in ("created", "updated", "deleted", "paused", "resumed")),
    *(f"invoice.{what}" for what in ("created", "updated", "finalized", "paid", "payment_failed", "voided")),
    "invoice.marked_uncollectible",
    *("charge.succeeded", "charge.refunded", "charge.dispute.created", "charge.dispute.closed"),
    "checkout.session.completed",
)

# Of what the SDK sends, which is more: the platform it runs on, and how long the last call took.
_SENT = frozenset(("Authorization", "Idempotency-Key", "Stripe-Version", "Content-Type"))
_REPLAYED = "idempotent-replayed"
# Of the headers that come with an error.
_READ = frozenset((_REPLAYED, "retry-after"))
# Nobody is at fault, and it passes: the object is locked by another call, or that of the same key is under way.
_BUSY = frozenset(("lock_timeout", "idempotency_key_in_use"))

_WORD = re.compile(r"[a-z0-9_\[\]]{1,100}", re.ASCII)

Object = TypeVar("Object", bound=Wire)
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Stripe:
    """PaymentsApi on Stripe's API v1: one attempt a call, which may be several requests where an answer refers to
    more. Connections open with the first call; to be made inside of an event loop."""

    name = PROVIDER

    def __init__(self, settings: StripeSettings) -> None:
        if settings.api_key is None or settings.base_url is None:
            raise ValueError("needs an API key and a base URL")
        key = settings.api_key.get_secret_value()
        if not key.isascii() or not key.isprintable():
            raise ValueError("the API key must be printable ASCII")
        self.timeout_seconds = settings.timeout_seconds
        self._meter = settings.meter
        self._meter_id = settings.meter_id
        self._session = new_session(aiohttp.TCPConnector(limit=settings.concurrency), {})
        self._client = stripe.StripeClient(
            key,
            stripe_version=API_VERSION,
            base_addresses={"api": settings.base_url.rstrip("/")},
            max_network_retries=0,
            http_client=_Transport(self._session),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def create_customer(self, workspace_id: UUID, name: str, *, key: str) -> PayingCustomer:
        params = {"name": name, "metadata": {WORKSPACE: str(workspace_id)}}
        return read(WireCustomer, await self._post("/v1/customers", params, key)).customer()

    async def open_checkout(
        self, customer_id: str, price_id: str, *, success_url: str, cancel_url: str, reference: str, key: str
    ) -> HostedPage:
        params = {
            "mode": "subscription",
            "customer": customer_id,
            "line_items": [{"price": price_id, "quantity": 1}],
            "success_url": success_url,
            "cancel_url": cancel_url,
            "client_reference_id": reference,
        }
        return read(WireCheckout, await self._post("/v1/checkout/sessions", params, key)).page()

    async def close_checkouts(self, customer_id: str, *, before: str) -> None:
        params = {"customer": customer_id, "status": "open"}
        # Newest first: behind it are those that were opened before.
        for each in (await self._list("/v1/checkout/sessions", params, before)).data:
            path = f"/v1/checkout/sessions/{quote(read(WireCheckout, each).id, safe='')}/expire"
            # One that was paid or expired meanwhile cannot be.
            with suppress(InvalidQuery):
                await self._request("post", path, {})

    async def open_portal(self, customer_id: str, *, return_url: str, key: str) -> HostedPage:
        params = {"customer": customer_id, "return_url": return_url}
        return read(WirePortal, await self._post("/v1/billing_portal/sessions", params, key)).page()

    async def cancel_subscription(self, subscription_id: str) -> None:
        # Stripe has nothing to end of one that has ended: it says the same as of one that never was. With DELETE an
        # idempotency key has no effect.
        try:
            await self._request("delete", f"/v1/subscriptions/{quote(subscription_id, safe='')}", {})
        except Missing:
            return

    async def report_usage(self, customer_id: str, credits: int, *, identifier: str, at: datetime, key: str) -> None:
        if self._meter is None:
            raise InvalidQuery(PROVIDER, "no meter is named in the settings")
        params = {
            "event_name": self._meter,
            "payload": {"stripe_customer_id": customer_id, "value": str(credits)},
            "identifier": identifier,
            "timestamp": int(at.timestamp()),
        }
        try:
            await self._post("/v1/billing/meter_events", params, key)
        except _CountedBefore:
            return

    async def reported_usage(self, customer_id: str, since: datetime, until: datetime) -> int:
        if self._meter_id is None:
            raise InvalidQuery(PROVIDER, "no meter's id is in the settings")
        params = {"customer": customer_id, "start_time": int(since.timestamp()), "end_time": int(until.timestamp())}
        path = f"/v1/billing/meters/{quote(self._meter_id, safe='')}/event_summaries"
        # Not by hour or day, so that all of the time is one of them.
        summaries = await self._list(path, params, None)
        return sum(round(read(WireUsage, each).aggregated_value) for each in summaries.data)

    async def customers(self, *, since: datetime | None = None, after: str | None = None) -> Page[PayingCustomer]:
        listed = await self._list("/v1/customers", _created(since), after)
        return Page([read(WireCustomer, each).customer() for each in listed.data], listed.next())

    async def subscriptions(
        self, customer_id: str | None = None, *, since: datetime | None = None, after: str | None = None
    ) -> Page[Subscription]:
        # Those that were canceled are left out unless they are asked for.
        params = {"customer": customer_id, "status": "all", **_created(since)}
        listed = await self._list("/v1/subscriptions", params, after)
        return Page([read(WireSubscription, each).subscription() for each in listed.data], listed.next())

    async def invoices(
        self, customer_id: str | None = None, *, since: datetime | None = None, after: str | None = None
    ) -> Page[Invoice]:
        params = {"customer": customer_id, "expand": ["data.payments"], **_created(since)}
        listed = await self._list("/v1/invoices", params, after)
        invoices = [read(WireInvoice, each) for each in listed.data]
        return Page([await self._whole(each, each.customer) for each in invoices if each.customer], listed.next())

    async def payments(
        self, customer_id: str | None = None, *, since: datetime | None = None, after: str | None = None
    ) -> Page[Payment]:
        listed = await self._list("/v1/charges", {"customer": customer_id, **_created(since)}, after)
        charges = [read(WireCharge, each) for each in listed.data]
        taken = [
            each.payment(each.customer, await self._dispute(each))
            for each in charges
            if each.customer and each.status == "succeeded"
        ]
        return Page(taken, listed.next())

    async def events(self, *, since: datetime | None = None, after: str | None = None) -> Page[PaymentEvent]:
        listed = await self._list("/v1/events", {"types": list(EVENT_TYPES), **_created(since)}, after)
        events = [read(WireEvent, each) for each in listed.data]
        return Page([each.event(await self._disputed(each)) for each in events], listed.next())

    async def find_customer(self, customer_id: str) -> PayingCustomer:
        return read(WireCustomer, await self._get(f"/v1/customers/{quote(customer_id, safe='')}", {})).customer()

    async def _whole(self, invoice: WireInvoice, customer_id: str) -> Invoice:
        paid = await self._rest("/v1/invoice_payments", {"invoice": invoice.id}, invoice.payments)
        lines = await self._rest(f"/v1/invoices/{invoice.id}/lines", {}, invoice.lines)
        payment_ids = (read(WireInvoicePayment, each).payment_id() for each in paid)
        return invoice.invoice(
            customer_id,
            tuple(each for each in payment_ids if each is not None),
            _each(WireLine, WireLine.line, lines),
        )

    async def _dispute(self, charge: WireCharge) -> Dispute:
        if not charge.disputed:
            return "none"
        listed = await self._again(partial(self._list, "/v1/disputes", {"charge": charge.id}, None))
        return read(WireDispute, listed.data[0]).dispute() if listed.data else "none"

    async def _disputed(self, event: WireEvent) -> str | None:
        """Whose charge it is that the event is about a dispute of."""
        if event.disputed_charge is None:
            return None
        try:
            charge = await self._again(partial(self._get, f"/v1/charges/{event.disputed_charge}", {}))
        except Missing:
            return None
        return read(WireCharge, charge).customer

    async def _rest(self, path: str, params: Mapping[str, Any], first: AnyList) -> list[dict[str, Any]]:
        """All of a list that came as a part of something else, of which `path` has the rest."""
        found, part = list(first.data), first
        while after := part.next():
            part = await self._again(partial(self._list, path, params, after))
            found += part.data
        return found

    async def _again(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """What a page refers to, asked for again at once where that fails: a page with many disputes would hardly ever
        be read as a whole if the failure of one request were that of all."""
        for _ in range(_TRIES - 1):
            try:
                return await ask()
            except Transient:
                continue
        return await ask()

    async def _list(self, path: str, params: Mapping[str, Any], after: str | None) -> AnyList:
        return read(AnyList, await self._get(path, {**params, "limit": PAGE, "starting_after": after}))

    async def _get(self, path: str, params: Mapping[str, Any]) -> object:
        return await self._request("get", path, params)

    async def _post(self, path: str, params: Mapping[str, Any], key: str) -> object:
        return await self._request("post", path, params, key)

    async def _request(self, method: str, path: str, params: Mapping[str, Any], key: str | None = None) -> object:
        """One request; what its answer holds. Raises a ProviderError."""
        options = {"idempotency_key": key} if key is not None else {}
        try:
            said = await self._client.raw_request_async(method, path, **params, **options)
        except stripe.StripeError as error:
            failure = _failure(error)
        else:
            return said.data
        # Raised here and not above: the SDK's error shows the answer and must not be the context.
        raise failure


class _CountedBefore(InvalidQuery):
    """Something is wrong with the identifier of what was used. Ours are ids: it can only have come before. Which code
    that has, Stripe's documents do not say."""


class _Transport(stripe.AIOHTTPClient):
    """The SDK's client for aiohttp, which of itself follows redirects and reads answers of any size."""

    def __init__(self, session: ClientSession) -> None:
        super().__init__(session=session)
        self._connections = session

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One attempt. Raises a ProviderError where there is no answer, or none that Stripe gives; the SDK lets it
        pass."""
        sent = {name: value for name, value in headers.items() if name in _SENT}
        address = URL(url, encoded=True)
        answer = await exchange(
            self._connections, PROVIDER, method.upper(), address, sent, post_data, limit=LIMIT_BYTES
        )
        if 200 <= answer.status < 300:
            return _utf8(answer.body), answer.status, {}
        known = CIMultiDict((name, value) for name, value in answer.headers.items() if name.lower() in _READ)
        return orjson.dumps({"error": _said(answer).model_dump()}), answer.status, known


def _utf8(body: bytes) -> bytes:
    """A body that the SDK can write into its log, as it tries whatever the level is. Raises Malformed."""
    try:
        body.decode()
    except UnicodeDecodeError:
        raise Malformed(PROVIDER, "the body is not UTF-8") from None
    return body


def _said(answer: HttpAnswer) -> WireError:
    """What an error says of itself. Raises Malformed for an answer that is none of Stripe's: a proxy's, or that of
    another server, where the address is wrong."""
    try:
        body = decode(PROVIDER, answer.body)
        return read(WireError, body.get("error") if isinstance(body, dict) else None)
    except Malformed:
        # Whoever fails or throttles may do it in any form.
        if answer.status >= 500 or answer.status == 429:
            return WireError()
    raise Malformed(PROVIDER, f"status {answer.status} and no error that it would explain")


def _failure(error: stripe.StripeError) -> ProviderError:
    """What an error of the SDK means (docs.stripe.com/api/errors, /error-low-level, /api/idempotent_requests)."""
    status = error.http_status or 0
    answer = HttpAnswer(status, CIMultiDict(error.headers or {}), b"")
    said = error.error
    code, param = _word(said and said.code), _word(said and said.param)
    code = code or _word(said and said.type)
    where = " ".join(part for part in (f"status {status}", code, f"({param})" if param else None) if part)
    if code in _BUSY or status == 409:
        return NotReady(PROVIDER, f"{where}: busy with another call")
    match error:
        case stripe.RateLimitError():
            return RateLimited(PROVIDER, where, retry_after=retry_after(answer))
        case stripe.AuthenticationError() | stripe.PermissionError():
            return CredentialRejected(PROVIDER, where)
        case stripe.InvalidRequestError() if code == "resource_missing":
            return Missing(PROVIDER, where)
        case stripe.InvalidRequestError() if param == "identifier":
            return _CountedBefore(PROVIDER, where)
        case stripe.IdempotencyError() | stripe.InvalidRequestError() | stripe.CardError():
            return InvalidQuery(PROVIDER, where)
    if status >= 500 and answer.headers.get(_REPLAYED) == "true":
        return StoredFailure(PROVIDER, f"{where}, as before with this key")
    if status == 424:
        return Transient(PROVIDER, where)
    if status < 300:
        return Malformed(PROVIDER, "the body is not JSON")
    return status_failure(PROVIDER, answer)


def _word(text: object) -> str | None:
    """A code or a parameter of Stripe's, and nothing that could be somebody's."""
    return text if isinstance(text, str) and _WORD.fullmatch(text) else None


def _created(since: datetime | None) -> dict[str, Any]:
    return {} if since is None else {"created": {"gte": int(since.timestamp())}}


def _each(model: type[Object], of: Callable[[Object], Item], data: list[dict[str, Any]]) -> tuple[Item, ...]:
    return tuple(of(read(model, each)) for each in data)
