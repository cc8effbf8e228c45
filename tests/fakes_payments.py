"""A payment provider in memory: implements PaymentsApi, and behaves as a test tells it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from app.providers.errors import InvalidQuery, Missing, ProviderError, StoredFailure, Transient
from app.providers.payments import (
    HostedPage,
    Invoice,
    Page,
    PayingCustomer,
    Payment,
    PaymentEvent,
    Subscription,
)

_CHECKOUT_LASTS = timedelta(hours=24)

Listed = TypeVar("Listed", PayingCustomer, Subscription, Invoice, Payment, PaymentEvent)
Owned = TypeVar("Owned", Subscription, Invoice, Payment)
Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was made: `method` of the port, what it was about (a customer, a subscription, a workspace; None: of
    all), of a write its idempotency key, and what else was asked."""

    method: str
    about: str | None
    key: str | None = None
    asked: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    customer_id: str
    credits: int
    at: datetime


def works(_: Call) -> ProviderError | None:
    return None


class FakePayments:
    """A PaymentsApi without a provider behind it.

    What it has is put in by `put`, newest `created_at` first in lists, `page_size` a page; a customer was created when
    it was put. `before` and `after` say of a call what it raises before and after its effect (None: nothing): a
    StoredFailure is raised as the Transient that it is at first, and as itself whenever the key comes again. `calls`
    are all that were made; while `gate` is cleared, they hang.
    """

    def __init__(self) -> None:
        self.before: Callable[[Call], ProviderError | None] = works
        self.after: Callable[[Call], ProviderError | None] = works
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.page_size = 100
        self.gate = asyncio.Event()
        self.gate.set()
        self.calls: list[Call] = []
        # By id, as they are now.
        self.by_id: dict[str, PayingCustomer] = {}
        self.subscriptions_by_id: dict[str, Subscription] = {}
        self.invoices_by_id: dict[str, Invoice] = {}
        self.payments_by_id: dict[str, Payment] = {}
        self.events_by_id: dict[str, PaymentEvent] = {}
        self.names: dict[str, str] = {}
        self.pages: list[HostedPage] = []
        # (customer, page), in the order in which they were opened.
        self.open_checkouts: list[tuple[str, str]] = []
        # By identifier.
        self.usage: dict[str, Usage] = {}
        self._created: dict[str, datetime] = {}
        self._answers: dict[str, tuple[Call, object]] = {}
        self._numbers: Counter[str] = Counter()

    def put(self, *objects: PayingCustomer | Subscription | Invoice | Payment | PaymentEvent) -> None:
        """Have these, in place of those with the same ids."""
        for each in objects:
            match each:
                case PayingCustomer():
                    self.by_id[each.id] = each
                    self._created.setdefault(each.id, self.now())
                case Subscription():
                    self.subscriptions_by_id[each.id] = each
                case Invoice():
                    self.invoices_by_id[each.id] = each
                case Payment():
                    self.payments_by_id[each.id] = each
                case PaymentEvent():
                    self.events_by_id[each.id] = each

    def made(self, method: str) -> list[Call]:
        """The calls of one method."""
        return [call for call in self.calls if call.method == method]

    async def create_customer(self, workspace_id: UUID, name: str, *, key: str) -> PayingCustomer:
        def create() -> PayingCustomer:
            customer = PayingCustomer(self._id("cus"), workspace_id)
            self.put(customer)
            self.names[customer.id] = name
            return customer

        return await self._write(Call("create_customer", str(workspace_id), key, (name,)), create)

    async def open_checkout(
        self, customer_id: str, price_id: str, *, success_url: str, cancel_url: str, reference: str, key: str
    ) -> HostedPage:
        def open_page() -> HostedPage:
            self._known(customer_id)
            page_id = self._id("cs")
            page = HostedPage(page_id, f"https://checkout.test/{page_id}", self.now() + _CHECKOUT_LASTS)
            self.pages.append(page)
            self.open_checkouts.append((customer_id, page.id))
            return page

        asked = (price_id, success_url, cancel_url, reference)
        return await self._write(Call("open_checkout", customer_id, key, asked), open_page)

    async def close_checkouts(self, customer_id: str, *, before: str) -> None:
        await self._read(Call("close_checkouts", customer_id))
        last = self.open_checkouts.index((customer_id, before))
        opened = enumerate(self.open_checkouts)
        self.open_checkouts = [each for number, each in opened if number >= last or each[0] != customer_id]

    async def open_portal(self, customer_id: str, *, return_url: str, key: str) -> HostedPage:
        def open_page() -> HostedPage:
            self._known(customer_id)
            page_id = self._id("bps")
            page = HostedPage(page_id, f"https://portal.test/{page_id}", None)
            self.pages.append(page)
            return page

        return await self._write(Call("open_portal", customer_id, key, (return_url,)), open_page)

    async def cancel_subscription(self, subscription_id: str) -> None:
        call = Call("cancel_subscription", subscription_id)
        self.calls.append(call)
        await self.gate.wait()
        if error := self.before(call):
            raise error
        subscription = self.subscriptions_by_id.get(subscription_id)
        if subscription is not None and subscription.ended_at is None:
            now = self.now()
            self.put(replace(subscription, status="canceled", canceled_at=now, ended_at=now))
        if error := self.after(call):
            raise error

    async def report_usage(self, customer_id: str, credits: int, *, identifier: str, at: datetime, key: str) -> None:
        def report() -> None:
            self._known(customer_id)
            self.usage.setdefault(identifier, Usage(customer_id, credits, at))

        await self._write(Call("report_usage", customer_id, key, (credits, identifier, at)), report)

    async def reported_usage(self, customer_id: str, since: datetime, until: datetime) -> int:
        await self._read(Call("reported_usage", customer_id))
        reported = (each for each in self.usage.values() if each.customer_id == customer_id)
        return sum(each.credits for each in reported if since <= each.at < until)

    async def customers(self, *, since: datetime | None = None, after: str | None = None) -> Page[PayingCustomer]:
        await self._read(Call("customers", None))
        # One that was deleted is in no list.
        kept = (each for each in self.by_id.values() if not each.is_deleted)
        return self._page(kept, lambda each: self._created[each.id], since, after)

    async def subscriptions(
        self, customer_id: str | None = None, *, since: datetime | None = None, after: str | None = None
    ) -> Page[Subscription]:
        await self._read(Call("subscriptions", customer_id))
        return self._page(
            self._of(customer_id, self.subscriptions_by_id.values()), lambda each: each.created_at, since, after
        )

    async def invoices(
        self, customer_id: str | None = None, *, since: datetime | None = None, after: str | None = None
    ) -> Page[Invoice]:
        await self._read(Call("invoices", customer_id))
        return self._page(
            self._of(customer_id, self.invoices_by_id.values()), lambda each: each.created_at, since, after
        )

    async def payments(
        self, customer_id: str | None = None, *, since: datetime | None = None, after: str | None = None
    ) -> Page[Payment]:
        await self._read(Call("payments", customer_id))
        return self._page(
            self._of(customer_id, self.payments_by_id.values()), lambda each: each.created_at, since, after
        )

    async def events(self, *, since: datetime | None = None, after: str | None = None) -> Page[PaymentEvent]:
        await self._read(Call("events", None))
        return self._page(self.events_by_id.values(), lambda each: each.created_at, since, after)

    async def find_customer(self, customer_id: str) -> PayingCustomer:
        await self._read(Call("find_customer", customer_id))
        return self._known(customer_id)

    async def _read(self, call: Call) -> None:
        self.calls.append(call)
        await self.gate.wait()
        if error := self.before(call) or self.after(call):
            raise error

    async def _write(self, call: Call, effect: Callable[[], Got]) -> Got:
        self.calls.append(call)
        await self.gate.wait()
        assert call.key is not None
        if call.key in self._answers:
            first, answer = self._answers[call.key]
            if first != call:
                raise InvalidQuery("stripe", "the idempotency key was used for another call")
            if isinstance(answer, ProviderError):
                raise answer
            return answer  # type: ignore[return-value]  # the same method gave it
        if error := self.before(call):
            raise self._failed(call, error)
        answer = effect()
        error = self.after(call)
        if isinstance(error, StoredFailure):
            raise self._failed(call, error)
        self._answers[call.key] = (call, answer)
        if error is not None:
            raise error
        return answer

    def _failed(self, call: Call, error: ProviderError) -> ProviderError:
        if not isinstance(error, StoredFailure):
            return error
        assert call.key is not None
        self._answers[call.key] = (call, error)
        return Transient("stripe", "status 500")

    def _known(self, customer_id: str) -> PayingCustomer:
        if customer_id not in self.by_id:
            raise Missing("stripe", "there is no such customer")
        return self.by_id[customer_id]

    def _of(self, customer_id: str | None, objects: Iterable[Owned]) -> list[Owned]:
        if customer_id is not None:
            self._known(customer_id)
        return [each for each in objects if customer_id is None or each.customer_id == customer_id]

    def _page(
        self,
        objects: Iterable[Listed],
        created_at: Callable[[Listed], datetime],
        since: datetime | None,
        after: str | None,
    ) -> Page[Listed]:
        listed = [each for each in objects if since is None or created_at(each) >= since]
        listed.sort(key=lambda each: (created_at(each), each.id), reverse=True)
        ids = [each.id for each in listed]
        if after is not None and after not in ids:
            raise Missing("stripe", "there is nothing of this id to go on after")
        first = 0 if after is None else ids.index(after) + 1
        items = listed[first : first + self.page_size]
        return Page(items, items[-1].id if len(listed) > first + self.page_size else None)

    def _id(self, prefix: str) -> str:
        self._numbers[prefix] += 1
        return f"{prefix}_fake{self._numbers[prefix]:06}"
