"""The emulated Stripe for tests: the plain SDK to call it with, and what a test does to it beside the API.

`open_stripe(sandbox.url)` opens that of a sandbox that runs, `running_stripe()` one of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import stripe

from app.sandbox.server import SandboxOptions, serve

API_KEY = "sk_test_sandbox"
SECRET = "whsec_test"
GOOD_CARD = "pm_card_visa"
BAD_CARD = "pm_card_chargeCustomerFail"
STARTER, STARTER_YEARLY = "price_starter_monthly", "price_starter_yearly"
GROWTH, GROWTH_YEARLY = "price_growth_monthly", "price_growth_yearly"
SCALE = "price_scale_monthly"
DAY = 86_400
MONTH = 31 * DAY
METER, METER_EVENT = "mtr_holdfast_credits", "holdfast_credits"


class StripeSandbox:
    """`api` is the SDK's client; the other methods are no API of Stripe's, and no fault or failing share strikes them.
    `base_url` is what HOLDFAST_PROVIDERS__STRIPE__BASE_URL is set to."""

    def __init__(self, sandbox_url: str, session: aiohttp.ClientSession, api: stripe.StripeClient) -> None:
        self.sandbox_url = sandbox_url
        self.base_url = f"{sandbox_url}/stripe"
        self.api = api
        self._session = session

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """Any call of the control interface; what it answers."""
        async with self._session.request(method, self.sandbox_url + path, json=body) as answer:
            said = await answer.json() if answer.status != 204 else None
            assert answer.status < 300, said
            return said

    async def set(self, **options: Any) -> None:
        """Options and switches: `drop_share`, `duplicate_share`, `fail_share`, … (app/sandbox/stripe_options.py)."""
        await self.control("PUT", "/_options/stripe", options)

    async def customer(self, *, card: str | None = GOOD_CARD, **fields: Any) -> str:
        """A new customer who pays with this card."""
        if card is not None:
            fields["invoice_settings"] = {"default_payment_method": card}
        return (await self.api.v1.customers.create_async(fields)).id

    async def subscribe(self, customer: str, price: str = STARTER, **fields: Any) -> Any:
        """A new subscription, at once, without a page."""
        items = [{"price": price}]
        return await self.api.v1.subscriptions.create_async({"customer": customer, "items": items, **fields})

    async def change(self, subscription: str, price: str, **fields: Any) -> Any:
        """Another price; `proration_behavior` is always_invoice where nothing else is given."""
        given = {"proration_behavior": "always_invoice", **fields}
        now = await self.api.v1.subscriptions.retrieve_async(subscription)
        items = [{"id": now["items"]["data"][0]["id"], "price": price}]
        return await self.api.v1.subscriptions.update_async(subscription, {"items": items, **given})

    async def pay_with(self, customer: str, card: str | None) -> None:
        """From now on the customer pays with this card, or with none."""
        await self.control("POST", f"/_stripe/customers/{customer}/card", {"card": card})

    async def check_out(self, session: str, card: str = GOOD_CARD) -> Any:
        """The person pays on the page of a checkout session."""
        return await self.control("POST", f"/_stripe/checkout/{session}", {"card": card})

    async def advance(self, seconds: int, customer: str | None = None) -> int:
        """Move the time of one customer on, or that of all without one of their own."""
        now: int = (await self.control("POST", "/_stripe/advance", {"seconds": seconds, "customer": customer}))["now"]
        return now

    async def refund(self, charge: str, amount: int | None = None) -> Any:
        given: Any = {"charge": charge} if amount is None else {"charge": charge, "amount": amount}
        return await self.api.v1.refunds.create_async(given)

    async def dispute(self, charge: str) -> str:
        """The owner of the card wants the money back; the dispute's id."""
        identifier: str = (await self.control("POST", f"/_stripe/charges/{charge}/dispute"))["id"]
        return identifier

    async def decide(self, dispute: str, *, won: bool) -> None:
        await self.control("POST", f"/_stripe/disputes/{dispute}", {"won": won})

    async def populate(self, customers: int, **given: Any) -> list[str]:
        """Customers with a subscription and paid invoices; their ids (app/sandbox/stripe_crowd.py)."""
        made = await self.control("POST", "/_stripe/populate", {"customers": customers, **given})
        ids: list[str] = made["customers"]
        return ids

    async def objects(self, kind: str, customer: str | None = None) -> list[dict[str, Any]]:
        """All of a kind, of a customer or of all, oldest first."""
        rows: list[dict[str, Any]] = await self.control("GET", f"/_stripe/objects/{kind}")
        return [row for row in rows if customer is None or row.get("customer") == customer]

    async def last(self, kind: str, customer: str | None = None) -> dict[str, Any]:
        """The newest of them."""
        return (await self.objects(kind, customer))[-1]

    async def webhook(self, url: str, secret: str = SECRET) -> None:
        """An endpoint for all events."""
        await self.control("PUT", "/_stripe/webhook", {"url": url, "secret": secret})

    async def settle(self, *, seconds: float = 60) -> None:
        """Return when no event is under way any more."""
        await self.until(lambda said: said["pending"] == 0, seconds=seconds)

    async def until(self, reached: Callable[[Any], bool], *, seconds: float = 60) -> Any:
        """Look at the deliveries until they are as wanted."""
        async with asyncio.timeout(seconds):
            while not reached(said := await self.control("GET", "/_stripe/deliveries")):
                await asyncio.sleep(0.01)
            return said

    async def calls(self) -> dict[str, int]:
        """How often what was called: `{"GET /v1/customers": 3}`."""
        by_key: dict[str, int] = (await self.control("GET", "/_calls"))["stripe"]["by_key"]
        return by_key


@asynccontextmanager
async def open_stripe(sandbox_url: str, key: str = API_KEY) -> AsyncIterator[StripeSandbox]:
    """The Stripe of a sandbox that runs."""
    client = stripe.AIOHTTPClient(timeout=10)
    api = stripe.StripeClient(
        key, http_client=client, max_network_retries=0, base_addresses={"api": f"{sandbox_url}/stripe"}
    )
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        try:
            yield StripeSandbox(sandbox_url, session, api)
        finally:
            await client.close_async()


@asynccontextmanager
async def running_stripe(options: SandboxOptions | None = None) -> AsyncIterator[StripeSandbox]:
    """The Stripe of a sandbox of its own, in the test's process."""
    sandbox = await serve(options or SandboxOptions())
    try:
        async with open_stripe(sandbox.url) as opened:
            yield opened
    finally:
        await sandbox.close()
