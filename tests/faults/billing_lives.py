"""Random lives of Stripe's customers: what people, banks and time do to a subscription, in any order.

A life follows from its `Random` and from nothing else that would differ between two runs, but for the day on which it
begins: each customer has a time of their own, which stands still between two steps.
"""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

import stripe

from tests.stripe_sandbox import BAD_CARD, DAY, GOOD_CARD, StripeSandbox

PRICES = (
    "price_starter_monthly",
    "price_starter_yearly",
    "price_growth_monthly",
    "price_growth_yearly",
    "price_scale_monthly",
)
_LIVE = ("trialing", "active", "past_due", "unpaid")

Step = Callable[[], Awaitable[bool]]


class Life:
    """One customer, from now on. `page` is a checkout session of Stripe's that is open for them, if one is."""

    def __init__(self, sandbox: StripeSandbox, customer: str, random: Random, *, page: str | None = None) -> None:
        self._sandbox = sandbox
        self._customer = customer
        self._random = random
        self._page = page
        self._disputes: list[str] = []
        self._is_over = False
        self.steps: Sequence[tuple[int, Step]] = (
            (6, self.subscribe),
            (8, self.change),
            (4, self.get_a_bad_card),
            (4, self.get_a_good_card),
            (3, self.pay),
            (4, self.get_a_refund),
            (1, self.dispute),
            (2, self.learn_what_the_bank_says),
            (2, self.cancel_at_the_end),
            (2, self.resume),
            (1, self.cancel_now),
            (1, self.end_the_trial),
            (1, self.be_let_off),
            (1, self.vanish),
            (10, self.wait),
        )

    async def begin(self) -> None:
        """Step out of the time of everybody else, and subscribe."""
        await self._sandbox.advance(1, self._customer)
        await self.subscribe()

    async def go_on(self) -> None:
        """Take one step: one that is possible as things stand."""
        if self._is_over:
            return
        weights, steps = zip(*self.steps, strict=True)
        while True:
            [step] = self._random.choices(steps, weights)
            if await step():
                return

    # The steps. Each says whether it was possible.

    async def subscribe(self) -> bool:
        """To a second plan too, now and then."""
        if await self._subscriptions(*_LIVE) and self._random.random() > 0.1:
            return False
        if self._page is not None and self._random.random() < 0.7:
            await self._sandbox.check_out(self._page)
            self._page = None
            return True
        card = BAD_CARD if self._random.random() < 0.2 else GOOD_CARD
        more = {"trial_period_days": self._random.choice((7, 14, 30))} if self._random.random() < 0.2 else {}
        items = [{"price": self._random.choice(PRICES), "quantity": self._random.choice((1, 1, 1, 2, 3))}]
        await self._sandbox.pay_with(self._customer, card)
        wanted: Any = {"customer": self._customer, "items": items, **more}
        await self._sandbox.api.v1.subscriptions.create_async(wanted)
        return True

    async def change(self) -> bool:
        """Up or down, monthly or yearly, or in number."""
        subscription = await self._one_of(await self._subscriptions(*_LIVE))
        if subscription is None:
            return False
        [item] = subscription["items"]["data"]
        price = self._random.choice([price for price in PRICES if price != item["price"]["id"]])
        quantity = item["quantity"] if self._random.random() < 0.8 else item["quantity"] % 3 + 1
        [proration] = self._random.choices(("always_invoice", "create_prorations", "none"), (6, 3, 1))
        await self._sandbox.api.v1.subscriptions.update_async(
            subscription["id"],
            {
                "items": [{"id": item["id"], "price": price, "quantity": quantity}],
                "proration_behavior": proration,
            },
        )
        return True

    async def get_a_bad_card(self) -> bool:
        await self._sandbox.pay_with(self._customer, BAD_CARD)
        return True

    async def get_a_good_card(self) -> bool:
        await self._sandbox.pay_with(self._customer, GOOD_CARD)
        return True

    async def pay(self) -> bool:
        """What is open, by the card that they have."""
        invoice = await self._one_of(await self._invoices("open", "uncollectible"))
        if invoice is None:
            return False
        try:
            await self._sandbox.api.v1.invoices.pay_async(invoice["id"])
        except stripe.CardError:
            # It was tried, and that can be seen.
            return True
        return True

    async def get_a_refund(self) -> bool:
        """Of all that was paid once, or of a part."""
        charge = await self._one_of([each for each in await self._charges() if not each["refunded"]])
        if charge is None:
            return False
        left = charge["amount"] - charge["amount_refunded"]
        await self._sandbox.refund(charge["id"], None if self._random.random() < 0.5 else self._random.randint(1, left))
        return True

    async def dispute(self) -> bool:
        charge = await self._one_of(await self._charges())
        if charge is None:
            return False
        self._disputes.append(await self._sandbox.dispute(charge["id"]))
        return True

    async def learn_what_the_bank_says(self) -> bool:
        if not self._disputes:
            return False
        await self._sandbox.decide(self._disputes.pop(0), won=self._random.random() < 0.5)
        return True

    async def cancel_at_the_end(self) -> bool:
        return await self._set_cancelling(wanted=True)

    async def resume(self) -> bool:
        """Not to cancel after all."""
        return await self._set_cancelling(wanted=False)

    async def cancel_now(self) -> bool:
        subscription = await self._one_of(await self._subscriptions(*_LIVE))
        if subscription is None:
            return False
        await self._sandbox.api.v1.subscriptions.cancel_async(subscription["id"])
        return True

    async def end_the_trial(self) -> bool:
        subscription = await self._one_of(await self._subscriptions("trialing"))
        if subscription is None:
            return False
        await self._sandbox.api.v1.subscriptions.update_async(subscription["id"], {"trial_end": "now"})
        return True

    async def be_let_off(self) -> bool:
        """Nobody wants the money any more, or nobody hopes for it."""
        invoice = await self._one_of(await self._invoices("open"))
        if invoice is None:
            return False
        invoices = self._sandbox.api.v1.invoices
        let_off = self._random.choice((invoices.void_invoice_async, invoices.mark_uncollectible_async))
        await let_off(invoice["id"])
        return True

    async def vanish(self) -> bool:
        """An operator deletes the customer in Stripe's dashboard: seldom, for nothing follows."""
        if self._random.random() > 0.2:
            return False
        await self._sandbox.api.v1.customers.delete_async(self._customer)
        self._is_over = True
        return True

    async def wait(self) -> bool:
        days = self._random.choice((1, 3, 8, 15, 31, 31, 62, 366))
        await self._sandbox.advance(days * DAY - self._random.randrange(DAY), self._customer)
        # By then it has expired.
        self._page = None
        return True

    async def _set_cancelling(self, *, wanted: bool) -> bool:
        subscriptions = await self._subscriptions(*_LIVE)
        subscription = await self._one_of([each for each in subscriptions if each["cancel_at_period_end"] != wanted])
        if subscription is None:
            return False
        await self._sandbox.api.v1.subscriptions.update_async(subscription["id"], {"cancel_at_period_end": wanted})
        return True

    async def _one_of(self, found: Sequence[Any]) -> Any:
        return self._random.choice(found) if found else None

    async def _subscriptions(self, *statuses: str) -> list[Any]:
        asked: Any = {"customer": self._customer, "status": "all", "limit": 100}
        listed = await self._sandbox.api.v1.subscriptions.list_async(asked)
        return [each for each in listed.data if each["status"] in statuses]

    async def _invoices(self, *statuses: str) -> list[Any]:
        listed = await self._sandbox.api.v1.invoices.list_async({"customer": self._customer, "limit": 100})
        return [each for each in listed.data if each["status"] in statuses]

    async def _charges(self) -> list[Any]:
        """Those that were paid, and that nobody disputes."""
        listed = await self._sandbox.api.v1.charges.list_async({"customer": self._customer, "limit": 100})
        return [each for each in listed.data if each["paid"] and not each["disputed"]]
